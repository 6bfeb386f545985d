package load

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/srtp/v3"
)

var errNoKeys = errors.New("the DTLS handshake was not seen whole")

// serverHello is what a ServerHello says about the keys.
type serverHello struct {
	random  [32]byte
	suite   uint16                 // cipher suite
	profile srtp.ProtectionProfile // 0 without use_srtp
}

// Numbers of RFC 6347 and RFC 5764.
const (
	recordHeader    = 13 // RFC 6347, section 4.1
	messageHeader   = 12 // RFC 6347, section 4.2.2
	typeHandshake   = 22
	typeServerHello = 2
	useSRTP         = 14 // RFC 5764, section 4.1.1
)

// findServerHello looks for a whole ServerHello among the records of a
// datagram.
func findServerHello(datagram []byte) (h serverHello, ok bool) {
	for len(datagram) >= recordHeader {
		kind, epoch := datagram[0], binary.BigEndian.Uint16(datagram[3:])
		n := int(binary.BigEndian.Uint16(datagram[11:]))
		rest := datagram[recordHeader:]
		if len(rest) < n {
			break
		}
		if kind == typeHandshake && epoch == 0 {
			if h, ok = findMessage(rest[:n]); ok {
				return h, true
			}
		}
		datagram = rest[n:]
	}
	return serverHello{}, false
}

// findMessage looks among the messages of a handshake record.
func findMessage(record []byte) (serverHello, bool) {
	for len(record) >= messageHeader {
		kind, length := record[0], binary.BigEndian.Uint32(record)&0xffffff
		from := uint32(record[6])<<16 | uint32(record[7])<<8 | uint32(record[8])
		part := uint32(record[9])<<16 | uint32(record[10])<<8 | uint32(record[11])
		rest := record[messageHeader:]
		if uint32(len(rest)) < part {
			break
		}
		if kind == typeServerHello && from == 0 && part == length {
			return parseServerHello(rest[:part])
		}
		record = rest[part:]
	}
	return serverHello{}, false
}

// parseServerHello reads the message's body (RFC 5246, section 7.4.1.3).
func parseServerHello(b []byte) (h serverHello, ok bool) {
	const before = 2 + 32 // version, random
	if len(b) < before+1 {
		return h, false
	}
	copy(h.random[:], b[2:])
	session := int(b[before])
	b = b[before+1:]
	if len(b) < session+3 { // session, cipher suite, compression
		return h, false
	}
	h.suite = binary.BigEndian.Uint16(b[session:])
	b = b[session+3:]
	if len(b) < 2 {
		return h, true // no extensions
	}
	b = b[2:]
	for len(b) >= 4 {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if len(b) < n {
			break
		}
		// Two bytes of length, then the one profile that was chosen.
		if kind == useSRTP && n >= 4 {
			h.profile = srtp.ProtectionProfile(binary.BigEndian.Uint16(b[2:]))
		}
		b = b[n:]
	}
	return h, true
}

// keys gathers what a handshake shows, to export the SRTP keys once it is done:
// pion tells the client's random and the master secret in its key log, the
// ServerHello passes in clear.
type keys struct {
	mu     sync.Mutex
	log    bytes.Buffer // lines as NSS writes them; never leaves the process
	hello  serverHello
	seen   bool
	client bool // the ServerHello came from the other side
}

// Write takes the key log.
func (k *keys) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(b)
}

// watch looks at a datagram that is no SRTP.
func (k *keys) watch(b []byte, came bool) {
	if len(b) == 0 || b[0] != typeHandshake {
		return
	}
	if h, ok := findServerHello(b); ok {
		k.mu.Lock()
		k.hello, k.seen, k.client = h, true, came
		k.mu.Unlock()
	}
}

// ExportKeyingMaterial implements RFC 5705, section 4, without a context.
func (k *keys) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var line []byte
	for l := range bytes.Lines(k.log.Bytes()) {
		line = l
	}
	f := bytes.Fields(line)
	if !k.seen || len(f) != 3 || string(f[0]) != "CLIENT_RANDOM" {
		return nil, errNoKeys
	}
	random, err1 := hex.DecodeString(string(f[1]))
	secret, err2 := hex.DecodeString(string(f[2]))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read key log: %w", err)
	}
	h := sha256.New
	switch k.hello.suite {
	case 0xc02c, 0xc030: // the two AES-256-GCM suites, RFC 5289, section 3.2
		h = sha512.New384
	}
	seed := append(append([]byte(label), random...), k.hello.random[:]...)
	return prf.PHash(secret, seed, length, func() hash.Hash { return h() })
}

// replayWindow is how many packets late one may come, in packets.
const replayWindow = 1024

// contexts answers what decrypts the other side's packets and what encrypts
// one's own.
func (k *keys) contexts() (in, out *srtp.Context, err error) {
	k.mu.Lock()
	profile, client := k.hello.profile, k.client
	k.mu.Unlock()
	cfg := srtp.Config{Profile: profile}
	if err := cfg.ExtractSessionKeysFromDTLS(k, client); err != nil {
		return nil, nil, fmt.Errorf("load: export keys: %w", err)
	}
	in, err = srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, nil, fmt.Errorf("load: make SRTP context: %w", err)
	}
	if out, err = srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, profile); err != nil {
		return nil, nil, fmt.Errorf("load: make SRTP context: %w", err)
	}
	return in, out, nil
}
