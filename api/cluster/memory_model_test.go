package cluster_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/api/cluster"
)

// model is a store that is obviously right: it keeps every state that it ever had.
type model struct {
	now    time.Duration
	states []map[string]cluster.Entry // by revision
	ends   map[cluster.Lease]time.Duration
	ttl    map[cluster.Lease]time.Duration
}

func (m *model) state() map[string]cluster.Entry { return m.states[len(m.states)-1] }

// next takes a new state, if it is one.
func (m *model) next(change func(state map[string]cluster.Entry, revision int64)) {
	state := maps.Clone(m.state())
	change(state, int64(len(m.states)))
	same := maps.EqualFunc(state, m.state(), func(a, b cluster.Entry) bool { return a.Modified == b.Modified })
	if !same {
		m.states = append(m.states, state)
	}
}

func (m *model) advance(d time.Duration) {
	for end := m.now + d; m.now < end; m.now += time.Millisecond {
		for _, l := range slices.Sorted(maps.Keys(m.ends)) {
			if m.ends[l] <= m.now+time.Millisecond {
				m.revoke(l)
			}
		}
	}
}

func (m *model) revoke(l cluster.Lease) error {
	if _, ok := m.ends[l]; !ok {
		return cluster.ErrLeaseLost
	}
	delete(m.ends, l)
	m.next(func(state map[string]cluster.Entry, _ int64) {
		maps.DeleteFunc(state, func(_ string, e cluster.Entry) bool { return e.Lease == l })
	})
	return nil
}

func (m *model) commit(conditions []cluster.Condition, writes []cluster.Write) (int64, error) {
	for _, c := range conditions {
		if m.state()[c.Key].Modified != c.Modified {
			return 0, cluster.ErrConflict
		}
	}
	for _, w := range writes {
		if _, ok := m.ends[w.Lease]; !ok && w.Lease != 0 && w.Value != nil {
			return 0, cluster.ErrLeaseLost
		}
	}
	m.next(func(state map[string]cluster.Entry, revision int64) {
		for _, w := range writes {
			delete(state, w.Key)
			if w.Value != nil {
				state[w.Key] = cluster.Entry{Key: w.Key, Value: w.Value, Modified: revision, Lease: w.Lease}
			}
		}
	})
	return int64(len(m.states) - 1), nil
}

// changes answers what happened under a prefix after a revision, in words; the
// changes of one revision in the order of their keys.
func (m *model) changes(prefix string, after int64) (told []string) {
	for r := after + 1; r < int64(len(m.states)); r++ {
		old, state := m.states[r-1], m.states[r]
		keys := maps.Clone(old)
		maps.Copy(keys, state)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if strings.HasPrefix(key, prefix) && old[key].Modified != state[key].Modified {
				e := state[key]
				told = append(told, fmt.Sprint(r, key, string(e.Value), e.Value == nil, e.Lease))
			}
		}
	}
	return told
}

// watched answers the same of a store.
func watched(t *rapid.T, s cluster.Store, prefix string, after int64) (told []string, revision int64) {
	_ = s.Watch(context.Background(), prefix, after, func(u cluster.Update) bool {
		slices.SortStableFunc(u.Changes, func(a, b cluster.Change) int {
			return cmp.Or(cmp.Compare(a.Modified, b.Modified), strings.Compare(a.Key, b.Key))
		})
		for _, c := range u.Changes {
			told = append(told, fmt.Sprint(c.Modified, c.Key, string(c.Value), c.Value == nil, c.Lease))
		}
		revision = u.Revision
		return false
	})
	return told, revision
}

func TestMemoryDoesAsTheModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{states: []map[string]cluster.Entry{{}}, ends: map[cluster.Lease]time.Duration{}, ttl: map[cluster.Lease]time.Duration{}}
		s := cluster.NewMemoryAt(func() time.Duration { return m.now })
		keys := rapid.SampledFrom([]string{"/a", "/a/x", "/a/y", "/b"})
		lease := func() cluster.Lease { return cluster.Lease(rapid.IntRange(0, len(m.ttl)+1).Draw(t, "lease")) }
		same := func(what string, got, want error) {
			if (got == nil) != (want == nil) || want != nil && !errors.Is(got, want) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				var conditions []cluster.Condition
				for _, key := range rapid.SliceOfN(keys, 0, 2).Draw(t, "conditions") {
					modified := m.state()[key].Modified
					if rapid.IntRange(0, 4).Draw(t, "wrong") == 0 {
						modified = rapid.Int64Range(0, int64(len(m.states))).Draw(t, "modified")
					}
					conditions = append(conditions, cluster.Condition{Key: key, Modified: modified})
				}
				var writes []cluster.Write
				for _, key := range rapid.SliceOfNDistinct(keys, 0, 3, rapid.ID).Draw(t, "writes") {
					w := cluster.Write{Key: key, Lease: lease()}
					if rapid.Bool().Draw(t, "set") {
						w.Value = rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "value")
					}
					writes = append(writes, w)
				}
				got, err := s.Commit(ctx, conditions, writes)
				want, wanted := m.commit(conditions, writes)
				same("commit", err, wanted)
				if got != want {
					t.Fatalf("committed as %d, want %d", got, want)
				}
			},
			"grant": func(t *rapid.T) {
				ttl := time.Duration(rapid.IntRange(-1, 2500).Draw(t, "ms")) * time.Millisecond
				l, err := s.Grant(ctx, ttl)
				if _, ok := m.ttl[l]; ok || err != nil || l == 0 {
					t.Fatalf("lease %d, %v", l, err)
				}
				m.ttl[l] = max(1, (ttl+time.Second-1)/time.Second) * time.Second
				m.ends[l] = m.now + m.ttl[l]
			},
			"renew": func(*rapid.T) {
				l := lease()
				var want error
				if _, ok := m.ends[l]; !ok {
					want = cluster.ErrLeaseLost
				} else {
					m.ends[l] = m.now + m.ttl[l]
				}
				same("renew", s.Renew(ctx, l), want)
			},
			"revoke": func(*rapid.T) { l := lease(); same("revoke", s.Revoke(ctx, l), m.revoke(l)) },
			"advance": func(t *rapid.T) {
				m.advance(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
				if rapid.Bool().Draw(t, "expire") {
					s.Expire()
				}
			},
			"": func(t *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "/", "/a", "/a/", "/c"}).Draw(t, "prefix")
				entries, revision, err := s.Read(ctx, prefix)
				if err != nil || revision != int64(len(m.states)-1) {
					t.Fatalf("read at %d, %v; want %d", revision, err, len(m.states)-1)
				}
				var want []cluster.Entry
				for _, key := range slices.Sorted(maps.Keys(m.state())) {
					if strings.HasPrefix(key, prefix) {
						want = append(want, m.state()[key])
					}
				}
				if fmt.Sprint(entries) != fmt.Sprint(want) {
					t.Fatalf("read %v, want %v", entries, want)
				}
				after := rapid.Int64Range(0, revision).Draw(t, "after")
				told, until := watched(t, s, prefix, after)
				if want := m.changes(prefix, after); !slices.Equal(told, want) || until != revision {
					t.Fatalf("told %q up to %d, want %q", told, until, want)
				}
			},
		})
	})
}
