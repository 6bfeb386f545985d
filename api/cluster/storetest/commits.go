package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"tutti/api/cluster"
)

func (s *suite) read() {
	first := s.put("/b", "2", 0)
	second := s.put("/a/x", "1", 0)
	s.put("/a0", "no", 0) // follows on /a/ in the order of keys
	entries, revision, err := s.store.Read(s.Context(), "/a/")
	if err != nil || len(entries) != 1 || entries[0].Key != "/a/x" || entries[0].Modified != second || revision < second+1 || second != first+1 {
		s.Errorf("%+v at %d, %v; written at %d and %d", entries, revision, err, first, second)
	}
	if text := s.text(""); text != "/a/x=1 /a0=no /b=2" {
		s.Errorf("all is %q", text)
	}
	if entries, _, err := s.store.Read(s.Context(), "/none"); len(entries) != 0 || err != nil {
		s.Errorf("nothing is %v, %v", entries, err)
	}
}

// readMany reads more than one page.
func (s *suite) readMany() {
	const many = 1203
	var writes []cluster.Write
	for i := range many {
		writes = append(writes, cluster.Write{Key: fmt.Sprintf("/many/%04d", i), Value: []byte("x")})
		if len(writes) == 100 || i == many-1 {
			s.must(s.commit(nil, writes...))
			writes = nil
		}
	}
	entries, _, err := s.store.Read(s.Context(), "/many/")
	if err != nil || len(entries) != many {
		s.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		if e.Key != fmt.Sprintf("/many/%04d", i) {
			s.Fatalf("entry %d is %s", i, e.Key)
		}
	}
}

// emptyValue sees that an empty value is no removal.
func (s *suite) emptyValue() {
	at := s.put("/empty", "", 0)
	entries, _, err := s.store.Read(s.Context(), "/empty")
	if err != nil || len(entries) != 1 || entries[0].Value == nil {
		s.Errorf("%+v, %v", entries, err)
	}
	told, revision := s.watch("/empty", at-1, 1)
	s.expect(told, revision, "/empty=", at)
}

func (s *suite) conditions() {
	at := s.must(s.commit([]cluster.Condition{{Key: "/a"}}, cluster.Write{Key: "/a", Value: []byte("1")}))
	for _, c := range []struct {
		conditions []cluster.Condition
		holds      bool
	}{
		{[]cluster.Condition{{Key: "/a"}}, false},
		{[]cluster.Condition{{Key: "/a", Modified: at + 1}}, false},
		{[]cluster.Condition{{Key: "/none", Modified: at}}, false},
		{[]cluster.Condition{{Key: "/a", Modified: at}, {Key: "/none", Modified: 1}}, false},
		{[]cluster.Condition{{Key: "/a", Modified: at}, {Key: "/none"}}, true},
	} {
		revision, err := s.commit(c.conditions, cluster.Write{Key: "/b", Value: []byte("2")})
		if c.holds && (err != nil || revision <= at) || !c.holds && !errors.Is(err, cluster.ErrConflict) {
			s.Errorf("%v: %d, %v", c.conditions, revision, err)
		}
	}
	s.remove("/a")
	s.must(s.commit([]cluster.Condition{{Key: "/a"}}, cluster.Write{Key: "/a", Value: []byte("3")}))
	if text := s.text("/"); text != "/a=3 /b=2" {
		s.Errorf("%q", text)
	}
}

// allOrNothing sees that the writes of a commit are of one revision, and that
// none is done where one cannot.
func (s *suite) allOrNothing() {
	lost := s.grant(0)
	if err := s.store.Revoke(s.Context(), lost); err != nil {
		s.Fatal(err)
	}
	_, err := s.commit(nil, cluster.Write{Key: "/a", Value: []byte("1")}, cluster.Write{Key: "/b", Value: []byte("2"), Lease: lost})
	if !errors.Is(err, cluster.ErrLeaseLost) {
		s.Errorf("under a lost lease: %v", err)
	}
	if text := s.text("/"); text != "" {
		s.Errorf("%q was written", text)
	}
	s.put("/gone", "x", 0)
	at := s.must(s.commit(nil, cluster.Write{Key: "/a", Value: []byte("1")}, cluster.Write{Key: "/b", Value: []byte("2")}, cluster.Write{Key: "/gone"}))
	entries, _, _ := s.store.Read(s.Context(), "/")
	if len(entries) != 2 || entries[0].Modified != at || entries[1].Modified != at {
		s.Errorf("%+v, committed as %d", entries, at)
	}
}

// refused sees that what cannot be written at once is an error, and neither a
// conflict nor a panic.
func (s *suite) refused() {
	x := []byte("x")
	for _, writes := range [][]cluster.Write{
		{{Key: "/a", Value: x}, {Key: "/a", Value: x}},
		{{Key: "/a", Value: x}, {Key: "/a"}},
		{{Key: "", Value: x}},
	} {
		if _, err := s.commit(nil, writes...); err == nil || errors.Is(err, cluster.ErrConflict) {
			s.Errorf("%v: %v", writes, err)
		}
	}
	if text := s.text(""); text != "" {
		s.Errorf("%q was written", text)
	}
}

// noChange sees that a commit that changes nothing is no revision.
func (s *suite) noChange() {
	at := s.put("/a", "1", 0)
	if got := s.remove("/none"); got != at {
		s.Errorf("removing nothing is revision %d after %d", got, at)
	}
	if got := s.must(s.commit([]cluster.Condition{{Key: "/a", Modified: at}})); got != at {
		s.Errorf("writing nothing is revision %d after %d", got, at)
	}
	if _, err := s.commit([]cluster.Condition{{Key: "/a"}}); !errors.Is(err, cluster.ErrConflict) {
		s.Errorf("a condition without writes: %v", err)
	}
}

// oneWins lets many set the same key under the same condition.
func (s *suite) oneWins() {
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := s.commit([]cluster.Condition{{Key: "/a"}}, cluster.Write{Key: "/a", Value: []byte(strings.Repeat("x", i+1))})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, cluster.ErrConflict) {
				s.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		s.Errorf("%d won", won.Load())
	}
}
