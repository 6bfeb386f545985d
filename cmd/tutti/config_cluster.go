package main

import (
	"net"
	"net/url"
	"runtime"
	"strings"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

// ClusterConfig is how a node or a router is a member of a cluster.
type ClusterConfig struct {
	URLs      []string `yaml:"urls"`      // of etcd
	Key       string   `yaml:"key"`       // which the members show to each other
	Advertise string   `yaml:"advertise"` // where the others reach this member's HTTP
	LeaseS    int      `yaml:"lease_s"`
	DrainS    int      `yaml:"drain_s"`
	Labels    []string `yaml:"labels"`   // key=value
	Capacity  int      `yaml:"capacity"` // milliseconds of CPU per second; 0 for four fifths of the cores
	Weight    float64  `yaml:"weight"`
}

// StoreConfig is the store that a router brings with it where cluster.urls
// names none.
type StoreConfig struct {
	Name    string   `yaml:"name"`
	Data    string   `yaml:"data"`
	Client  string   `yaml:"client"`
	Peer    string   `yaml:"peer"`
	Initial []string `yaml:"initial"` // name=URL
}

// RouterConfig is what a router does with what comes in.
type RouterConfig struct {
	Rules              string `yaml:"rules"` // a file
	Rebalance          bool   `yaml:"rebalance"`
	SessionsPerS       int    `yaml:"sessions_per_s"`
	TenantSessionsPerS int    `yaml:"tenant_sessions_per_s"`
}

// TLSConfig is how HTTP is encrypted; empty: not at all.
type TLSConfig struct {
	Cert          string   `yaml:"cert"` // files in PEM
	Key           string   `yaml:"key"`
	AutocertHosts []string `yaml:"autocert_hosts"`
	AutocertDir   string   `yaml:"autocert_dir"`
}

// check is one thing that a key must be.
type check struct {
	key    string
	ok     bool
	reason string
}

// first answers a *KeyError for the first check that fails, or nil.
func first(checks []check) error {
	for _, k := range checks {
		if !k.ok {
			return &KeyError{Key: k.key, Reason: k.reason}
		}
	}
	return nil
}

// clusterChecks are what the keys of clusters must be, whoever uses them.
func (c *Config) clusterChecks() []check {
	return []check{
		{"cluster.urls", all(c.Cluster.URLs, isBareURL), "must be a list of URLs such as http://192.0.2.1:2379"},
		{"cluster.key", c.Cluster.Key == "" || len(c.Cluster.Key) >= 32, "must have at least 32 characters"},
		{"cluster.key", isHeaderValue(c.Cluster.Key), "must be of visible ASCII, as a header carries it"},
		{"cluster.advertise", c.Cluster.Advertise == "" || cluster.ValidAddress(c.Cluster.Advertise) == nil, "must be a URL such as http://192.0.2.1:8080, with nothing after it"},
		{"cluster.lease_s", c.Cluster.LeaseS >= 1 && c.Cluster.LeaseS <= 60, "must be 1 to 60"},
		{"cluster.drain_s", c.Cluster.DrainS >= 1 && c.Cluster.DrainS <= 86400, "must be 1 to 86400"},
		{"cluster.labels", all(c.Cluster.Labels, isLabel), "must be a list of key=value, both of [A-Za-z0-9_-]{1,64}"},
		{"cluster.labels", len(labels(c.Cluster.Labels)) == len(c.Cluster.Labels), "must not name a key twice"},
		{"cluster.capacity", c.Cluster.Capacity >= 0 && c.Cluster.Capacity <= 1_000_000, "must be 0 to 1000000"},
		{"cluster.weight", c.Cluster.Weight >= 0.01 && c.Cluster.Weight <= 100, "must be 0.01 to 100"},
		{"store.name", c.Store.Name == "" || mixer.ValidID(c.Store.Name), "must match [A-Za-z0-9_-]{1,64}"},
		{"store.data", c.Store.Data != "", "must be a folder"},
		{"store.client", isBareURL(c.Store.Client), "must be a URL such as http://127.0.0.1:2379"},
		{"store.peer", isBareURL(c.Store.Peer), "must be a URL such as http://127.0.0.1:2380"},
		{"store.initial", all(c.Store.Initial, isPeer), "must be a list of name=URL, such as a=http://192.0.2.1:2380"},
		{"router.sessions_per_s", c.Router.SessionsPerS >= 1 && c.Router.SessionsPerS <= 1_000_000, "must be 1 to 1000000"},
		{"router.tenant_sessions_per_s", c.Router.TenantSessionsPerS >= 1 && c.Router.TenantSessionsPerS <= 1_000_000, "must be 1 to 1000000"},
		{"tls.key", (c.TLS.Cert == "") == (c.TLS.Key == ""), "and tls.cert must both be set, or neither"},
		{"tls.autocert_hosts", c.TLS.Cert == "" || len(c.TLS.AutocertHosts) == 0, "must be empty where tls.cert is set"},
		{"tls.autocert_hosts", all(c.TLS.AutocertHosts, isDomain), "must be a list of names such as mix.example.org"},
		{"tls.autocert_dir", c.TLS.AutocertDir != "", "must be a folder"},
	}
}

// memberChecks are what a member of a cluster needs.
func (c *Config) memberChecks(role cluster.Role) []check {
	return []check{
		{"cluster.urls", role != cluster.NodeRole || len(c.Cluster.URLs) > 0, "must name the store of the cluster: set it, or --cluster"},
		{"cluster.key", c.Dev || c.Cluster.Key != "", "must be set, to the same on all members; only with dev none is needed"},
		{"cluster.advertise", c.Cluster.Advertise != "" || namesHost(c.HTTP), "must be set, as http names no host that the other members could reach"},
	}
}

// address answers where the other members reach this one, which listens at a.
func (c *Config) address(a net.Addr) string {
	if c.Cluster.Advertise != "" {
		return c.Cluster.Advertise
	}
	return c.scheme() + a.String()
}

// scheme answers how URLs of this process begin.
func (c *Config) scheme() string {
	if c.TLS.Cert != "" || len(c.TLS.AutocertHosts) > 0 {
		return "https://"
	}
	return "http://"
}

// lease answers how long a member is there without a sign of life.
func (c *Config) lease() time.Duration { return time.Duration(c.Cluster.LeaseS) * time.Second }

// capacity answers the CPU that rooms may take, in milliseconds per second.
func (c *Config) capacity() float64 {
	if c.Cluster.Capacity > 0 {
		return float64(c.Cluster.Capacity)
	}
	return float64(runtime.NumCPU()) * 800
}

// storeName answers the name of the store's member that this router brings with
// it: the router's own, unless it has another.
func (c *Config) storeName() string {
	if c.Store.Name != "" {
		return c.Store.Name
	}
	return c.nodeName()
}

// labels answers a list of key=value as a map.
func labels(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, l := range list {
		key, value, _ := strings.Cut(l, "=")
		m[key] = value
	}
	return m
}

func isLabel(s string) bool {
	key, value, ok := strings.Cut(s, "=")
	return ok && mixer.ValidID(key) && mixer.ValidID(value)
}

func isPeer(s string) bool {
	name, address, ok := strings.Cut(s, "=")
	return ok && mixer.ValidID(name) && isBareURL(address)
}

// isBareURL reports whether a text is a URL of a host with a port and nothing after it.
func isBareURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isURL(s) && u.Port() != "" && u.Path == "" && u.RawQuery == "" && u.User == nil && u.Fragment == ""
}

// isDomain reports whether a text may be the name of a host in the DNS.
func isDomain(s string) bool {
	return len(s) <= 253 && strings.Contains(s, ".") && !isIP(s) && strings.Trim(s, ".") == s &&
		strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
		}) < 0
}

func isHeaderValue(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// namesHost reports whether an address to listen at names a host that others
// can reach it by.
func namesHost(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && !ip.IsUnspecified()
}
