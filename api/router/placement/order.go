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
	Seat int // its number among the seats
	rank float64
}

// Order answers the seats in a key's order, the first choice first, appended to
// dst. It allocates nothing where dst has room.
//
// The order is that of the Scores, so that each seat is first for its share of
// all keys. Equal scores go by name.
func Order(dst []Ranked, key uint64, seats []Seat) []Ranked {
	from := len(dst)
	even := true
	for i := range seats {
		dst = append(dst, Ranked{i, draw(key, &seats[i])})
		even = even && seats[i].Weight == seats[0].Weight
	}
	list := dst[from:]
	if !even { // else the score rises with what was drawn, and no logarithm is needed
		for i := range list {
			list[i].rank = scored(list[i].rank, seats[i].Weight)
		}
	}
	if len(list) <= few {
		sortFew(list, seats)
	} else {
		slices.SortFunc(list, func(a, b Ranked) int { return ordered(a, b, seats) })
	}
	return dst
}

// few seats are sorted by insertion, which is faster for them than a sort that
// calls back.
const few = 16

func sortFew(list []Ranked, seats []Seat) {
	for i := 1; i < len(list); i++ {
		x, j := list[i], i
		for j > 0 && (list[j-1].rank < x.rank || list[j-1].rank == x.rank && ordered(list[j-1], x, seats) > 0) {
			list[j] = list[j-1]
			j--
		}
		list[j] = x
	}
}

// ordered compares two places; no rank is NaN.
func ordered(a, b Ranked, seats []Seat) int {
	return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(seats[a.Seat].Name, seats[b.Seat].Name))
}

// Score answers how much a key draws a seat: -w/ln(u), with u in (0,1) from the
// mixed hashes of key and name.
func Score(key uint64, s *Seat) float64 { return scored(draw(key, s), s.Weight) }

func draw(key uint64, s *Seat) float64 {
	return (float64(mix(key^s.hash)>>11) + 0.5) / (1 << 53)
}

func scored(u, weight float64) float64 { return -weight / math.Log(u) }

// mix is the finalizer of MurmurHash3: each bit of x changes half of the bits of
// the result.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
