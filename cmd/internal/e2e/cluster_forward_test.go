package e2e

import (
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// forwarded is when packets of one SSRC came.
type forwarded struct {
	ssrc        uint32
	first, last time.Time
	packets     int
	bye         bool
}

// tap receives what is forwarded to a port, media and RTCP.
type tap struct {
	conn *net.UDPConn
	mu   sync.Mutex
	list []forwarded // in the order in which they began
}

func openTap(t *testing.T) *tap {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			p.take(buf[:n], time.Now())
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p
}

func (p *tap) port() int { return p.conn.LocalAddr().(*net.UDPAddr).Port }

func (p *tap) take(b []byte, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) < 12 {
		return
	}
	if b[1] >= 192 && b[1] <= 223 { // RTCP (RFC 5761, section 4): does a BYE end it?
		for len(b) >= 8 {
			size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
			for i := range p.list {
				if b[1] == 203 && p.list[i].ssrc == binary.BigEndian.Uint32(b[4:]) {
					p.list[i].bye = true
				}
			}
			b = b[min(size, len(b)):]
		}
		return
	}
	ssrc := binary.BigEndian.Uint32(b[8:])
	for i := range p.list {
		if s := &p.list[i]; s.ssrc == ssrc {
			s.last, s.packets = at, s.packets+1
			return
		}
	}
	p.list = append(p.list, forwarded{ssrc: ssrc, first: at, last: at, packets: 1})
}

// runs waits until the n-th stream runs and answers all so far.
func (p *tap) runs(t *testing.T, n int) []forwarded {
	t.Helper()
	var list []forwarded
	until(t, patience, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		list = append([]forwarded(nil), p.list...)
		return wrongIf(len(list) < n || list[len(list)-1].packets < 100, "what came is %+v, not a stream number %d that runs", list, n)
	})
	if len(list) != n {
		t.Fatalf("there are %d streams, not %d: %+v", len(list), n, list)
	}
	return list
}

// TestClusterForwards has a room forwarded while its node is killed, and then
// while it moves: the same forwarder goes on to the same port from the next node.
func TestClusterForwards(t *testing.T) {
	f := launch(t, 1, 3)
	router := f.routers[0]
	if _, err := router.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Fatal(err)
	}
	type forwarder struct{ ID, Host, State string }
	tap := openTap(t)
	made := ask[forwarder](t, router, http.MethodPost, "/v1/rooms/r/forwarders", map[string]any{"host": "127.0.0.1", "audio_port": tap.port(), "rtcp_mux": true})
	tap.runs(t, 1)

	before := f.owner(t, "r")
	f.nodes[before.Node].kill()
	f.movesFrom(t, "r", before, patience)
	list := tap.runs(t, 2)
	gap := list[1].first.Sub(list[0].last)
	t.Logf("killed: forwarded again after %v", gap)
	if gap < 0 {
		t.Error("both nodes sent")
	}
	if is := ask[forwarder](t, router, http.MethodGet, "/v1/rooms/r/forwarders/"+made.ID, nil); is.ID != made.ID || is.Host != made.Host || is.State != "active" {
		t.Errorf("it goes on as %+v, not %+v", is, made)
	}

	before = f.owner(t, "r")
	if _, err := router.call(http.MethodPatch, "/v1/nodes/"+before.Node, map[string]any{"state": "draining", "deadline_s": 20}); err != nil {
		t.Fatal(err)
	}
	f.movesFrom(t, "r", before, patience)
	list = tap.runs(t, 3)
	gap = list[2].first.Sub(list[1].last)
	t.Logf("moved: the next stream begins %v after the end of the last", gap)
	if gap < -time.Second || gap > time.Second {
		t.Error("one stream does not follow the other")
	}
	if list[1].bye {
		t.Error("the old half said goodbye, though it goes on")
	}
	if _, err := router.call(http.MethodDelete, "/v1/rooms/r/forwarders/"+made.ID, nil); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func() string {
		tap.mu.Lock()
		defer tap.mu.Unlock()
		return wrongIf(!tap.list[2].bye, "no goodbye")
	})
}
