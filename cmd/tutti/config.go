package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"tutti/mixer"
	"tutti/transport/announce"
)

// Config is everything that can be told to the program. A key of the YAML
// file is the path of yaml names, such as rooms.max; its environment variable
// is TUTTI_ROOMS_MAX. tutti.sample.yaml explains each key.
type Config struct {
	HTTP          string              `yaml:"http"`
	UDP           string              `yaml:"udp"`
	PublicIP      string              `yaml:"public_ip"`
	Data          string              `yaml:"data"`
	Dev           bool                `yaml:"dev"`
	Node          string              `yaml:"node"`
	DrainS        int                 `yaml:"drain_s"`
	Fonts         []string            `yaml:"fonts"`
	Auth          AuthConfig          `yaml:"auth"`
	Rooms         RoomsConfig         `yaml:"rooms"`
	Announcements AnnouncementsConfig `yaml:"announcements"`
	Forward       ForwardConfig       `yaml:"forward"`
	Video         VideoConfig         `yaml:"video"`
	CORS          CORSConfig          `yaml:"cors"`
	Log           LogConfig           `yaml:"log"`
	Demo          DemoConfig          `yaml:"demo"`
	Cluster       ClusterConfig       `yaml:"cluster"`
	Store         StoreConfig         `yaml:"store"`
	Router        RouterConfig        `yaml:"router"`
	TLS           TLSConfig           `yaml:"tls"`
}

// AuthConfig is how tokens are checked and signed.
type AuthConfig struct {
	Key      string `yaml:"key"`
	KeysFile string `yaml:"keys_file"`
}

// RoomsConfig bounds the rooms of a node.
type RoomsConfig struct {
	AutoCreate bool `yaml:"auto_create"`
	Max        int  `yaml:"max"`
}

// VideoConfig bounds the pictures that are let in, in pixels.
type VideoConfig struct {
	MaxWidth  int `yaml:"max_width"`
	MaxHeight int `yaml:"max_height"`
}

// CORSConfig names the web origins that may call the API from a browser; none
// stands for any.
type CORSConfig struct {
	Origins []string `yaml:"origins"`
}

// LogConfig is what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// DemoConfig is where the synthetic people of tutti demo go.
type DemoConfig struct {
	URL    string `yaml:"url"`
	Room   string `yaml:"room"`
	People int    `yaml:"people"`
	Token  string `yaml:"token"`
}

// defaults answers the configuration of who configures nothing.
func defaults() Config {
	return Config{
		HTTP:   ":8080",
		UDP:    ":7882",
		Data:   "./data",
		DrainS: 10,
		Fonts: []string{
			"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
			"/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
		},
		Rooms:         RoomsConfig{Max: 10000},
		Announcements: AnnouncementsConfig{MaxBytes: announce.DefaultBytes, MaxDurationS: int(announce.DefaultDuration.Seconds())},
		Video:         VideoConfig{MaxWidth: 1920, MaxHeight: 1920},
		Log:           LogConfig{Level: "info", Format: "text"},
		Demo:          DemoConfig{URL: "http://127.0.0.1:8080", Room: "demo", People: 4},
		Cluster:       ClusterConfig{LeaseS: 2, DrainS: 60, Weight: 1},
		Store:         StoreConfig{Data: "./store", Client: "http://127.0.0.1:2379", Peer: "http://127.0.0.1:2380"},
		Router:        RouterConfig{SessionsPerS: 200, TenantSessionsPerS: 100},
		TLS:           TLSConfig{AutocertDir: "./certs"},
	}
}

// KeyError names the key that is wrong, and where it was set if that is known.
type KeyError struct {
	Key, Source, Reason string
}

func (e *KeyError) Error() string {
	if e.Source != "" {
		return fmt.Sprintf("%s: %s %s", e.Source, e.Key, e.Reason)
	}
	return e.Key + " " + e.Reason
}

// complete fills in what follows from other keys. set reports whether a key
// was set by anybody.
func (c *Config) complete(set func(key string) bool) {
	if !c.Dev {
		return
	}
	if !set("rooms.auto_create") {
		c.Rooms.AutoCreate = true
	}
	if !set("forward.allow") {
		c.Forward.Allow = loopback
	}
	c.HTTP, c.UDP = onLoopback(c.HTTP), onLoopback(c.UDP)
}

// onLoopback answers the address with the loopback host if it names none.
func onLoopback(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}

// validate answers a *KeyError for the first key that cannot be.
func (c *Config) validate() error {
	return first(append([]check{
		{"http", isAddress(c.HTTP), "must be an address such as :8080 or 192.0.2.1:8080"},
		{"udp", isAddress(c.UDP), "must be an address such as :7882 or 192.0.2.1:7882"},
		{"public_ip", c.PublicIP == "" || isIP(c.PublicIP), "must be an IP address"},
		{"http", !c.Dev || isLoopback(c.HTTP), "must be on loopback under dev"},
		{"udp", !c.Dev || isLoopback(c.UDP), "must be on loopback under dev"},
		{"public_ip", !c.Dev || c.PublicIP == "", "must not be set under dev, which is not to be reached"},
		{"data", c.Data != "", "must be a folder"},
		{"node", c.Node == "" || mixer.ValidID(c.Node), "must match [A-Za-z0-9_-]{1,64}"},
		{"drain_s", c.DrainS >= 1 && c.DrainS <= 3600, "must be 1 to 3600"},
		{"rooms.max", c.Rooms.Max >= 1 && c.Rooms.Max <= 1_000_000, "must be 1 to 1000000"},
		{"video.max_width", c.Video.MaxWidth >= 16 && c.Video.MaxWidth <= 4096, "must be 16 to 4096"},
		{"video.max_height", c.Video.MaxHeight >= 16 && c.Video.MaxHeight <= 4096, "must be 16 to 4096"},
		{"cors.origins", all(c.CORS.Origins, isOrigin), "must be origins such as https://example.org, or *"},
		{"log.level", oneOf(c.Log.Level, "debug", "info", "warn", "error"), "must be debug, info, warn or error"},
		{"log.format", oneOf(c.Log.Format, "text", "json"), "must be text or json"},
		{"demo.url", isURL(c.Demo.URL), "must be a URL such as http://127.0.0.1:8080"},
		{"demo.room", mixer.ValidID(c.Demo.Room), "must match [A-Za-z0-9_-]{1,64}"},
		{"demo.people", c.Demo.People >= 1 && c.Demo.People <= 200, "must be 1 to 200"},
	}, slices.Concat(c.Announcements.checks(), c.Forward.checks(), c.clusterChecks())...))
}

// keyChecks are what whoever serves needs to know tokens by.
func (c *Config) keyChecks() []check {
	return []check{{
		"auth.key", c.Dev || c.Auth.Key != "" || c.Auth.KeysFile != "",
		"must be set, or auth.keys_file; only with dev no token is needed",
	}}
}

func oneOf(s string, words ...string) bool { return slices.Contains(words, s) }

func all(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
}

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return false
	}
	if _, err := net.LookupPort("udp", port); err != nil {
		return false
	}
	return host == "" || host == "localhost" || isIP(host)
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && oneOf(u.Scheme, "http", "https") && u.Host != ""
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return s == "*" || err == nil && isURL(s) && u.Path == "" && u.RawQuery == ""
}

// nodeName answers the configured name, or the host's as far as it may be one.
func (c *Config) nodeName() string {
	if c.Node != "" {
		return c.Node
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "node"
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, host)
	return clean[:min(len(clean), 64)]
}
