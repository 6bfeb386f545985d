package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	grant = Grant{Room: "r1", Role: Participant, Name: "Ada", Tenant: "t1", Subject: "ada@example"}
)

func hmacKey(t testing.TB, id, secret string) Key {
	t.Helper()
	k, err := NewHMAC(id, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t testing.TB, id string) Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewEd25519Signer(id, private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func verifier(t testing.TB, keys ...Key) *Verifier {
	t.Helper()
	v, err := NewVerifier(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const long = "0123456789abcdef0123456789abcdef"

func TestMintAndVerify(t *testing.T) {
	for _, k := range []Key{hmacKey(t, "", long), hmacKey(t, "k1", long), edKey(t, "k2"), edKey(t, "")} {
		token, err := Mint(k, grant, time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, hmacKey(t, "other", strings.Repeat("y", 32)), edKey(t, "another"), k)
		for _, at := range []time.Time{now.Add(-leeway), now, now.Add(time.Hour + leeway - time.Second)} {
			got, err := v.Verify(token, at)
			if err != nil || got != grant {
				t.Errorf("%v at %v: %+v, %v", k, at, got, err)
			}
		}
		for _, at := range []time.Time{now.Add(-time.Minute), now.Add(time.Hour + leeway), now.Add(1000 * time.Hour)} {
			if _, err := v.Verify(token, at); !errors.Is(err, ErrExpired) {
				t.Errorf("%v at %v: %v", k, at, err)
			}
		}
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	token, err := Mint(hmacKey(t, "k1", long), grant, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Key{
		"other secret":    hmacKey(t, "k1", strings.Repeat("y", 32)),
		"other name":      hmacKey(t, "k9", long),
		"other algorithm": edKey(t, "k1"),
	} {
		if _, err := verifier(t, k).Verify(token, now); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forge signs any header and payload with HMAC-SHA256.
func forge(header, payload string, secret []byte) string {
	enc := base64.RawURLEncoding.EncodeToString
	body := enc([]byte(header)) + "." + enc([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(body))
	return body + "." + enc(mac.Sum(nil))
}

func payload(claims string) string {
	return fmt.Sprintf(`{"room":"r1","role":"admin","exp":%d%s}`, now.Add(time.Hour).Unix(), claims)
}

// TestAlgorithmsAreNotConfused tries what JWT verifiers have fallen for: no
// signature, and a public key taken for a shared secret.
func TestAlgorithmsAreNotConfused(t *testing.T) {
	k := edKey(t, "k")
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	v := verifier(t, k, hmacKey(t, "h", long))
	unsigned := forge(`{"alg":"none"}`, payload(""), nil)
	for name, token := range map[string]string{
		"public key as secret":  forge(`{"alg":"HS256","kid":"k"}`, payload(""), k.public),
		"PEM as secret":         forge(`{"alg":"HS256","kid":"k"}`, payload(""), text),
		"none":                  unsigned,
		"none, no signature":    unsigned[:strings.LastIndex(unsigned, ".")+1],
		"None":                  forge(`{"alg":"None"}`, payload(""), nil),
		"HS512 named":           forge(`{"alg":"HS512"}`, payload(""), []byte(long)),
		"EdDSA with HMAC":       forge(`{"alg":"EdDSA"}`, payload(""), []byte(long)),
		"key in header":         forge(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, payload(""), []byte{0, 0, 0}),
		"no algorithm":          forge(`{}`, payload(""), []byte(long)),
		"critical header":       forge(`{"alg":"HS256","kid":"h","crit":["x"],"x":1}`, payload(""), []byte("wrong secret")),
		"signature cut":         forge(`{"alg":"HS256"}`, payload(""), []byte(long))[:80],
		"empty":                 "",
		"dots":                  "..",
		"four parts":            "a.b.c.d",
		"longer than any token": strings.Repeat("a", MaxToken+1),
	} {
		if g, err := v.Verify(token, now); err == nil {
			t.Errorf("%s: accepted as %+v", name, g)
		}
	}
	if _, err := v.Verify(forge(`{"alg":"HS256","kid":"h"}`, payload(""), []byte(long)), now); err != nil {
		t.Errorf("the good one is refused: %v", err)
	}
}

func TestClaimsAreComplete(t *testing.T) {
	v := verifier(t, hmacKey(t, "", long))
	for name, p := range map[string]string{
		"no exp":        `{"room":"r1","role":"admin"}`,
		"no room":       fmt.Sprintf(`{"role":"admin","exp":%d}`, now.Unix()+60),
		"no role":       fmt.Sprintf(`{"room":"r1","exp":%d}`, now.Unix()+60),
		"bad role":      fmt.Sprintf(`{"room":"r1","role":"king","exp":%d}`, now.Unix()+60),
		"bad room":      fmt.Sprintf(`{"room":"a b","role":"admin","exp":%d}`, now.Unix()+60),
		"bad tenant":    payload(`,"tenant":"../x"`),
		"room a list":   fmt.Sprintf(`{"room":["r1"],"role":"admin","exp":%d}`, now.Unix()+60),
		"exp a text":    `{"room":"r1","role":"admin","exp":"tomorrow"}`,
		"endless name":  payload(`,"name":"` + strings.Repeat("x", 100) + `"`),
		"of the future": payload(fmt.Sprintf(`,"nbf":%d`, now.Unix()+60)),
		"no object":     `[]`,
	} {
		if g, err := v.Verify(forge(`{"alg":"HS256"}`, p, []byte(long)), now); err == nil {
			t.Errorf("%s: accepted as %+v", name, g)
		}
	}
}

func TestErrorsTellNothing(t *testing.T) {
	v := verifier(t, hmacKey(t, "", long))
	token, err := Mint(hmacKey(t, "", strings.Repeat("y", 32)), grant, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(token, now)
	if err == nil || strings.Contains(err.Error(), token[:10]) {
		t.Errorf("%v", err)
	}
	k := hmacKey(t, "k1", long)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if strings.Contains(text, "0123") || strings.Contains(text, "48, 49") {
			t.Errorf("a key shows its secret: %s", text)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	k := hmacKey(t, "", long)
	for name, g := range map[string]Grant{"role": {Room: "r"}, "room": {Role: Viewer}, "tenant": {Room: "r", Role: Viewer, Tenant: "a b"}} {
		if _, err := Mint(k, g, time.Hour, now); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	if _, err := Mint(k, grant, 0, now); err == nil {
		t.Error("minted for no time")
	}
	public, err := NewEd25519("", edKey(t, "").public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Mint(public, grant, time.Hour, now); err == nil || public.CanMint() {
		t.Error("minted without a secret")
	}
	if _, has := verifier(t, public).Signer(); has {
		t.Error("signs without a secret")
	}
}

func TestKeys(t *testing.T) {
	k := edKey(t, "")
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	token, err := Mint(k, grant, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	for text, mints := range map[string]bool{encode("PRIVATE KEY", private): true, "\n" + encode("PUBLIC KEY", public): false} {
		read, err := ParseKey("k", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier(t, read).Verify(token, now); err != nil || read.CanMint() != mints {
			t.Errorf("%v: mints %v, %v", read, read.CanMint(), err)
		}
	}
	if s, err := ParseKey("k", " "+long+"\n"); err != nil || string(s.secret) != long {
		t.Errorf("%v %v", s, err)
	}
	for name, text := range map[string]string{
		"short": long[:MinSecret-1], "empty": "", "spaces": strings.Repeat(" ", 40), "broken PEM": "-----BEGIN PUBLIC KEY-----\nabc",
		"bad DER": encode("PUBLIC KEY", []byte("x")), "bad private DER": encode("PRIVATE KEY", []byte("x")), "certificate": encode("CERTIFICATE", public),
	} {
		if _, err := ParseKey("k", text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewVerifier(); err == nil {
		t.Error("a verifier without keys")
	}
	if _, err := NewVerifier(Key{}); err == nil {
		t.Error("a verifier with an empty key")
	}
	if _, err := NewEd25519("", nil); err == nil {
		t.Error("an empty public key")
	}
	if _, err := NewEd25519Signer("", nil); err == nil {
		t.Error("an empty private key")
	}
}

func TestAllows(t *testing.T) {
	all := Grant{Room: AllRooms, Role: Moderator}
	one := Grant{Room: "r1", Role: Moderator}
	for _, c := range []struct {
		g    Grant
		a    Action
		room string
		want bool
	}{
		{all, Moderate, "r1", true},
		{one, Moderate, "r1", true},
		{one, Moderate, "r2", false},
		{one, Moderate, "R1", false},
		{one, Moderate, "*", false},
		{one, Create, "r1", false},
		{one, None, "r1", false},
		{Grant{Room: AllRooms, Role: Admin}, None, "r1", false},
		{Grant{Room: AllRooms}, Watch, "r1", false},
		{Grant{Room: AllRooms, Role: "Admin"}, Watch, "r1", false},
		{Grant{Role: Admin}, Watch, "r1", false},
	} {
		if got := c.g.Allows(c.a, c.room); got != c.want {
			t.Errorf("%+v allows %d in %q: %v", c.g, c.a, c.room, got)
		}
	}
}

func TestCovers(t *testing.T) {
	root, t1, r1 := Grant{Room: "*", Role: Admin}, Grant{Room: "*", Role: Admin, Tenant: "t1"}, Grant{Room: "r1", Role: Admin}
	for _, c := range []struct {
		mine, other Grant
		want        bool
	}{
		{root, root, true},
		{root, t1, true},
		{root, r1, true},
		{t1, root, false},
		{r1, root, false},
		{t1, r1, false},
		{t1, Grant{Room: "x", Role: Viewer, Tenant: "t1"}, true},
		{t1, Grant{Room: "x", Role: Viewer, Tenant: "t2"}, false},
		{r1, Grant{Room: "r1", Role: Moderator}, true},
		{Grant{Room: "r1", Role: Moderator}, r1, false},
	} {
		if got := c.mine.Covers(c.other); got != c.want {
			t.Errorf("%+v covers %+v: %v", c.mine, c.other, got)
		}
	}
}

// FuzzVerify holds that nothing but a token of ours is accepted.
func FuzzVerify(f *testing.F) {
	token := forge(`{"alg":"HS256"}`, payload(""), []byte(long)) // the same in every process
	f.Add(token)
	f.Add(forge(`{"alg":"none"}`, payload(""), nil))
	f.Add(forge(`{"alg":"EdDSA"}`, payload(""), []byte(long)))
	f.Add("a.b.c")
	v := verifier(f, hmacKey(f, "", long), edKey(f, ""))
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := v.Verify(s, now); err == nil && s != token {
			t.Errorf("%q gives %+v", s, g)
		}
	})
}
