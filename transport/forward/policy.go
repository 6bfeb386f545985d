package forward

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tutti/mixer"
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// resolveWithin bounds the look-up of a name.
const resolveWithin = 3 * time.Second

// errHost is one and the same for all that is refused, so that nobody learns
// from it which names there are inside.
var errHost = &mixer.FieldError{Field: "host", Reason: "must be a public address or a name of one, or be allowed by the configuration"}

// notPublic are the ranges that look public and are not: IANA's special-purpose
// registries (RFC 6890) and what carries an IPv4 address inside.
var notPublic = prefixes(
	"0.0.0.0/8",       // this network
	"100.64.0.0/10",   // carrier-grade NAT; a cloud's metadata at 100.100.100.200
	"192.0.0.0/24",    // IETF assignments; a cloud's metadata at 192.0.0.192
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved, broadcast
	"2001::/23",       // IETF assignments, Teredo
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4
	"3fff::/20",       // documentation
)

// unicast6 is all of IPv6 that is global unicast; NAT64, mapped and compatible
// addresses, unique local and site-local ones lie outside.
var unicast6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// policy decides where may be sent to.
type policy struct {
	allow    []netip.Prefix
	resolver Resolver
	own      func() ([]net.Addr, error) // net.InterfaceAddrs
}

// resolve answers the address of a host that may be sent to, or a
// *mixer.FieldError.
func (p *policy) resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return p.permit(a)
	}
	if !isName(host) {
		return netip.Addr{}, errHost
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	list, err := p.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(list) == 0 {
		return netip.Addr{}, errHost
	}
	for i, a := range list {
		if list[i], err = p.permit(a); err != nil {
			return netip.Addr{}, err
		}
	}
	return list[0], nil
}

// permit answers the address as it is sent to, or errHost. One with a zone lies in
// no range, so it is refused.
func (p *policy) permit(a netip.Addr) (netip.Addr, error) {
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, errHost // these are no host's, whatever is allowed
	}
	if contains(p.allow, a) || public(a) && !p.isOwn(a) {
		return a, nil
	}
	return netip.Addr{}, errHost
}

func public(a netip.Addr) bool {
	if a.Is6() && !unicast6.Contains(a) {
		return false
	}
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsPrivate() && !contains(notPublic, a)
}

// isOwn reports whether an address is this machine's, which is as good as
// loopback.
func (p *policy) isOwn(a netip.Addr) bool {
	list, err := p.own()
	if err != nil {
		return true // whatever it is, nobody can say that it is not
	}
	return slices.ContainsFunc(list, func(o net.Addr) bool {
		n, ok := o.(*net.IPNet)
		own, valid := netip.Addr{}, false
		if ok {
			own, valid = netip.AddrFromSlice(n.IP)
		}
		return valid && own.Unmap() == a
	})
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isName reports whether a text is a host's name (RFC 1123, section 2.1) and could
// be no number: resolvers take 2130706433, 0x7f.1 and 127.1 for addresses.
func isName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, nameLetters) != "" {
			return false
		}
	}
	first := labels[len(labels)-1][0] | 0x20
	return first >= 'a' && first <= 'z'
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
