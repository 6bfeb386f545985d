package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5"
	"go.uber.org/goleak"

	"tutti/transport/transporttest/badlink"
)

// pair is two hosts with a socket each on a network.
type pair struct {
	*testing.T
	net                    *Network
	client, server         transport.UDPConn
	clientAddr, serverAddr *net.UDPAddr
}

const clientIP, serverIP = "10.0.0.2", "10.0.0.1"

func newPair(t *testing.T, link Link) *pair {
	t.Helper()
	n, err := NewNetwork(link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &pair{T: t, net: n}
	p.server, p.serverAddr = p.listen(serverIP, 7882)
	p.client, p.clientAddr = p.listen(clientIP, 5000)
	return p
}

func (p *pair) listen(ip string, port int) (transport.UDPConn, *net.UDPAddr) {
	p.Helper()
	host, err := p.net.Host(ip)
	if err != nil {
		p.Fatal(err)
	}
	addr := &net.UDPAddr{IP: net.ParseIP(ip), Port: port}
	conn, err := host.ListenUDP("udp4", &net.UDPAddr{Port: port}) // on all addresses
	if err != nil {
		p.Fatal(err)
	}
	return conn, addr
}

// receive answers what arrives until nothing has for two seconds, and when.
func receive(conn transport.UDPConn) (texts []string, times []time.Duration, begin time.Time) {
	begin = time.Now()
	buf := make([]byte, 1500)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			return texts, times, begin
		}
		texts, times = append(texts, string(buf[:n])), append(times, time.Since(begin))
	}
}

// send sends numbered datagrams of that size, headers and all, one every gap.
func (p *pair) send(from transport.UDPConn, to *net.UDPAddr, count, size int, gap time.Duration) {
	for i := range count {
		if i > 0 {
			time.Sleep(gap)
		}
		payload := append(make([]byte, 0, size), fmt.Sprintf("%05d", i)...)
		if _, err := from.WriteTo(payload[:size-headers], to); err != nil {
			p.Error(err)
		}
	}
}

func TestLinksDelayExactly(t *testing.T) {
	for _, link := range []Link{Clean, {Delay: 70 * time.Millisecond}, {}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, link)
			go p.send(p.client, p.serverAddr, 100, 200, 10*time.Millisecond)
			texts, times, _ := receive(p.server)
			for i, at := range times {
				if want := link.Delay + time.Duration(i)*10*time.Millisecond; at != want || texts[i][:5] != fmt.Sprintf("%05d", i) {
					t.Fatalf("%s arrived at %v, not %v", texts[i][:5], at, want)
				}
			}
			if len(times) != 100 {
				t.Errorf("%d of 100 arrived", len(times))
			}
		})
	}
}

func TestLinksLose(t *testing.T) {
	for _, link := range []Link{Lossy, Bursty} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, link)
			go p.send(p.client, p.serverAddr, 20_000, 200, time.Millisecond)
			texts, _, _ := receive(p.server)
			want := link.Conditions().Loss + link.Conditions().Burst.Mean()
			if got := 1 - float64(len(texts))/20_000; got < 0.9*want || got > 1.1*want {
				t.Errorf("%v of them were lost, not %v", got, want)
			}
			runs, last := 0, -1
			for _, text := range texts {
				n, err := strconv.Atoi(text[:5])
				if err != nil {
					t.Fatal(err)
				}
				if n > last+1 {
					runs++
				}
				last = n
			}
			length := float64(20_000-len(texts)) / float64(runs)
			if want := max(float64(link.Burst), 1/(1-link.Loss)); length < 0.85*want || length > 1.15*want {
				t.Errorf("%.2f are lost on end, not %.2f", length, want)
			}
			c, err := p.net.Counts(clientIP, serverIP)
			if err != nil || c.In != 20_000 || c.Lost != 20_000-uint64(len(texts)) || c.Out != uint64(len(texts)) {
				t.Errorf("%+v, %v", c, err)
			}
			if back, _ := p.net.Counts(serverIP, clientIP); back != (badlink.Counts{}) {
				t.Errorf("the other direction has %+v", back)
			}
		})
	}
}

func TestPathsHaveTheirOwnLuck(t *testing.T) {
	lostOf := func(seed uint64) (list [2][]string) {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, Link{Loss: 0.5, Seed: seed})
			p.send(p.client, p.serverAddr, 100, 200, time.Millisecond)
			p.send(p.server, p.clientAddr, 100, 200, time.Millisecond)
			list[0], _, _ = receive(p.server)
			list[1], _, _ = receive(p.client)
		})
		return list
	}
	first, again, other := lostOf(1), lostOf(1), lostOf(2)
	if !slices.Equal(first[0], again[0]) || !slices.Equal(first[1], again[1]) {
		t.Error("two runs with a seed differ")
	}
	if slices.Equal(first[0], other[0]) {
		t.Error("two seeds do the same")
	}
	if slices.Equal(first[0], first[1]) {
		t.Error("two directions do the same")
	}
}

func TestTraceIsPlayed(t *testing.T) {
	trace, err := badlink.Parse(`
		at 0s up     delay=10ms
		at 0s down   delay=20ms
		at 1s up     rate=80kbit/s queue=1h
		at 2s down   loss=100%
	`)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Clean)
		time.Sleep(time.Hour)
		if err := p.net.Play(clientIP, serverIP, trace); err != nil {
			t.Fatal(err)
		}
		go p.send(p.client, p.serverAddr, 4, 1000, 999*time.Millisecond)
		go p.send(p.server, p.clientAddr, 4, 1000, 999*time.Millisecond)
		down := make(chan []time.Duration)
		go func() {
			_, times, _ := receive(p.client)
			down <- times
		}()
		_, up, _ := receive(p.server)
		// 1000 bytes take 100 ms at 80 kbit/s.
		ms := time.Millisecond
		if want := []time.Duration{10 * ms, 1009 * ms, 2108 * ms, 3107 * ms}; !slices.Equal(up, want) {
			t.Errorf("up: %v, not %v", up, want)
		}
		if got, want := <-down, []time.Duration{20 * ms, 1019 * ms, 2018 * ms}; !slices.Equal(got, want) {
			t.Errorf("down: %v, not %v", got, want)
		}
	})
}

func TestPathsAreSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Link{Delay: time.Minute})
		p.send(p.client, p.serverAddr, 1, 200, 0)
		synctest.Wait()
		p.net.SetLink(Clean) // the path is there: the one on its way is slow still, and order is kept
		if err := p.net.Set(serverIP, clientIP, badlink.Conditions{Delay: 7 * time.Millisecond, Duplicate: 1, MTU: 200}); err != nil {
			t.Fatal(err)
		}
		p.send(p.server, p.clientAddr, 1, 200, 0)
		p.send(p.server, p.clientAddr, 1, 201, 0) // too long
		if _, times, _ := receive(p.client); !slices.Equal(times, []time.Duration{7 * time.Millisecond, 7 * time.Millisecond}) {
			t.Errorf("down: %v", times)
		}
		time.Sleep(time.Minute)
		p.send(p.client, p.serverAddr, 1, 200, 0)
		if _, times, _ := receive(p.server); !slices.Equal(times, []time.Duration{0, time.Millisecond}) {
			t.Errorf("up: %v", times)
		}

		bad := badlink.Conditions{Loss: 2}
		if err := p.net.Set(serverIP, clientIP, bad); !errors.Is(err, badlink.ErrConditions) {
			t.Errorf("bad conditions: %v", err)
		}
		if err := p.net.Play(serverIP, clientIP, badlink.Trace{Up: []badlink.Step{{Conditions: bad}}}); !errors.Is(err, badlink.ErrConditions) {
			t.Errorf("bad trace: %v", err)
		}
		if err := p.net.Set("here", clientIP, badlink.Conditions{}); err == nil {
			t.Error("a path from nowhere")
		}
		if _, err := NewNetwork(Link{Loss: -1}); !errors.Is(err, badlink.ErrConditions) {
			t.Errorf("a bad link: %v", err)
		}
	})
}

func TestCutAndMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Link{Delay: 10 * time.Millisecond})
		p.send(p.client, p.serverAddr, 1, 200, 0)
		p.send(p.server, p.clientAddr, 1, 200, 0)
		synctest.Wait()
		p.net.Cut(clientIP) // both are on their way
		time.Sleep(time.Second)
		p.send(p.client, p.serverAddr, 1, 300, 0)
		p.send(p.server, p.clientAddr, 1, 300, 0)
		synctest.Wait()
		p.net.Mend(clientIP) // too late for these
		p.send(p.client, p.serverAddr, 1, 400, 0)
		p.send(p.server, p.clientAddr, 1, 400, 0)
		for _, conn := range []transport.UDPConn{p.client, p.server} {
			if texts, _, _ := receive(conn); len(texts) != 1 || len(texts[0]) != 400-headers {
				t.Errorf("%d arrived", len(texts))
			}
		}
	})
}

// TestClosedSocketsDatagramsArrive: the last word of who goes is on its way.
func TestClosedSocketsDatagramsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Link{Delay: time.Second / 2})
		p.send(p.client, p.serverAddr, 1, 200, 0)
		if err := p.client.Close(); err != nil {
			t.Error(err)
		}
		if texts, _, _ := receive(p.server); len(texts) != 1 {
			t.Errorf("%d arrived", len(texts))
		}
		if _, err := p.client.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket reads: %v", err)
		}
		if err := p.client.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing twice: %v", err)
		}
	})
}

func TestSocketsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Clean)
		buf := make([]byte, 10)
		p.send(p.client, p.serverAddr, 2, 1000, 0)
		time.Sleep(time.Second)
		if err := p.server.SetDeadline(time.Now().Add(-1)); err != nil {
			t.Error(err)
		}
		if _, err := p.server.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("behind its time it reads: %v", err)
		}
		if err := p.server.SetReadDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		n, addr, err := p.server.ReadFrom(buf)
		if n != 10 || addr.String() != p.clientAddr.String() || !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("%d bytes from %v, %v", n, addr, err)
		}
		n, from, err := p.server.ReadFromUDP(make([]byte, 1500))
		if n != 1000-headers || from.String() != p.clientAddr.String() || err != nil {
			t.Errorf("%d bytes from %v, %v", n, from, err)
		}

		ended := make(chan error)
		go func() {
			_, err := p.server.Read(buf)
			ended <- err
		}()
		synctest.Wait()
		_ = p.server.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a reader of a socket that is closed: %v", err)
		}
	})
}

// TestAllSocketsAreOnTheNetwork opens a socket in every way there is.
func TestAllSocketsAreOnTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Link{Delay: 10 * time.Millisecond})
		host, err := p.net.Host("10.0.0.3")
		if err != nil {
			t.Fatal(err)
		}
		remote := &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 7882}
		for name, open := range map[string]func() (net.Conn, error){
			"dial":     func() (net.Conn, error) { return host.Dial("udp", remote.String()) },
			"dial udp": func() (net.Conn, error) { return host.DialUDP("udp", nil, remote) },
			"dialer":   func() (net.Conn, error) { return host.CreateDialer(nil).Dial("udp", remote.String()) },
			"listen":   func() (net.Conn, error) { return asConn(host.ListenPacket("udp", "10.0.0.3:0")) },
			"configure": func() (net.Conn, error) {
				return asConn(host.CreateListenConfig(nil).ListenPacket(t.Context(), "udp", "10.0.0.3:0"))
			},
		} {
			conn, err := open()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			begin := time.Now()
			to := &net.UDPAddr{IP: net.ParseIP("10.0.0.3"), Port: conn.LocalAddr().(*net.UDPAddr).Port}
			if _, err := p.server.WriteTo([]byte(name), to); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if took := time.Since(begin); err != nil || !bytes.Equal(buf[:n], []byte(name)) || took != 10*time.Millisecond {
				t.Errorf("%s: %q after %v, %v", name, buf[:n], took, err)
			}
		}
		if _, err := host.CreateListenConfig(nil).Listen(t.Context(), "tcp", "10.0.0.3:0"); !errors.Is(err, transport.ErrNotSupported) {
			t.Errorf("listen: %v", err)
		}
		// To oneself it is not far.
		self, err := host.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err = self.WriteTo([]byte{1}, self.LocalAddr()); err == nil {
			_, err = self.Read(make([]byte, 1))
		}
		if err != nil || time.Since(begin) != 0 {
			t.Errorf("over loopback: %v after %v", err, time.Since(begin))
		}
	})
}

func asConn(conn net.PacketConn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return conn.(net.Conn), nil
}

// TestNetworkLeavesNothing closes a network whose sockets are open and busy.
func TestNetworkLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	n, err := NewNetwork(Link{Delay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	host, err := n.Host(serverIP)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := host.ListenPacket("udp", serverIP+":1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo([]byte{1}, conn.LocalAddr()); err != nil {
		t.Error(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := conn.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its socket reads: %v", err)
	}
}
