package plane

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// A taker or feeder that panics ends its own session and no other.
func TestPanic(t *testing.T) {
	for _, feeds := range []bool{false, true} {
		var reasons []any
		calls := 0
		fail := func() {
			calls++
			panic("out of order")
		}
		r := newRig(t, rigConfig{
			cfg: Config{
				Feeder: feedFunc(func(*Writer) time.Duration { fail(); return 0 }),
				Events: Events{Panicked: func(reason any) { reasons = append(reasons, reason) }},
			},
			terms: Terms{Inbound: []Inbound{voice(func(*Packet) { fail() })}, Outbound: []Outbound{sound()}},
		})
		var k taken
		other, client := r.addSession(otherAddr, rigConfig{terms: Terms{Inbound: []Inbound{voice(k.take)}}})
		if feeds {
			r.session.Ready()
			other.Ready()
			r.leg.out.serve()
		} else {
			r.send(epoch, packet(voiceSSRC, opusPT, 1, "x"))
		}
		if calls != 1 || len(reasons) != 1 || reasons[0] != "out of order" || r.counts().Panics != 1 {
			t.Errorf("feeds %v: %d calls, reasons %v", feeds, calls, reasons)
		}
		r.send(epoch, packet(voiceSSRC, opusPT, 2, "x"))
		if sent := r.turn(epoch); len(sent) != 0 || calls != 1 {
			t.Errorf("feeds %v: a broken session goes on: %d calls, %d sent", feeds, calls, len(sent))
		}
		r.from(otherAddr, epoch, client.seal(packet(voiceSSRC, opusPT, 1, "x")))
		if len(k.packets) != 1 {
			t.Errorf("feeds %v: the other session took %d", feeds, len(k.packets))
		}
		r.session.Close()
	}
}

// Close says goodbye once, with a report, and only of streams that have begun.
func TestGoodbye(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Epoch: time.Now(), CNAME: "tutti", Outbound: []Outbound{sound(), picture()}}})
	r.feed(epoch, func(w *Writer) {
		w.Packet(1, []byte("x"), 0, true)
		if w.Begun(0) || !w.Begun(1) {
			t.Errorf("begun %v, %v", w.Begun(0), w.Begun(1))
		}
	})
	r.session.Close()
	r.session.Close()
	sent := r.wire.take()
	if len(sent) != 1 {
		t.Fatalf("%d datagrams", len(sent))
	}
	list := r.client.openReports(sent[0])
	if len(list) != 3 {
		t.Fatalf("sent %v", list)
	}
	sr, ok := list[0].(*rtcp.SenderReport)
	bye, ok2 := list[2].(*rtcp.Goodbye)
	if !ok || !ok2 || sr.SSRC != pictureSSRC || len(bye.Sources) != 1 || bye.Sources[0] != pictureSSRC {
		t.Errorf("sent %v", list)
	}
	quiet := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
	quiet.session.Close()
	if sent := quiet.wire.take(); len(sent) != 0 {
		t.Errorf("a session that sent nothing said %d goodbyes", len(sent))
	}
}

// Close is a fence: when it returns, to whomever, neither taker nor feeder runs
// or will run.
func TestCloseIsAFence(t *testing.T) {
	for range 50 {
		var running, late atomic.Int32
		var fenced atomic.Bool
		call := func() {
			running.Add(1)
			defer running.Add(-1)
			if fenced.Load() {
				late.Add(1)
			}
			time.Sleep(50 * time.Microsecond)
		}
		r := newRig(t, rigConfig{
			cfg:   Config{Feeder: feedFunc(func(*Writer) time.Duration { call(); return 0 })},
			terms: Terms{Inbound: []Inbound{voice(func(*Packet) { call() })}, Outbound: []Outbound{sound()}},
		})
		var packets [][]byte
		for i := range uint16(200) {
			packets = append(packets, r.client.seal(packet(voiceSSRC, opusPT, i, "x")))
		}
		stop := make(chan struct{})
		var work, closers sync.WaitGroup
		work.Go(func() {
			for _, b := range packets {
				r.arrive(b)
			}
		})
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r.session.Ready()
				r.leg.out.serve()
			}
		})
		work.Go(func() {
			for range 20 {
				_ = r.session.Link()
				r.session.RequestKeyFrame()
				r.session.Select(otherAddr, false)
				r.session.tick(time.Now())
			}
		})
		time.Sleep(time.Millisecond)
		for range 4 {
			closers.Go(func() {
				r.session.Close()
				fenced.Store(true)
				if n := running.Load(); n != 0 {
					t.Errorf("%d calls run after Close", n)
				}
			})
		}
		closers.Wait()
		close(stop)
		work.Wait()
		if n := late.Load(); n != 0 {
			t.Errorf("%d calls after Close", n)
		}
	}
}

// Start and Close at once leave no session behind that goes on.
func TestStartAndCloseAtOnce(t *testing.T) {
	for range 300 {
		r := newRig(t, rigConfig{unstarted: true, terms: Terms{Outbound: []Outbound{sound()}}})
		var both sync.WaitGroup
		both.Go(func() { _ = r.session.Start() })
		both.Go(r.session.Close)
		both.Wait()
		r.session.txMu.Lock()
		tx := r.session.tx
		r.session.txMu.Unlock()
		if tx != nil {
			t.Fatal("a closed session has keys")
		}
	}
}

// A plane that is closed ends its sessions and takes no more.
func TestPlaneCloses(t *testing.T) {
	p := New()
	s, err := p.NewSession(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if err := s.Start(); err == nil {
		t.Error("started after the plane's end")
	}
	if _, err := p.NewSession(Config{}); err == nil {
		t.Error("a session after the plane's end")
	}
	if n := p.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
