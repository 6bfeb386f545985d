package plane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// profiles are the SRTP profiles, best first: AES-GCM costs half of AES-CM with
// HMAC, or less (RFC 7714; RFC 5764, section 4.1.2).
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// maxKeyLog bounds what is kept of the key log: one line, of three words.
const maxKeyLog = 512

// handshakeKeys learns the keys of one DTLS session from what pion tells of its
// handshake. They are kept in memory alone, and no longer than until the SRTP
// keys are made.
type handshakeKeys struct {
	mu      sync.Mutex
	line    bytes.Buffer // CLIENT_RANDOM <client random> <master secret>
	random  [32]byte     // the server's
	suite   uint16
	profile srtp.ProtectionProfile
	hello   bool
}

// configure has pion tell what is needed. The server's random is known to the
// server alone, hence the role.
func (k *handshakeKeys) configure(e *webrtc.SettingEngine) error {
	if err := e.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return fmt.Errorf("plane: set DTLS role: %w", err)
	}
	e.SetSRTPProtectionProfiles(profiles...)
	e.SetDTLSKeyLogWriter(k)
	e.SetDTLSServerHelloMessageHook(k.serverHello)
	return nil
}

// Write takes a line of the key log.
func (k *handshakeKeys) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.line.Len()+len(b) > maxKeyLog {
		k.line.Reset() // another handshake's; the last counts
	}
	return k.line.Write(b)
}

// serverHello reads what the server has chosen.
func (k *handshakeKeys) serverHello(m handshake.MessageServerHello) handshake.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.random = m.Random.MarshalFixed()
	k.hello = m.CipherSuiteID != nil
	if k.hello {
		k.suite = *m.CipherSuiteID
	}
	for _, e := range m.Extensions {
		if u, ok := e.(*extension.UseSRTP); ok && len(u.ProtectionProfiles) > 0 {
			k.profile = srtp.ProtectionProfile(u.ProtectionProfiles[0])
		}
	}
	return &m
}

// Errors of a handshake that told too little.
var errNoKeys = errors.New("plane: the DTLS handshake gave no keys")

// ExportKeyingMaterial is the exporter of RFC 5705, section 4, without context:
// PRF(master secret, label, client random + server random).
func (k *handshakeKeys) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(k.line.Bytes()), []byte("\n"))
	words := bytes.Fields(lines[len(lines)-1])
	if len(words) != 3 || string(words[0]) != "CLIENT_RANDOM" || !k.hello {
		return nil, errNoKeys
	}
	client, err := hex.DecodeString(string(words[1]))
	if err != nil {
		return nil, errNoKeys
	}
	secret, err := hex.DecodeString(string(words[2]))
	if err != nil {
		return nil, errNoKeys
	}
	seed := append([]byte(label), client...)
	return prf.PHash(secret, append(seed, k.random[:]...), length, k.hash())
}

// hash answers the hash of the PRF: that of the cipher suite where it has one
// of its own, SHA-256 otherwise (RFC 5246, section 5).
func (k *handshakeKeys) hash() func() hash.Hash {
	switch k.suite {
	case 0xc02c, 0xc030: // the suites with AES-256-GCM and SHA-384 (RFC 5289)
		return sha512.New384
	}
	return sha256.New
}

// contexts answers the contexts of both directions and forgets the secret. The
// client may always encrypt its headers; we do where it said that it takes that
// (RFC 9335, section 4).
func (k *handshakeKeys) contexts(cryptex bool) (in, out *srtp.Context, err error) {
	k.mu.Lock()
	cfg := &srtp.Config{Profile: k.profile}
	k.mu.Unlock()
	if err := cfg.ExtractSessionKeysFromDTLS(k, false); err != nil {
		return nil, nil, fmt.Errorf("plane: derive SRTP keys: %w", err)
	}
	in, err = srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow), srtp.Cryptex(srtp.CryptexModeEnabled))
	if err != nil {
		return nil, nil, fmt.Errorf("plane: make SRTP context: %w", err)
	}
	mode := srtp.CryptexModeDisabled
	if cryptex {
		mode = srtp.CryptexModeEnabled
	}
	out, err = srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile, srtp.Cryptex(mode))
	if err != nil {
		return nil, nil, fmt.Errorf("plane: make SRTP context: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.line.Bytes())
	k.line.Reset()
	return in, out, nil
}

// tagSize answers how long the authentication tag of a packet is, in bytes.
func (k *handshakeKeys) tagSize() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		return 10 // RFC 3711, section 5.2
	}
	return 16 // RFC 7714, section 12
}

// replayWindow is how late a packet may come, in packets: those sent again come
// late.
const replayWindow = 512
