package rtc

import (
	"net"
	"net/netip"
	"testing"
)

// A server for development hears nobody from another host.
func TestWithinHostHearsOnlyItself(t *testing.T) {
	hears := from(net.IPv4(192, 0, 2, 2))
	for address, want := range map[string]bool{
		"192.0.2.2:9": true, "192.0.2.2:10": true, "192.0.2.7:9": false, "10.0.0.1:9": false, "[2001:db8::1]:9": false,
	} {
		if hears(netip.MustParseAddrPort(address)) != want {
			t.Errorf("%s is heard: %v", address, !want)
		}
	}
}
