package plane

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// label is that of the keys of SRTP (RFC 5764, section 4.2).
const label = "EXTRACTOR-dtls_srtp"

// From what pion tells of a handshake the same keys come as both of its ends
// export, with every cipher suite.
func TestExporterEqualsPion(t *testing.T) {
	for _, suite := range []dtls.CipherSuiteID{
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM,
	} {
		for _, profile := range profiles {
			t.Run(suite.String(), func(t *testing.T) {
				var k handshakeKeys
				server, client := shakeHands(t, &k, suite, profile)
				got, err := k.ExportKeyingMaterial(label, nil, 60)
				if err != nil {
					t.Fatal(err)
				}
				for _, end := range []*dtls.Conn{server, client} {
					state, ok := end.ConnectionState()
					if !ok {
						t.Fatal("no state")
					}
					want, err := state.ExportKeyingMaterial(label, nil, 60)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("got %x, pion %x, %v", got, want, err)
					}
				}
				if k.profile != srtp.ProtectionProfile(profile) {
					t.Errorf("profile %v, want %v", k.profile, profile)
				}
			})
		}
	}
}

// shakeHands runs a handshake over two sockets, of which k is told.
func shakeHands(t *testing.T, k *handshakeKeys, suite dtls.CipherSuiteID, profile dtls.SRTPProtectionProfile) (server, client *dtls.Conn) {
	t.Helper()
	cert, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := listenHidden(t)
	b, _ := listenHidden(t)
	server, err = dtls.ServerWithOptions(a, b.LocalAddr(), dtls.WithCertificates(cert), dtls.WithCipherSuites(suite),
		dtls.WithSRTPProtectionProfiles(profile), dtls.WithKeyLogWriter(k), dtls.WithServerHelloMessageHook(k.serverHello))
	if err != nil {
		t.Fatal(err)
	}
	client, err = dtls.ClientWithOptions(b, a.LocalAddr(), dtls.WithCipherSuites(suite), dtls.WithSRTPProtectionProfiles(profile),
		dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- client.HandshakeContext(ctx) }()
	if err := server.HandshakeContext(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return server, client
}

func TestKeyLogLines(t *testing.T) {
	secret, random := strings.Repeat("5e", 48), strings.Repeat("c1", 32)
	good := "CLIENT_RANDOM " + random + " " + secret + "\n"
	for _, c := range []struct {
		name  string
		lines []string
		ok    bool
	}{
		{"good", []string{good}, true},
		{"in parts", []string{good[:20], good[20:]}, true},
		{"without its end", []string{good[:len(good)-1]}, true},
		{"after another handshake's", []string{"CLIENT_RANDOM 00 11\n", good}, true},
		{"after more than is kept", []string{strings.Repeat("x", maxKeyLog-5), good}, true},
		{"none", nil, false},
		{"empty", []string{"\n\n"}, false},
		{"two words", []string{"CLIENT_RANDOM " + random + "\n"}, false},
		{"four words", []string{"CLIENT_RANDOM " + random + " " + secret + " x\n"}, false},
		{"no hexadecimal", []string{"CLIENT_RANDOM " + random + " zz\n"}, false},
		{"an odd random", []string{"CLIENT_RANDOM 123 " + secret + "\n"}, false},
		{"another kind", []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET " + random + " " + secret + "\n"}, false},
	} {
		var k, want handshakeKeys
		knowKeys(&k, srtp.ProtectionProfileAeadAes128Gcm)
		k.line.Reset()
		for _, l := range c.lines {
			if n, err := k.Write([]byte(l)); n != len(l) || err != nil {
				t.Error(n, err)
			}
		}
		got, err := k.ExportKeyingMaterial(label, nil, 60)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok {
			continue
		}
		knowKeys(&want, srtp.ProtectionProfileAeadAes128Gcm)
		want.line.Reset()
		_, _ = want.Write([]byte(good))
		if w, err := want.ExportKeyingMaterial(label, nil, 60); err != nil || !bytes.Equal(got, w) {
			t.Errorf("%s: %x, want %x, %v", c.name, got, w, err)
		}
	}
}

// A session's settings can be made once for each of its connections.
func TestConfigure(t *testing.T) {
	var e webrtc.SettingEngine
	if err := (&Session{plane: New()}).Configure(&e); err != nil {
		t.Error(err)
	}
}

// FuzzKeyLog: no line of a key log, however it is cut, is more than refused.
func FuzzKeyLog(f *testing.F) {
	f.Add([]byte("CLIENT_RANDOM "+strings.Repeat("c1", 32)+" "+strings.Repeat("5e", 48)+"\n"), 10, uint16(0xc02b))
	f.Add([]byte("CLIENT_RANDOM 00 11\n\nCLIENT_RANDOM 22 33\n"), 20, uint16(0xc030))
	f.Add([]byte(" \n \x00"), 1, uint16(0))
	f.Add(bytes.Repeat([]byte("a b c\n"), 200), 600, uint16(0xc02c))
	f.Fuzz(func(t *testing.T, log []byte, cut int, suite uint16) {
		k := handshakeKeys{suite: suite, hello: true, profile: srtp.ProtectionProfileAeadAes128Gcm}
		cut = max(0, min(cut, len(log)))
		_, _ = k.Write(log[:cut])
		_, _ = k.Write(log[cut:])
		material, err := k.ExportKeyingMaterial(label, nil, 60)
		if (err == nil) != (len(material) == 60) {
			t.Fatalf("%d bytes, %v", len(material), err)
		}
		if err != nil {
			return
		}
		lines := bytes.Split(bytes.TrimSpace(k.line.Bytes()), []byte("\n"))
		words := bytes.Fields(lines[len(lines)-1])
		for _, w := range words[1:] {
			if _, err := hex.DecodeString(string(w)); err != nil {
				t.Fatalf("keys of %q", w)
			}
		}
		if _, _, err := k.contexts(false); err != nil {
			t.Fatal(err)
		}
		if k.line.Len() != 0 {
			t.Fatal("the secret is kept")
		}
	})
}
