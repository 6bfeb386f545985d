package plane

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// runs has the rig's sender run until the test is over.
func (r *rig) runs() (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.leg.out.run()
	}()
	return func() {
		r.leg.out.stop()
		<-done
	}
}

// A feeder that asks to be called again in a while is called then, and neither
// earlier nor more often, however often Ready calls it in between.
func TestLaterTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const again = 10 * time.Millisecond
		var mu sync.Mutex // guards all below
		var calls []time.Duration
		begin := time.Now()
		left := 5
		r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}, cfg: Config{Feeder: feedFunc(func(w *Writer) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, time.Since(begin))
			if !w.Now().Equal(time.Now()) {
				t.Errorf("the turn's time is %v", w.Now())
			}
			if left--; left > 0 {
				return again
			}
			return 0
		})}})
		called := func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		stop := r.runs()
		defer stop()
		r.session.Ready()
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []time.Duration{0, again, 2 * again, 3 * again, 4 * again}; !slices.Equal(called(), want) {
			t.Errorf("called at %v", called())
		}
		mu.Lock()
		calls, left = nil, 1<<30
		mu.Unlock()
		for range 10 {
			r.session.Ready()
			synctest.Wait()
		}
		ready := len(called())
		time.Sleep(100*again + again/2)
		synctest.Wait()
		if n := len(called()) - ready; ready != 10 || n != 100 {
			t.Errorf("called %d times by Ready and %d times in 100 intervals", ready, n)
		}
	})
}

// Asking to be called again costs no memory in the long run.
func TestNoAllocationLater(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}, cfg: Config{
		Feeder: feedFunc(func(*Writer) time.Duration { return time.Nanosecond }),
	}})
	r.session.Ready()
	if n := allocations(t, r.leg.out.serve); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Sessions get their turns in the order in which they became ready, once each,
// and one that is always ready again stands behind the others.
func TestTurns(t *testing.T) {
	var order []int
	r := newRig(t, rigConfig{})
	var sessions []*Session
	for i := range 3 {
		s, _ := r.addSession(otherAddr, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
		s.path.Store(r.session.path.Load())
		s.cfg.Feeder = feedFunc(func(w *Writer) time.Duration {
			order = append(order, i)
			w.Packet(0, []byte("x"), 0, false)
			if i == 0 {
				s.Ready()
			}
			return 0
		})
		sessions = append(sessions, s)
	}
	r.leg.out.serve()
	order = nil
	r.wire.take()
	for _, i := range []int{0, 2, 1, 2, 2} {
		sessions[i].Ready()
	}
	r.leg.out.serve()
	if !slices.Equal(order, []int{0, 2, 1}) {
		t.Errorf("turns %v", order)
	}
	if !slices.Equal(r.wire.batches, []int{3}) {
		t.Errorf("batches %v", r.wire.batches)
	}
	sessions[1].Ready()
	r.leg.out.serve()
	if !slices.Equal(order[3:], []int{0, 1}) {
		t.Errorf("turns %v", order[3:])
	}
}

// What is more than a batch is sent in several, whole and in order.
func TestMoreThanABatch(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
	const n = 3*writeBatch + 7
	got := r.feed(epoch, func(w *Writer) {
		for range n {
			w.Packet(0, []byte("x"), 0, false)
		}
	})
	if len(got) != n {
		t.Fatalf("%d sent", len(got))
	}
	for i, b := range got {
		if p := r.client.open(b); p.SequenceNumber != sound().Sequence+uint16(i) {
			t.Fatalf("packet %d has sequence number %d", i, p.SequenceNumber)
		}
	}
	if s := r.counts(); s.Sent != n || s.Writes != 4 {
		t.Errorf("counts %+v", s)
	}
}

// A session that moves to another socket while it waits for its turn has it
// there, and nothing of it is sent by the old.
func TestMovesBetweenSenders(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}, cfg: Config{Feeder: feedFunc(func(w *Writer) time.Duration {
		w.Packet(0, []byte("x"), 0, false)
		return time.Nanosecond
	})}})
	to := &wire{}
	_, l := r.addSocket(to)
	r.session.Ready()
	r.leg.out.serve()
	if n := len(r.wire.take()); n == 0 {
		t.Fatal("nothing sent")
	}
	r.session.path.Load().leg.Store(l)
	for range 3 {
		r.leg.out.serve() // it has a later turn here
	}
	if n := len(r.wire.take()); n != 0 {
		t.Errorf("%d sent by the old sender", n)
	}
	l.out.serve()
	if n := len(to.take()); n != 1 {
		t.Errorf("%d sent by the new sender", n)
	}
}
