package forward

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/pion/srtp/v3"

	"tutti/mixer"
)

// SRTP is how packets are protected: a crypto suite of SDES by its name
// (RFC 4568, section 6.2; RFC 7714, section 14.2), and master key and salt, one
// after the other, in base64.
type SRTP struct {
	Profile string
	Key     Secret
}

// Secret is a text that no log and no format shows.
type Secret string

// String answers what may be shown.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString is String: what %#v shows.
func (s Secret) GoString() string { return s.String() }

// suites are the profiles by their names.
var suites = map[string]srtp.ProtectionProfile{
	"AES_CM_128_HMAC_SHA1_80": srtp.ProtectionProfileAes128CmHmacSha1_80,
	"AEAD_AES_128_GCM":        srtp.ProtectionProfileAeadAes128Gcm,
}

// cipher is a profile and its keys; the zero value protects nothing.
type cipher struct {
	profile   srtp.ProtectionProfile
	key, salt []byte
}

// parse answers the keys, or a *mixer.FieldError that does not show them.
func (s SRTP) parse() (cipher, error) {
	if s == (SRTP{}) {
		return cipher{}, nil
	}
	profile, ok := suites[s.Profile]
	if !ok {
		return cipher{}, &mixer.FieldError{Field: "srtp.profile", Reason: "must be AES_CM_128_HMAC_SHA1_80 or AEAD_AES_128_GCM"}
	}
	keyLen, err := profile.KeyLen()
	if err != nil {
		return cipher{}, fmt.Errorf("forward: %w", err)
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		return cipher{}, fmt.Errorf("forward: %w", err)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(string(s.Key), "="))
	if err != nil || len(b) != keyLen+saltLen || strings.ContainsAny(string(s.Key), "\r\n") {
		return cipher{}, &mixer.FieldError{Field: "srtp.key", Reason: fmt.Sprintf("must be %d bytes of key and %d of salt in base64", keyLen, saltLen)}
	}
	return cipher{profile, b[:keyLen:keyLen], b[keyLen:]}, nil
}

// on reports whether there is anything to protect with.
func (c *cipher) on() bool { return c.profile != 0 }

// context answers a context for one direction of one socket, or nil where packets
// go plain.
func (c *cipher) context() (*srtp.Context, error) {
	if !c.on() {
		return nil, nil
	}
	ctx, err := srtp.CreateContext(c.key, c.salt, c.profile, srtp.SRTCPReplayProtection(64))
	if err != nil {
		return nil, fmt.Errorf("forward: make SRTP context: %w", err)
	}
	return ctx, nil
}

// inline answers the key as SDP has it (RFC 4568, section 6.1).
func (c *cipher) inline() string {
	return base64.StdEncoding.EncodeToString(append(append([]byte(nil), c.key...), c.salt...))
}
