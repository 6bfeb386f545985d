package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate of 127.0.0.1 for itself with its key, and answers
// it.
func certify(t *testing.T, cert, key string) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secretDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secretDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// trusting answers a client that takes one certificate alone, and no connection
// twice.
func trusting(c *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}, Timeout: 10 * time.Second}
}

// A certificate that is replaced is served without a restart; one that cannot be
// used is not, and the server says so.
func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := certify(t, cert, key)
	s := start(t, nil, "--dev", "--set", "tls.cert="+cert, "--set", "tls.key="+key)
	reaches := func(c *x509.Certificate) error {
		res, err := trusting(c).Get("https://" + s.http + "/healthz")
		if err != nil {
			return err
		}
		if res.ProtoMajor != 2 {
			t.Errorf("it speaks %s, not HTTP/2", res.Proto)
		}
		return res.Body.Close()
	}
	if err := reaches(first); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.says(t, "a file was not taken")
	if err := reaches(first); err != nil {
		t.Errorf("after a wrong key: %v", err)
	}

	second := certify(t, cert, key)
	s.says(t, "a file was read again")
	if err := reaches(second); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if reaches(first) == nil {
		t.Error("the old certificate is still served")
	}
}

func TestWrongCertificateIsNamed(t *testing.T) {
	file := write(t, "no certificate\n")
	cmd := tutti(t, nil, "serve", "--dev", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--set", "tls.cert="+file, "--set", "tls.key="+file)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != misused || !strings.Contains(string(out), "tls.cert cannot be used") {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
}
