package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxToken is the longest token that Verify looks at, in bytes.
const MaxToken = 8 << 10

// claims is a token's payload.
type claims struct {
	Room   string `json:"room"`
	Role   Role   `json:"role"`
	Name   string `json:"name,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	jwt.RegisteredClaims
}

// Mint signs a grant, valid from now for ttl, which is at least one second.
func Mint(k Key, g Grant, ttl time.Duration, now time.Time) (string, error) {
	if err := g.Validate(); err != nil {
		return "", err
	}
	if ttl < time.Second {
		return "", fmt.Errorf("auth: mint: a token valid for %v is of no use", ttl)
	}
	c := claims{Room: g.Room, Role: g.Role, Name: g.Name, Tenant: g.Tenant, RegisteredClaims: jwt.RegisteredClaims{
		Subject: g.Subject, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}
	var token *jwt.Token
	var with any
	switch {
	case k.secret != nil:
		token, with = jwt.NewWithClaims(jwt.SigningMethodHS256, c), k.secret
	case k.private != nil:
		token, with = jwt.NewWithClaims(jwt.SigningMethodEdDSA, c), k.private
	default:
		return "", fmt.Errorf("auth: mint: the %v cannot sign", k)
	}
	if k.id != "" {
		token.Header["kid"] = k.id
	}
	signed, err := token.SignedString(with)
	if err != nil {
		return "", fmt.Errorf("auth: mint: %w", err)
	}
	return signed, nil
}

// Verifier holds the keys whose tokens are accepted.
type Verifier struct{ keys []Key }

// NewVerifier answers a verifier for tokens of any of the keys; it takes at
// least one.
func NewVerifier(keys ...Key) (*Verifier, error) {
	if len(keys) == 0 {
		return nil, errors.New("auth: a verifier takes at least one key")
	}
	for _, k := range keys {
		if k.alg == "" {
			return nil, errors.New("auth: a verifier takes no empty key")
		}
	}
	return &Verifier{append([]Key(nil), keys...)}, nil
}

// Signer answers the first key that can mint.
func (v *Verifier) Signer() (Key, bool) {
	for _, k := range v.keys {
		if k.CanMint() {
			return k, true
		}
	}
	return Key{}, false
}

// Verify answers the grant of a token that a known key has signed and that is
// valid at now. Any error wraps ErrMalformed, ErrSignature, ErrExpired or
// ErrClaims; its text has nothing of the token in it.
func (v *Verifier) Verify(token string, now time.Time) (Grant, error) {
	if len(token) > MaxToken {
		return Grant{}, ErrMalformed
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, v.candidates,
		jwt.WithValidMethods([]string{string(HS256), string(EdDSA)}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return Grant{}, sort(err)
	}
	g := Grant{Room: c.Room, Role: c.Role, Name: c.Name, Tenant: c.Tenant, Subject: c.Subject}
	if err := g.Validate(); err != nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return g, nil
}

// candidates answers the keys that may have signed the token: those of the
// algorithm in its header and, where it names a key, of that name.
func (v *Verifier) candidates(t *jwt.Token) (any, error) {
	var set jwt.VerificationKeySet
	kid, named := t.Header["kid"].(string)
	for _, k := range v.keys {
		if string(k.alg) != t.Method.Alg() || named && k.id != "" && k.id != kid {
			continue
		}
		if k.alg == HS256 {
			set.Keys = append(set.Keys, k.secret)
		} else {
			set.Keys = append(set.Keys, k.public)
		}
	}
	if len(set.Keys) == 0 {
		return nil, ErrSignature
	}
	return set, nil
}

// sort names an error of the JWT library in this package's words.
func sort(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return ErrMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return ErrSignature
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return fmt.Errorf("%w: it never expires", ErrClaims)
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return ErrExpired
	}
	return ErrMalformed
}
