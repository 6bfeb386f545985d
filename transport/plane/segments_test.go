//go:build linux

package plane

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestRunsArriveWhole sends runs of datagrams that the kernel cuts, and the same
// one by one, and compares what comes.
func TestRunsArriveWhole(t *testing.T) {
	for _, segments := range []bool{true, false} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			sizes := []int{900, 900, 900, 40, 100, 100, 1200, 1200, 1199, 1, 1, 500, 600}
			got := exchange(t, address, segments, sizes)
			if len(got) != len(sizes) {
				t.Fatalf("%s, segments %v: %d of %d datagrams came", address, segments, len(got), len(sizes))
			}
			for i, b := range got {
				if !bytes.Equal(b, bytes.Repeat([]byte{byte(i + 1)}, sizes[i])) {
					t.Errorf("%s, segments %v: datagram %d has %d bytes, not %d, or others", address, segments, i, len(b), sizes[i])
				}
			}
		}
	}
}

// exchange sends datagrams of those sizes to a socket and answers what came.
func exchange(t *testing.T, address string, segments bool, sizes []int) (got [][]byte) {
	t.Helper()
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		if err != nil {
			t.Skipf("no address %s here: %v", address, err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	to := open()
	io, err := newMmsg(open(), &New().gate)
	if err != nil {
		t.Fatal(err)
	}
	io.(*mmsg).segments = segments
	target := to.LocalAddr().(*net.UDPAddr).AddrPort()
	d := destinationOf(target, target.Addr().Is6())
	var list []outDatagram
	for i, n := range sizes {
		list = append(list, outDatagram{bytes.Repeat([]byte{byte(i + 1)}, n), d})
	}
	if refused, err := io.write(list); refused != 0 || err != nil {
		t.Fatalf("refused %d: %v", refused, err)
	}
	if io.(*mmsg).segments != segments {
		t.Errorf("%s: the kernel refused to cut", address)
	}
	if err := to.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range sizes {
		b := make([]byte, maxDatagram)
		n, err := to.Read(b)
		if err != nil {
			return got
		}
		got = append(got, b[:n])
	}
	return got
}

// TestRunsFallBack writes to where no run is taken: all that can be sent is,
// one by one.
func TestRunsFallBack(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io, err := newMmsg(c, &New().gate)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := destinationOf(netip.MustParseAddrPort("127.0.0.1:0"), false) // port 0 is EINVAL
	own := destinationOf(c.LocalAddr().(*net.UDPAddr).AddrPort(), false)
	list := []outDatagram{{[]byte("ab"), nowhere}, {[]byte("cd"), nowhere}, {[]byte("ef"), own}, {[]byte("gh"), own}}
	if refused, err := io.write(list); refused != 2 || err != nil {
		t.Errorf("refused %d of the two to nowhere: %v", refused, err)
	}
	if io.(*mmsg).segments {
		t.Error("runs are tried again")
	}
	batch := make([]inDatagram, readBatch)
	got := ""
	for len(got) < 4 {
		n, err := io.read(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range batch[:n] {
			got += string(d.data)
		}
	}
	if got != "efgh" {
		t.Errorf("got %q", got)
	}
}

func TestRunLength(t *testing.T) {
	a, b := &destination{}, &destination{}
	of := func(to *destination, sizes ...int) (list []outDatagram) {
		for _, n := range sizes {
			list = append(list, outDatagram{make([]byte, n), to})
		}
		return list
	}
	for _, tt := range []struct {
		list []outDatagram
		want int
	}{
		{of(a, 10), 1},
		{of(a, 10, 10, 10), 3},
		{of(a, 10, 10, 9), 3},
		{of(a, 10, 9, 9), 2},
		{of(a, 10, 11), 1},
		{append(of(a, 10, 10), of(b, 10)...), 2},
		{of(a, 30000, 30000, 30000), 2},
	} {
		if n := runLength(tt.list); n != tt.want {
			t.Errorf("%d datagrams: a run of %d, not %d", len(tt.list), n, tt.want)
		}
	}
}
