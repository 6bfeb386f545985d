package plane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pion/srtp/v3"
)

// fromConn is a connection whose other end has an address.
type fromConn struct {
	net.Conn
	addr   net.Addr
	reader io.Reader // nil: that of Conn
}

func (c fromConn) RemoteAddr() net.Addr { return c.addr }

func (c fromConn) Read(b []byte) (int, error) {
	if c.reader != nil {
		return c.reader.Read(b)
	}
	return c.Conn.Read(b)
}

// frame puts a datagram into a frame (RFC 4571).
func frame(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

// overTCP is a connection from an address, what its reader is to read, and the
// plane's end of it.
func overTCP(t *testing.T, p *Plane, port int, read io.Reader) (far net.Conn, near *tcpConn) {
	t.Helper()
	far, c := net.Pipe()
	conn, err := p.newTCPConn(fromConn{c, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 5), Port: port}, read})
	if err != nil {
		t.Fatal(err)
	}
	return far, conn.(*tcpConn)
}

// hello is a datagram of a handshake, of a size.
func hello(size int) []byte { return append([]byte{22}, bytes.Repeat([]byte{0xfe}, size-1)...) }

// ICE reads from a connection, byte for byte, the frames that are not media,
// however the stream is cut; media is taken on the way.
func TestFramesIn(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(k.take)}}})
	var stream, want []byte
	add := func(b []byte) { stream = append(stream, frame(b)...) }
	for i, b := range [][]byte{binding(8), hello(13), binding(0), hello(1400), hello(65535), binding(40)} {
		add(r.client.seal(packet(voiceSSRC, opusPT, uint16(i), fmt.Sprint(i))))
		add(b)
		want = append(want, frame(b)...)
		add([]byte("garbage that nobody wants"))
		add(nil)
	}
	add(r.client.seal(packet(voiceSSRC, opusPT, 6, string(make([]byte, 3000)))))
	for name, read := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "by one byte": iotest.OneByteReader(bytes.NewReader(stream)), "by halves": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			far, near := overTCP(t, r.plane, 1000, read)
			defer func() { _ = far.Close() }()
			before := r.counts()
			k.packets = nil
			r.session, _ = r.addSession(otherAddr, rigConfig{terms: Terms{Inbound: []Inbound{voice(k.take)}}})
			r.session.Select(near.from, true)
			got, err := io.ReadAll(iotest.DataErrReader(shortReads{near}))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("ICE read %d bytes, want %d; %v", len(got), len(want), err)
			}
			if !slices.Equal(k.sequences(), []uint16{0, 1, 2, 3, 4, 5, 6}) || len(k.packets[6].Payload) != 3000 {
				t.Errorf("taken %v", k.sequences())
			}
			if s := r.counts(); s.Garbage-before.Garbage != 12 || s.Received-before.Received != 25 {
				t.Errorf("counts %+v", s)
			}
			r.session.Close()
			_ = near.Close()
		})
	}
}

// shortReads reads by seven bytes.
type shortReads struct{ io.Reader }

func (r shortReads) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(7, len(b))]) }

// Media before the session has checked the connection is a stranger's.
func TestStrangerOverTCP(t *testing.T) {
	r := newRig(t, rigConfig{})
	far, near := overTCP(t, r.plane, 1000, bytes.NewReader(frame(r.client.seal(packet(voiceSSRC, opusPT, 1, "x")))))
	defer func() { _ = far.Close() }()
	if _, err := near.Read(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if s := r.counts(); s.Strangers != 1 {
		t.Errorf("counts %+v", s)
	}
	_ = near.Close()
	if len(r.plane.tcp) != 0 {
		t.Error("a closed connection is kept")
	}
}

// A connection carries one session; another that checks it is refused.
func TestConflictOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{})
		far, near := overTCP(t, r.plane, 1000, nil)
		defer func() { _ = far.Close() }()
		r.session.Select(near.from, true)
		other, _ := r.addSession(otherAddr, rigConfig{})
		other.Select(near.from, true)
		if s := r.counts(); s.Conflicts != 1 || other.Path() != otherAddr || r.session.Path() != near.from {
			t.Errorf("paths %v and %v, counts %+v", r.session.Path(), other.Path(), s)
		}
		_ = near.Close()
		far2, again := overTCP(t, r.plane, 1000, nil) // the same address once more
		defer func() { _ = far2.Close() }()
		r.session.Select(again.from, true)
		if route := r.session.path.Load(); route.tcp != again {
			t.Error("the session is with a connection that has ended")
		}
		_ = again.Close()
	})
}

// Frames of the session and of ICE leave whole, one after the other.
func TestFramesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
		far, near := overTCP(t, r.plane, 1000, nil)
		near.Conn = slowly{near.Conn}
		const turns, each = 20, 2*writeBatch + 3
		left := turns
		r.session.cfg.Feeder = feedFunc(func(w *Writer) time.Duration {
			for range each {
				w.Packet(0, bytes.Repeat([]byte{7}, 100), 0, false)
			}
			if left--; left > 0 {
				return time.Millisecond
			}
			return 0
		})
		r.session.Select(near.from, true)
		ice := frame(hello(500))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 50 {
				time.Sleep(300 * time.Microsecond)
				if n, err := near.Write(ice); n != len(ice) || err != nil {
					t.Error(n, err)
				}
			}
		}()
		packets, control := 0, 0
		for packets < turns*each || control < 50 {
			var size [2]byte
			if _, err := io.ReadFull(far, size[:]); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(far, b); err != nil {
				t.Fatal(err)
			}
			if classify(b) == media {
				r.client.open(b)
				packets++
			} else if bytes.Equal(b, ice[2:]) {
				control++
			} else {
				t.Fatalf("a frame of %d bytes", len(b))
			}
		}
		<-done
		_ = near.Close()
	})
}

// slowly lets others run before each write, so that they would come between.
type slowly struct{ net.Conn }

func (c slowly) Write(b []byte) (int, error) {
	for range 10 {
		runtime.Gosched()
	}
	return c.Conn.Write(b)
}

// A client that takes nothing has its own connection ended, in tcpWriteTimeout,
// and stalls nobody else.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		feed := feedFunc(func(w *Writer) time.Duration { w.Packet(0, []byte("x"), 0, false); return 20 * time.Millisecond })
		open := func(port int) (net.Conn, *tcpConn, *Session) {
			far, near := overTCP(t, p, port, nil)
			s, err := p.NewSession(Config{Feeder: feed})
			if err != nil {
				t.Fatal(err)
			}
			knowKeys(&s.keys, srtp.ProtectionProfileAeadAes128Gcm)
			s.Agree(Terms{Outbound: []Outbound{sound()}})
			s.Select(near.from, true)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			return far, near, s
		}
		stalled, _, _ := open(1)
		good, _, _ := open(2)
		read := make(chan int)
		go func() {
			n, _ := io.Copy(io.Discard, good)
			read <- int(n)
		}()
		time.Sleep(tcpWriteTimeout - 100*time.Millisecond)
		one := make([]byte, 1)
		if _, err := stalled.Read(one); err != nil {
			t.Errorf("ended too early: %v", err)
		}
		time.Sleep(2 * tcpWriteTimeout)
		if _, err := io.ReadAll(stalled); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		if _, err := stalled.Read(one); !errors.Is(err, io.EOF) || time.Since(begin) != 0 {
			t.Errorf("the stalled connection is open: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if n, want := <-read, int(15*time.Second/(20*time.Millisecond))*(12+1+16+2); n < want*9/10 {
			t.Errorf("the other client read %d bytes, want about %d", n, want)
		}
	})
}

// A listener gives ICE connections that the plane looks into.
func TestListener(t *testing.T) {
	p := New()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := p.Listener(inner)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append(frame([]byte("garbage, garbage")), frame(binding(4))...)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err != nil || !bytes.Equal(b[:n], frame(binding(4))) {
		t.Errorf("read %x, %v", b[:n], err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(b); err == nil {
		t.Error("the plane's end leaves a connection open")
	}
	if _, err := c.Read(b); err == nil {
		t.Error("the plane's end leaves the client's connection open")
	}
	_ = c.Close()
	c, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepted after the end: %v", err)
	}
	_ = c.Close()
	_ = l.Close()
}

// sink is a connection that takes all and has nothing, or one stream, to read.
type sink struct {
	net.Conn
	io.Reader
}

func (sink) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 5), Port: 9} }
func (sink) Write(b []byte) (int, error)      { return len(b), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }
func (sink) Close() error                     { return nil }
func (s sink) Read(b []byte) (int, error)     { return s.Reader.Read(b) }

// Frames are read and written without an allocation.
func TestNoAllocationOverTCP(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(func(*Packet) {})}}})
	var stream []byte
	for _, b := range sealed(t, r.client, (2*allocTries+1)*allocRuns) {
		stream = append(stream, frame(b)...)
	}
	conn, err := r.plane.newTCPConn(sink{Reader: bytes.NewReader(stream)})
	if err != nil {
		t.Fatal(err)
	}
	near := conn.(*tcpConn)
	defer func() { _ = near.Close() }()
	r.grow()
	near.route = &route{session: r.session, to: &destination{addr: near.from}, tcp: near}
	if n := allocations(t, func() {
		if err := near.readFrame(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations in", n)
	}
	batch := []outDatagram{{make([]byte, 100), near.route.to}, {make([]byte, 200), near.route.to}}
	if n := allocations(t, func() {
		if _, err := near.write(batch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations out", n)
	}
	if s := r.counts(); s.Forged+s.Replayed+s.Strangers != 0 {
		t.Errorf("counts %+v", s)
	}
}
