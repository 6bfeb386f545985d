package auth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// MinSecret is the least length of a shared secret in bytes: that of the
// output of HS256 (RFC 7518, section 3.2).
const MinSecret = 32

// Algorithm names how a key signs, as in a JWT's header.
type Algorithm string

// The algorithms.
const (
	HS256 Algorithm = "HS256"
	EdDSA Algorithm = "EdDSA"
)

// Key verifies tokens and, where it has the secret half, mints them. The zero
// value is no key.
type Key struct {
	id      string
	alg     Algorithm
	secret  []byte
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

// NewHMAC answers an HS256 key from a secret of at least MinSecret bytes. id
// goes into the token's header as kid and may be empty.
func NewHMAC(id string, secret []byte) (Key, error) {
	if len(secret) < MinSecret {
		return Key{}, fmt.Errorf("auth: a secret of %d bytes is too short: it takes at least %d", len(secret), MinSecret)
	}
	return Key{id: id, alg: HS256, secret: append([]byte(nil), secret...)}, nil
}

// NewEd25519 answers an EdDSA key that verifies only.
func NewEd25519(id string, public ed25519.PublicKey) (Key, error) {
	if len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("auth: an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(public))
	}
	return Key{id: id, alg: EdDSA, public: public}, nil
}

// NewEd25519Signer answers an EdDSA key that mints and verifies.
func NewEd25519Signer(id string, private ed25519.PrivateKey) (Key, error) {
	if len(private) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("auth: an Ed25519 private key has %d bytes, not %d", ed25519.PrivateKeySize, len(private))
	}
	return Key{id: id, alg: EdDSA, private: private, public: private.Public().(ed25519.PublicKey)}, nil
}

// ParseKey reads a key as it stands in a configuration: a PEM block with an
// Ed25519 private key (PKCS 8) or public key (PKIX), else a shared secret,
// whose surrounding white space does not count.
func ParseKey(id, text string) (Key, error) {
	text = strings.TrimSpace(text)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		if strings.HasPrefix(text, "-----BEGIN") {
			return Key{}, fmt.Errorf("auth: read key %q: the PEM block is broken", id)
		}
		return NewHMAC(id, []byte(text))
	}
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("auth: read key %q: %w", id, err)
		}
		if private, ok := parsed.(ed25519.PrivateKey); ok {
			return NewEd25519Signer(id, private)
		}
	case "PUBLIC KEY":
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("auth: read key %q: %w", id, err)
		}
		if public, ok := parsed.(ed25519.PublicKey); ok {
			return NewEd25519(id, public)
		}
	}
	return Key{}, fmt.Errorf("auth: read key %q: a PEM %s that is no Ed25519 key", id, strings.ToLower(block.Type))
}

// CanMint reports whether the key has its secret half.
func (k Key) CanMint() bool { return k.secret != nil || k.private != nil }

// String answers the key's name without its secret, so that it can be logged.
func (k Key) String() string { return fmt.Sprintf("%s key %q", k.alg, k.id) }

// GoString is String: %#v shows no secret either.
func (k Key) GoString() string { return k.String() }
