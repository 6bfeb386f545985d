package cluster

import (
	"math/rand/v2"
	"testing"
	"time"
)

// grantorModel is one member of a quorum set, as far as its promises go.
type grantorModel struct {
	grantor *Grantor
	sight   Sight
	sees    bool  // the store
	told    int64 // the live entry that it has granted with, 0: has not
}

// No member is certified dead while its tenure lasts, whoever sees the store
// when, forgets in a restart, and asks whom: the two cores alone, walked through
// at random.
func TestPromisesExcludeEachOther(t *testing.T) {
	const ttl = 2 * time.Second
	names := []string{"a", "b", "c", "d", "e", "f"}
	certified, excused := 0, 0
	for seed := range uint64(6000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		set := names[:3+rng.IntN(4)]
		now := time.Hour
		tenure := NewTenure("a", ttl)
		tenure.Begin(now, now, set)
		live := int64(1)
		var others []*grantorModel
		for _, name := range set[1:] {
			others = append(others, &grantorModel{
				grantor: NewGrantor(name, ttl, now-time.Minute),
				sight:   Sight{Standing: Held, Contact: now - time.Second, Live: live},
			})
		}
		for range 160 {
			now += time.Duration(rng.Int64N(int64(200 * ms)))
			granted := 0
			for i, m := range others {
				live++
				m.step(rng, now, set[1+i], live)
				if answer := m.grantor.Away(now, m.sight, "a", "a1"); answer && rng.IntN(3) > 0 {
					tenure.Confirmed(now, now-time.Duration(rng.Int64N(int64(50*ms))), set[1+i])
				}
				// A router may ask once a's lease has ended.
				if now > time.Hour+ttl && rng.IntN(2) == 0 && m.grantor.Grant(now, m.sight, "a", "a1") {
					m.told = m.sight.Live
				}
				if m.told != 0 && m.told == m.sight.Live {
					granted++
				}
			}
			goesOn := tenure.Check(now) == Stasis
			if goesOn {
				excused++
			}
			if 2*granted > len(set) {
				certified++
				if goesOn {
					t.Fatalf("seed %d: %d of %d grant, and it goes on until %v, at %v", seed, granted, len(set), tenure.Until(), now)
				}
				break
			}
		}
	}
	if certified < 100 || excused < 100 {
		t.Errorf("certified %d times, excused %d times", certified, excused)
	}
}

// step lets a member lose the store or find it, or begin anew.
func (m *grantorModel) step(rng *rand.Rand, now time.Duration, name string, live int64) {
	if rng.IntN(12) == 0 {
		m.sees = !m.sees
	}
	if rng.IntN(40) == 0 {
		m.grantor = NewGrantor(name, 2*time.Second, now)
		// It reads the store; its old live entry is there still.
		m.sight = Sight{Standing: Joining, Contact: now, Live: m.sight.Live}
		return
	}
	if m.sees {
		m.sight.Contact = now
		if m.sight.Standing == Joining && rng.IntN(2) == 0 {
			m.sight.Standing, m.sight.Live = Held, live
		}
	}
}
