package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tutti/api/cluster"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tutti.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSampleEqualsDefaults(t *testing.T) {
	got, err := load("tutti.sample.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	// An empty list is written, not none.
	want.CORS.Origins, want.Cluster.URLs, want.Cluster.Labels = []string{}, []string{}, []string{}
	want.Store.Initial, want.TLS.AutocertHosts, want.Forward.Allow = []string{}, []string{}, []string{}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the sample differs from the defaults (-default +sample):\n%s", d)
	}
	// What is not in the file has its default too: each key must be written.
	text, err := os.ReadFile("tutti.sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for key := range leaves(&got) {
		words := strings.Split(key, ".")
		line := strings.Repeat("  ", len(words)-1) + words[len(words)-1] + ":"
		if !strings.Contains("\n"+string(text), "\n"+line) {
			t.Errorf("the sample does not tell of %s", key)
		}
	}
}

func TestPrecedence(t *testing.T) {
	path := write(t, "http: \":1\"\nudp: \":1\"\nnode: file\nrooms:\n  max: 1\nfonts: [a.ttf, b.ttf]\n")
	env := []string{"TUTTI_UDP=:2", "TUTTI_NODE=env", "TUTTI_ROOMS_MAX=2", "TUTTI_FONTS=c.ttf,d.ttf", "PATH=/bin"}
	c, err := load(path, env, map[string]any{"node": "flag", "rooms.max": "3"})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.HTTP, want.UDP, want.Node, want.Rooms.Max = ":1", ":2", "flag", 3
	want.Fonts = []string{"c.ttf", "d.ttf"}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFileNamedByEnvironment(t *testing.T) {
	c, err := load("", []string{"TUTTI_CONFIG=" + write(t, "node: there\n")}, nil)
	if err != nil || c.Node != "there" {
		t.Errorf("node %q, error %v", c.Node, err)
	}
	other := write(t, "node: here\n")
	c, err = load(other, []string{"TUTTI_CONFIG=" + write(t, "node: there\n")}, nil)
	if err != nil || c.Node != "here" {
		t.Errorf("the flag does not win: node %q, error %v", c.Node, err)
	}
}

func TestDevelopment(t *testing.T) {
	c, err := load("", nil, map[string]any{"dev": true})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "127.0.0.1:8080" || c.UDP != "127.0.0.1:7882" || !c.Rooms.AutoCreate {
		t.Errorf("dev made %+v", c)
	}
	c, err = load("", []string{"TUTTI_ROOMS_AUTO_CREATE=false"}, map[string]any{"dev": true})
	if err != nil || c.Rooms.AutoCreate {
		t.Errorf("what was set does not win: auto_create %v, error %v", c.Rooms.AutoCreate, err)
	}
	if c, err = load("", nil, nil); err != nil || c.HTTP != ":8080" || c.Rooms.AutoCreate {
		t.Errorf("without dev: %+v, %v", c, err)
	}
}

// Each error is of one line and names the key.
func TestErrorsNameTheKey(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		flags      map[string]any
		key        string
	}{
		{name: "unknown key", file: "rooms:\n  maximum: 3\n", key: "rooms.maximum"},
		{name: "unknown section", file: "room:\n  max: 3\n", key: "room.max"},
		{name: "key for a section", file: "http:\n  addr: x\n", key: "http.addr"},
		{name: "section for a key", file: "rooms: 3\n", key: "rooms"},
		{name: "no YAML", file: "a: b: c\n", key: "config"},
		{name: "a key twice", file: "node: a\nnode: b\n", key: "config"},
		{name: "a number for text", file: "node: 012\n", key: "node"},
		{name: "text for a number", file: "rooms:\n  max: many\n", key: "rooms.max"},
		{name: "half a number", file: "rooms:\n  max: 2.5\n", key: "rooms.max"},
		{name: "nothing for a number", file: "rooms:\n  max:\n", key: "rooms.max"},
		{name: "text for a truth", file: "dev: perhaps\n", key: "dev"},
		{name: "a list of numbers", file: "fonts: [1]\n", key: "fonts"},
		{name: "unknown variable", env: []string{"TUTTI_ROOM_MAX=3"}, key: "TUTTI_ROOM_MAX"},
		{name: "wrong variable", env: []string{"TUTTI_ROOMS_MAX=x"}, key: "rooms.max"},
		{name: "wrong flag", flags: map[string]any{"rooms.max": "0"}, key: "rooms.max"},
		{name: "unknown flag", flags: map[string]any{"rooms.min": "0"}, key: "rooms.min"},
		{name: "no address", flags: map[string]any{"http": "8080"}, key: "http"},
		{name: "no port", flags: map[string]any{"udp": ":70000"}, key: "udp"},
		{name: "no IP", flags: map[string]any{"public_ip": "example.org"}, key: "public_ip"},
		{name: "dev for the world", flags: map[string]any{"dev": true, "http": "0.0.0.0:8080"}, key: "http"},
		{name: "media for the world", flags: map[string]any{"dev": true, "udp": "192.0.2.1:1"}, key: "udp"},
		{name: "dev at a public IP", flags: map[string]any{"dev": true, "public_ip": "192.0.2.1"}, key: "public_ip"},
		{name: "node", flags: map[string]any{"node": "a b"}, key: "node"},
		{name: "no time", flags: map[string]any{"drain_s": "0"}, key: "drain_s"},
		{name: "origin with a path", file: "cors:\n  origins: [\"https://example.org/x\"]\n", key: "cors.origins"},
		{name: "level", env: []string{"TUTTI_LOG_LEVEL=loud"}, key: "log.level"},
		{name: "people", flags: map[string]any{"demo.people": 201}, key: "demo.people"},
		{name: "room", flags: map[string]any{"demo.room": "a/b"}, key: "demo.room"},
		{name: "store without a port", flags: map[string]any{"cluster.urls": "http://192.0.2.1"}, key: "cluster.urls"},
		{name: "short cluster key", flags: map[string]any{"cluster.key": strings.Repeat("x", 31)}, key: "cluster.key"},
		{name: "cluster key for no header", env: []string{"TUTTI_CLUSTER_KEY=" + strings.Repeat("é", 20)}, key: "cluster.key"},
		{name: "advertised path", flags: map[string]any{"cluster.advertise": "http://192.0.2.1:1/x"}, key: "cluster.advertise"},
		{name: "no lease", flags: map[string]any{"cluster.lease_s": "0"}, key: "cluster.lease_s"},
		{name: "no time to move", flags: map[string]any{"cluster.drain_s": "0"}, key: "cluster.drain_s"},
		{name: "label without a value", file: "cluster:\n  labels: [region]\n", key: "cluster.labels"},
		{name: "label twice", file: "cluster:\n  labels: [a=1, a=2]\n", key: "cluster.labels"},
		{name: "capacity", flags: map[string]any{"cluster.capacity": "-1"}, key: "cluster.capacity"},
		{name: "no weight", flags: map[string]any{"cluster.weight": "0"}, key: "cluster.weight"},
		{name: "weight in words", flags: map[string]any{"cluster.weight": "heavy"}, key: "cluster.weight"},
		{name: "weight beyond numbers", flags: map[string]any{"cluster.weight": "NaN"}, key: "cluster.weight"},
		{name: "store's name", flags: map[string]any{"store.name": "a b"}, key: "store.name"},
		{name: "no store folder", flags: map[string]any{"store.data": ""}, key: "store.data"},
		{name: "store's clients", flags: map[string]any{"store.client": ":2379"}, key: "store.client"},
		{name: "store's peers", flags: map[string]any{"store.peer": "192.0.2.1:2380"}, key: "store.peer"},
		{name: "peer without a name", flags: map[string]any{"store.initial": "http://192.0.2.1:2380"}, key: "store.initial"},
		{name: "sounds without bytes", flags: map[string]any{"announcements.max_bytes": "0"}, key: "announcements.max_bytes"},
		{name: "sounds for two days", flags: map[string]any{"announcements.max_duration_s": "172800"}, key: "announcements.max_duration_s"},
		{name: "no range", flags: map[string]any{"forward.allow": "10.1.2.3"}, key: "forward.allow"},
		{name: "range that begins before it is written", env: []string{"TUTTI_FORWARD_ALLOW=10.0.0.0/8,10.1.2.3/8"}, key: "forward.allow"},
		{name: "no sessions", flags: map[string]any{"router.sessions_per_s": "0"}, key: "router.sessions_per_s"},
		{name: "no sessions for a tenant", flags: map[string]any{"router.tenant_sessions_per_s": "0"}, key: "router.tenant_sessions_per_s"},
		{name: "certificate without a key", flags: map[string]any{"tls.cert": "c.pem"}, key: "tls.key"},
		{name: "two kinds of certificates", flags: map[string]any{"tls.cert": "c.pem", "tls.key": "k.pem", "tls.autocert_hosts": "a.example.org"}, key: "tls.autocert_hosts"},
		{name: "certificate for an address", flags: map[string]any{"tls.autocert_hosts": "192.0.2.1"}, key: "tls.autocert_hosts"},
		{name: "certificates nowhere", flags: map[string]any{"tls.autocert_dir": ""}, key: "tls.autocert_dir"},
	} {
		path := ""
		if c.file != "" {
			path = write(t, c.file)
		}
		_, err := load(path, c.env, c.flags)
		var wrong *KeyError
		if !errors.As(err, &wrong) || wrong.Key != c.key {
			t.Errorf("%s: %v does not name %s", c.name, err, c.key)
			continue
		}
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, c.key) {
			t.Errorf("%s: %q", c.name, text)
		}
	}
}

func TestMissingFileIsAnError(t *testing.T) {
	_, err := load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil)
	var wrong *KeyError
	if !errors.As(err, &wrong) || wrong.Key != "config" {
		t.Errorf("%v", err)
	}
}

func TestEmptySectionsAreNoKeys(t *testing.T) {
	if _, err := load(write(t, "rooms:\nauth: {}\n"), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	if v, err := loadKeys(AuthConfig{}); v != nil || err != nil {
		t.Errorf("without keys: %v, %v", v, err)
	}
	file := write(t, "keys:\n  - id: old\n    key: "+secret+"x\n")
	for _, c := range []AuthConfig{{Key: secret}, {KeysFile: file}, {Key: secret, KeysFile: file}} {
		v, err := loadKeys(c)
		if err != nil {
			t.Fatal(err)
		}
		key, ok := v.Signer()
		if wantID := map[bool]string{true: `""`, false: `"old"`}[c.Key != ""]; !ok || !strings.Contains(key.String(), wantID) {
			t.Errorf("%+v signs with %v", c, key)
		}
	}
	bad := []string{
		"", "keys: []\n", "keys: 3\n", "other: 3\n", "keys:\n  - id: a\n", "keys:\n  - key: " + secret + "\n",
		"keys:\n  - {id: a, key: short}\n", "keys:\n  - {id: a, key: " + secret + ", use: sig}\n", "keys: [3]\n", "keys:\n  - {id: a, key: " + secret + "}\nmore: 1\n",
	}
	for _, text := range bad {
		_, err := loadKeys(AuthConfig{KeysFile: write(t, text)})
		var wrong *KeyError
		if !errors.As(err, &wrong) || wrong.Key != "auth.keys_file" || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := loadKeys(AuthConfig{Key: "short"}); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestNodeName(t *testing.T) {
	c := Config{Node: "node-2"}
	if c.nodeName() != "node-2" {
		t.Error(c.nodeName())
	}
	c.Node = ""
	if n := c.nodeName(); n == "" || slices.ContainsFunc([]rune(n), func(r rune) bool { return r == '.' }) {
		t.Errorf("%q is no name for a node", n)
	}
}

// What a member of a cluster lacks is named, by role.
func TestMembersNeed(t *testing.T) {
	for _, c := range []struct {
		name  string
		role  cluster.Role
		flags map[string]any
		key   string // that is missing; empty: nothing
	}{
		{"node without a store", cluster.NodeRole, map[string]any{"dev": true}, "cluster.urls"},
		{"node under dev", cluster.NodeRole, map[string]any{"dev": true, "cluster.urls": "http://127.0.0.1:2379"}, ""},
		{"router under dev", cluster.RouterRole, map[string]any{"dev": true}, ""},
		{"router without a key", cluster.RouterRole, map[string]any{"http": "192.0.2.1:80"}, "cluster.key"},
		{"router at no host", cluster.RouterRole, map[string]any{"cluster.key": secret}, "cluster.advertise"},
		{"router at all hosts", cluster.RouterRole, map[string]any{"cluster.key": secret, "http": "0.0.0.0:80"}, "cluster.advertise"},
		{"router at an address", cluster.RouterRole, map[string]any{"cluster.key": secret, "http": "192.0.2.1:80"}, ""},
		{"router that says where", cluster.RouterRole, map[string]any{"cluster.key": secret, "cluster.advertise": "https://a.example.org"}, ""},
	} {
		config, err := load("", nil, c.flags)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = first(config.memberChecks(c.role))
		wrong := new(KeyError)
		if errors.As(err, &wrong); wrong.Key != c.key {
			t.Errorf("%s: %v, not of %q", c.name, err, c.key)
		}
	}
}

func TestWhereAMemberIs(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
	for _, c := range []struct {
		flags map[string]any
		want  string
	}{
		{nil, "http://192.0.2.1:80"},
		{map[string]any{"tls.autocert_hosts": "a.example.org"}, "https://192.0.2.1:80"},
		{map[string]any{"cluster.advertise": "https://a.example.org"}, "https://a.example.org"},
	} {
		config, err := load("", nil, c.flags)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.address(at); got != c.want {
			t.Errorf("%v: %s, not %s", c.flags, got, c.want)
		}
	}
}
