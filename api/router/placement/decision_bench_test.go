package placement

import (
	"fmt"
	"strings"
	"testing"

	"tutti/api/router/rules"
)

// BenchmarkDecision is what a router does for a request to a known room, and
// the order besides: 1,000 rules, 10,000 rooms, 10 nodes.
func BenchmarkDecision(b *testing.B) {
	var doc strings.Builder
	doc.WriteString("rules:\n")
	for i := range 999 {
		fmt.Fprintf(&doc, "  - {name: rule-%d, match: {tenant: tenant-%d, percent: 5, kind: kind-%d}}\n", i, i/4, i%4)
	}
	doc.WriteString("  - name: rest\n")
	rs, err := rules.Parse([]byte(doc.String()))
	if err != nil {
		b.Fatal(err)
	}
	directory, ids := map[string]int{}, []string{}
	for i := range 10_000 {
		ids = append(ids, fmt.Sprintf("room-%d", i))
		directory[ids[i]] = i % 10
	}
	seats := fleet(10)
	ranked := make([]Ranked, 0, len(seats))
	b.ReportAllocs()
	sum := 0
	for i := 0; b.Loop(); i++ {
		id := ids[i%len(ids)]
		hash, _ := Key("tenant-17", id)
		q := rules.Query{Tenant: "tenant-17", Kind: "kind-2", Purpose: "live", Host: "a.example", Room: id, Hash: hash}
		rule, _ := rs.Match(&q)
		ranked = Order(ranked[:0], hash, seats)
		sum += rule + directory[id] + ranked[0].Seat
	}
	_ = sum
}

func BenchmarkOrder(b *testing.B) {
	seats := fleet(10)
	ranked := make([]Ranked, 0, len(seats))
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		ranked = Order(ranked[:0], mix(i), seats)
	}
}

func BenchmarkKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Key("hospital-a", "ward-17")
	}
}

func fleet(n int) []Seat {
	var seats []Seat
	for i := range n {
		seats = append(seats, NewSeat(fmt.Sprintf("node-%d", i), 1))
	}
	return seats
}
