package placement

import (
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Seat is a node as the order knows it.
type Seat struct {
	Name   string
	Weight float64
	hash   uint64
}

// NewSeat answers the seat of a node. A weight that is not above 0 and finite
// counts as 1.
func NewSeat(name string, weight float64) Seat {
	if !(weight > 0) || math.IsInf(weight, 1) {
		weight = 1
	}
	var buffer [128]byte
	b := append(append(buffer[:0], Version), name...)
	return Seat{Name: name, Weight: weight, hash: xxhash.Sum64(b)}
}

// Ranked is one place of an order.
type Ranked struct {
	Seat  int // its number among the seats
	Score float64
}

// Order answers the seats in a key's order, the first choice first, appended to
// dst. It allocates nothing where dst has room.
//
// The score of a seat is -w/ln(u), with u in (0,1) from the mixed hashes of key
// and name, so that each is first for its share w of all keys. Equal scores go by
// name.
func Order(dst []Ranked, key uint64, seats []Seat) []Ranked {
	from := len(dst)
	for i := range seats {
		dst = append(dst, Ranked{i, score(key, &seats[i])})
	}
	slices.SortFunc(dst[from:], func(a, b Ranked) int {
		switch { // no score is NaN
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return cmp.Compare(seats[a.Seat].Name, seats[b.Seat].Name)
	})
	return dst
}

func score(key uint64, s *Seat) float64 {
	u := (float64(mix(key^s.hash)>>11) + 0.5) / (1 << 53)
	return -s.Weight / math.Log(u)
}

// mix is the finalizer of MurmurHash3: each bit of x changes half of the bits of
// the result.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
