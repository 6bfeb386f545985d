// Package storetest is the contract that every cluster.Store keeps, as tests. It
// needs no more than the store; each test opens an empty one.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tutti/api/cluster"
)

// patience bounds everything that is waited for.
const patience = 10 * time.Second

// Run tests the stores that open answers, each of them empty. advance lets time
// pass for the store; nil where it passes by itself.
func Run(t *testing.T, open func() cluster.Store, advance func(time.Duration)) {
	if advance == nil {
		advance = time.Sleep
	}
	for name, f := range map[string]func(*suite){
		"Read": (*suite).read, "ReadMany": (*suite).readMany, "EmptyValue": (*suite).emptyValue,
		"Conditions": (*suite).conditions, "AllOrNothing": (*suite).allOrNothing, "Refused": (*suite).refused,
		"NoChange": (*suite).noChange, "OneWins": (*suite).oneWins,
		"LeaseEnds": (*suite).leaseEnds, "LeaseRenewed": (*suite).leaseRenewed, "LeaseRevoked": (*suite).leaseRevoked,
		"LeaseLost": (*suite).leaseLost, "LeaseLeft": (*suite).leaseLeft,
		"WatchOrder": (*suite).watchOrder, "WatchResumes": (*suite).watchResumes, "WatchPrefix": (*suite).watchPrefix,
		"WatchIdle": (*suite).watchIdle, "WatchEnds": (*suite).watchEnds, "Contexts": (*suite).contexts, "Close": (*suite).close,
	} {
		t.Run(name, func(t *testing.T) {
			f(&suite{T: t, store: open(), advance: advance})
		})
	}
}

// Compaction tests that a Watch after a revision that compact forgot ends with
// ErrCompacted.
func Compaction(t *testing.T, store cluster.Store, compact func(revision int64)) {
	s := &suite{T: t, store: store}
	first := s.put("/a", "1", 0)
	second := s.put("/a", "2", 0)
	third := s.put("/a", "3", 0)
	compact(second)
	if err := s.store.Watch(t.Context(), "/", first-1, func(cluster.Update) bool { return true }); !errors.Is(err, cluster.ErrCompacted) {
		t.Errorf("watch from before the compaction: %v", err)
	}
	entries, revision := s.watch("/", second, 1)
	s.expect(entries, revision, "/a=3", third)
}

// suite is one test with its store.
type suite struct {
	*testing.T
	store   cluster.Store
	advance func(time.Duration)
}

func (s *suite) commit(conditions []cluster.Condition, writes ...cluster.Write) (int64, error) {
	s.Helper()
	return s.store.Commit(s.Context(), conditions, writes)
}

func (s *suite) must(revision int64, err error) int64 {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return revision
}

func (s *suite) put(key, value string, l cluster.Lease) int64 {
	s.Helper()
	return s.must(s.commit(nil, cluster.Write{Key: key, Value: []byte(value), Lease: l}))
}

func (s *suite) remove(key string) int64 {
	s.Helper()
	return s.must(s.commit(nil, cluster.Write{Key: key}))
}

func (s *suite) grant(ttl time.Duration) cluster.Lease {
	s.Helper()
	l, err := s.store.Grant(s.Context(), ttl)
	if err != nil || l == 0 {
		s.Fatalf("lease %d, %v", l, err)
	}
	return l
}

// text answers what lies under a prefix, as key=value key=value.
func (s *suite) text(prefix string) (text string) {
	s.Helper()
	entries, _, err := s.store.Read(s.Context(), prefix)
	if err != nil {
		s.Fatal(err)
	}
	return texts(entries)
}

func texts(entries []cluster.Entry) (text string) {
	for _, e := range entries {
		if text += " " + e.Key; e.Value != nil {
			text += "=" + string(e.Value)
		}
	}
	if text != "" {
		text = text[1:]
	}
	return text
}

// watch answers the first n changes under a prefix after a revision, and the last
// revision told.
func (s *suite) watch(prefix string, after int64, n int) (entries []cluster.Entry, revision int64) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	err := s.store.Watch(ctx, prefix, after, func(u cluster.Update) bool {
		for _, c := range u.Changes {
			if c.Modified <= revision && len(entries) > 0 && entries[len(entries)-1].Modified > c.Modified || c.Modified > u.Revision {
				s.Errorf("%s of revision %d told after %d in an update of %d", c.Key, c.Modified, revision, u.Revision)
			}
			entries = append(entries, c.Entry)
		}
		if u.Revision < revision {
			s.Errorf("revision %d told after %d", u.Revision, revision)
		}
		revision = u.Revision
		return len(entries) < n
	})
	if err == nil {
		s.Error("the watch ended without an error")
	}
	return entries, revision
}

func (s *suite) expect(entries []cluster.Entry, got int64, want string, revision int64) {
	s.Helper()
	if text := texts(entries); text != want || got != revision {
		s.Errorf("told %q up to %d, want %q up to %d", text, got, want, revision)
	}
}
