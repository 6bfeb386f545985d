package forward

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"tutti/mixer"
)

// book is a resolver that knows some names, and counts who asks.
type book struct {
	names map[string][]string
	asked int
}

func (b *book) LookupNetIP(_ context.Context, network, host string) (list []netip.Addr, err error) {
	b.asked++
	if network != "ip" {
		return nil, errors.New("asked for " + network)
	}
	for _, a := range b.names[host] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	return list, nil
}

func atHome() ([]net.Addr, error) {
	return []net.Addr{&net.IPNet{IP: net.IPv4(8, 8, 8, 8), Mask: net.CIDRMask(24, 32)}}, nil
}

func TestPolicy(t *testing.T) {
	names := map[string][]string{
		"media.example.org": {"9.9.9.9", "2620:fe::fe"}, "media.example.org.": {"9.9.9.9"}, "box": {"9.9.9.9"},
		"inside.example.org": {"10.1.2.3"}, "loop.example.org": {"127.0.0.1"}, "mapped.example.org": {"::ffff:169.254.169.254"},
		"two.example.org": {"9.9.9.9", "192.168.1.1"}, "localhost": {"127.0.0.1", "::1"}, "lab.example.org": {"10.9.0.7"},
		// What libraries of C take for addresses.
		"2130706433": {"9.9.9.9"}, "127.1": {"9.9.9.9"}, "0x7f.1": {"9.9.9.9"}, "0177.0.0.1": {"9.9.9.9"}, "0x7f000001": {"9.9.9.9"}, "example.0x7f": {"9.9.9.9"},
	}
	for host, want := range map[string]string{
		"9.9.9.9": "9.9.9.9", "::ffff:9.9.9.9": "9.9.9.9", "2620:fe::fe": "2620:fe::fe", "10.9.0.7": "10.9.0.7", "::ffff:10.9.0.7": "10.9.0.7",
		"media.example.org": "9.9.9.9", "media.example.org.": "9.9.9.9", "box": "9.9.9.9", "lab.example.org": "10.9.0.7", "fd00:9::1": "fd00:9::1",

		"127.0.0.1": "", "127.8.8.8": "", "::1": "", "::ffff:127.0.0.1": "", "::127.0.0.1": "", "localhost": "", "0.0.0.0": "", "0.1.2.3": "", "::": "",
		"169.254.169.254": "", "::ffff:169.254.169.254": "", "fe80::1": "", "fe80::1%lo": "", "9.9.9.9%lo": "", "2620:fe::fe%lo": "", "100.100.100.200": "", "192.0.0.192": "", "fd00:ec2::254": "",
		"10.1.2.3": "", "172.16.0.1": "", "172.31.255.255": "", "192.168.1.1": "", "100.64.0.1": "", "198.18.0.1": "", "fc00::1": "", "fec0::1": "",
		"224.0.0.1": "", "239.255.0.1": "", "ff02::1": "", "ff0e::1": "", "255.255.255.255": "", "240.0.0.1": "", "192.0.2.1": "", "203.0.113.9": "", "198.51.100.7": "",
		"64:ff9b::7f00:1": "", "64:ff9b:1::a00:1": "", "2002:7f00:1::": "", "2001:0:7f00:1::": "", "2001:db8::1": "", "100::1": "", "3fff::1": "", "5f00::1": "",
		"8.8.8.8": "", "::ffff:8.8.8.8": "", // this machine's own
		"inside.example.org": "", "loop.example.org": "", "mapped.example.org": "", "two.example.org": "", "unknown.example.org": "",
		"2130706433": "", "127.1": "", "0x7f.1": "", "0177.0.0.1": "", "0x7f000001": "", "example.0x7f": "", "017700000001": "", "127.0.0.1.": "", "1.2.3": "",
		"": "", ".": "", "a..b": "", "[::1]": "", "9.9.9.9:53": "", "media.example.org:53": "", "http://media.example.org": "", "a b": "", "①②⑦.0.0.1": "", "media.example.org\x00": "", "user@media.example.org": "",
	} {
		p := policy{prefixes("10.9.0.0/16", "fd00:9::/32", "224.0.0.0/4", "0.0.0.0/32"), &book{names: names}, atHome}
		a, err := p.resolve(t.Context(), host)
		if want != "" {
			if err != nil || a.String() != want {
				t.Errorf("%q: %v, %v, want %s", host, a, err, want)
			}
			continue
		}
		var field *mixer.FieldError
		if !errors.As(err, &field) || field.Field != "host" || *field != *errHost || a.IsValid() {
			t.Errorf("%q: %v, %v", host, a, err)
		}
	}
}

// With nothing known of its own addresses a machine sends nowhere that is not
// allowed.
func TestPolicyWithoutOwnAddresses(t *testing.T) {
	p := policy{prefixes("9.9.9.0/24"), &book{}, func() ([]net.Addr, error) { return nil, errors.New("no") }}
	if _, err := p.resolve(t.Context(), "1.1.1.1"); !errors.Is(err, errHost) {
		t.Error(err)
	}
	if _, err := p.resolve(t.Context(), "9.9.9.9"); err != nil {
		t.Error(err)
	}
}

// A name is asked for once, and its address kept, whatever it becomes.
func TestNamesArePinned(t *testing.T) {
	names := &book{names: map[string][]string{"media.example.org": {"127.0.0.1"}}}
	m := newManager(t, func(c *Config) { c.Resolver = names })
	e := listen(t)
	i, _ := start(t, m, newRoom("r"), Options{Host: "media.example.org", AudioPort: e.port})
	names.names["media.example.org"] = []string{"127.0.0.9"}
	if i.Host != "media.example.org" || i.Address.String() != "127.0.0.1" || names.asked != 1 {
		t.Errorf("%+v, asked %d times", i.Running, names.asked)
	}
	again := m.Running("r")[0]
	other := newManager(t, func(c *Config) { c.Resolver = names })
	if err := other.goOn(newRoom("r"), again, 0); err != nil || other.List("r")[0].Address.String() != "127.0.0.1" || names.asked != 1 {
		t.Errorf("%v, asked %d times", err, names.asked)
	}
	strict := newManager(t, func(c *Config) { c.Allow = nil })
	if err := strict.goOn(newRoom("r"), again, 0); !errors.Is(err, errHost) {
		t.Errorf("went on to %v: %v", again.Address, err)
	}
}
