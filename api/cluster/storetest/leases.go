package storetest

import (
	"errors"
	"time"

	"tutti/api/cluster"
)

// gone waits until nothing lies under a prefix, and answers how long that took.
func (s *suite) gone(prefix string) time.Duration {
	s.Helper()
	const step = 100 * time.Millisecond
	for waited := time.Duration(0); waited < patience; waited += step {
		if s.text(prefix) == "" {
			return waited
		}
		s.advance(step)
	}
	s.Fatalf("%s is still there", prefix)
	return 0
}

func (s *suite) leaseEnds() {
	l := s.grant(1100 * time.Millisecond) // rounded up to 2 s
	s.put("/kept", "1", 0)
	last := s.put("/a", "1", l)
	entries, _, _ := s.store.Read(s.Context(), "/a")
	if len(entries) != 1 || entries[0].Lease != l {
		s.Fatalf("%+v under lease %d", entries, l)
	}
	if after := s.gone("/a"); after < 1700*time.Millisecond || after > 5*time.Second {
		s.Errorf("a lease of 2 s ended after %v", after)
	}
	if err := s.store.Renew(s.Context(), l); !errors.Is(err, cluster.ErrLeaseLost) {
		s.Errorf("renewing what has ended: %v", err)
	}
	told, revision := s.watch("/", last, 1)
	s.expect(told, revision, "/a", last+1)
	if text := s.text("/"); text != "/kept=1" {
		s.Errorf("left is %q", text)
	}
}

func (s *suite) leaseRenewed() {
	l := s.grant(2 * time.Second)
	s.put("/a", "1", l)
	for range 10 {
		s.advance(400 * time.Millisecond)
		if err := s.store.Renew(s.Context(), l); err != nil {
			s.Fatal(err)
		}
	}
	if text := s.text("/a"); text != "/a=1" {
		s.Errorf("after ten renewals: %q", text)
	}
	s.gone("/a")
}

func (s *suite) leaseRevoked() {
	l, other := s.grant(time.Minute), s.grant(time.Minute)
	s.must(s.commit(nil, cluster.Write{Key: "/a", Value: []byte("1"), Lease: l}, cluster.Write{Key: "/b", Value: []byte("2"), Lease: l}))
	last := s.put("/c", "3", other)
	if err := s.store.Revoke(s.Context(), l); err != nil {
		s.Fatal(err)
	}
	if text := s.text("/"); text != "/c=3" {
		s.Errorf("after the revocation: %q", text)
	}
	told, _ := s.watch("/", last, 2)
	if len(told) != 2 || told[0].Value != nil || told[1].Value != nil || told[0].Modified != last+1 || told[1].Modified != last+1 {
		s.Errorf("told %+v, want both gone at %d", told, last+1)
	}
}

func (s *suite) leaseLost() {
	l := s.grant(time.Minute)
	if err := s.store.Revoke(s.Context(), l); err != nil {
		s.Fatal(err)
	}
	if err := s.store.Renew(s.Context(), l); !errors.Is(err, cluster.ErrLeaseLost) {
		s.Errorf("renewed: %v", err)
	}
	if err := s.store.Revoke(s.Context(), l); !errors.Is(err, cluster.ErrLeaseLost) {
		s.Errorf("revoked again: %v", err)
	}
	if _, err := s.commit(nil, cluster.Write{Key: "/a", Value: []byte("1"), Lease: l}); !errors.Is(err, cluster.ErrLeaseLost) {
		s.Errorf("written: %v", err)
	}
	if _, err := s.commit([]cluster.Condition{{Key: "/a", Modified: 1}}, cluster.Write{Key: "/a", Value: []byte("1"), Lease: l}); !errors.Is(err, cluster.ErrConflict) {
		s.Errorf("written where the condition does not hold: %v", err)
	}
}

// leaseLeft sees that a key written anew belongs to its new lease, or none.
func (s *suite) leaseLeft() {
	l, other := s.grant(time.Minute), s.grant(time.Minute)
	for key, next := range map[string]cluster.Lease{"/a": 0, "/b": other, "/c": l} {
		s.put(key, "1", l)
		s.put(key, "2", next)
	}
	if err := s.store.Revoke(s.Context(), l); err != nil {
		s.Fatal(err)
	}
	if text := s.text("/"); text != "/a=2 /b=2" {
		s.Errorf("left is %q", text)
	}
}
