package placement

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"tutti/mixer"
)

// vectorLine writes key i as testdata/vectors.mjs does.
func vectorLine(t *testing.T, i int, seats []Seat) string {
	t.Helper()
	tenant, shown := "", "-"
	if i%7 != 0 {
		tenant = fmt.Sprintf("tenant-%d", i%13)
		shown = tenant
	}
	room := fmt.Sprintf("room-%d", i)
	if i%2 != 0 {
		room = strings.Repeat("A_", i%29) + fmt.Sprint(i)
	}
	key, err := Key(tenant, room)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range Order(nil, key, seats) {
		order = append(order, fmt.Sprint(r.Seat))
	}
	return fmt.Sprintf("%s %s %016x %s", shown, room, key, strings.Join(order, ","))
}

func vectors(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGoldenVectors(t *testing.T) {
	var seats []Seat
	for i := range 10 {
		seats = append(seats, NewSeat(fmt.Sprintf("node-%d", i), 1+float64(i%3)/2))
	}
	var all strings.Builder
	given := []string{fmt.Sprintf("version %d", Version), ""}
	for i := range 10_000 {
		line := vectorLine(t, i, seats)
		all.WriteString(line + "\n")
		if i%50 == i/50%50 {
			given = append(given, line)
		}
	}
	given[1] = fmt.Sprintf("digest %016x", xxhash.Sum64String(all.String()))
	want := strings.Split(strings.TrimSpace(vectors(t)), "\n")
	if len(want) != 202 {
		t.Fatalf("%d lines", len(want))
	}
	for i, line := range want {
		if given[i] != line {
			t.Fatalf("line %d:\n%s, not\n%s", i+1, given[i], line)
		}
	}
}

// TestVectorsAreThoseOfTheOtherImplementation keeps vectors.txt honest.
func TestVectorsAreThoseOfTheOtherImplementation(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	out, err := exec.CommandContext(t.Context(), node, "testdata/vectors.mjs").Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != vectors(t) {
		t.Error("testdata/vectors.txt is not what vectors.mjs writes")
	}
}

func TestCanonical(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct{ in, out, reason string }{
		{"ward-17", "ward-17", ""},
		{long, long, ""},
		{"%77ard%2D17", "ward-17", ""},
		{"", "", "must match"},
		{long + "a", "", "must match"},
		{"ward%252D17", "", "encoded twice"},
		{"ward%2", "", "percent-encoded"},
		{"ward%zz", "", "percent-encoded"},
		{"ward-17/", "", "slash"},
		{"ward-17%2F", "", "slash"},
		{"a/b", "", "must match"},
		{"..", "", "must match"},
		{"caf\u00e9", "", "must match"},  // NFC
		{"cafe\u0301", "", "must match"}, // NFD
		{"caf%C3%A9", "", "must match"},
		{"\uff41bc", "", "must match"}, // full width
		{"a\x00b", "", "must match"},
		{"a%00b", "", "must match"},
		{"a b", "", "must match"},
		{"a+b", "", "must match"},
		{"\xff", "", "must match"},
	} {
		got, err := Canonical("room", c.in)
		if got != c.out || (err == nil) != (c.reason == "") {
			t.Errorf("%q: %q, %v", c.in, got, err)
			continue
		}
		var invalid *InvalidError
		if c.reason != "" && (!errors.As(err, &invalid) || invalid.Code() != "invalid_id" || invalid.Field != "room" || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%q: %v does not speak of %q", c.in, err, c.reason)
		}
	}
}

func TestKeyNamesTheField(t *testing.T) {
	for field, in := range map[string][2]string{"tenant": {"a%2525", "r"}, "room": {"", "r/"}} {
		var invalid *InvalidError
		if _, err := Key(in[0], in[1]); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%v: %v", in, err)
		}
	}
	one, _ := Key("ab", "c")
	two, _ := Key("a", "bc")
	three, _ := Key("ab", "%63")
	if one == two || one != three {
		t.Errorf("%x %x %x", one, two, three)
	}
}

// FuzzCanonical: what is canonical is an identifier and its own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"ward-17", "%77ard", "%2577", "ward/", "cafe\u0301", "%", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if identifier(s) != mixer.ValidID(s) {
			t.Fatalf("%q: identifier says %v", s, identifier(s))
		}
		got, err := Canonical("room", s)
		if err != nil {
			return
		}
		if again, err := Canonical("room", got); err != nil || again != got || !mixer.ValidID(got) {
			t.Fatalf("%q: %q, %q, %v", s, got, again, err)
		}
	})
}

// TestSharesFollowWeights: each seat is first for its share of the keys, within
// four standard deviations.
func TestSharesFollowWeights(t *testing.T) {
	seats := []Seat{NewSeat("a", 1), NewSeat("b", 2), NewSeat("c", 0.5), NewSeat("d", 0), NewSeat("e", math.Inf(1))}
	total, first := 5.5, make([]int, len(seats))
	const keys = 100_000
	for i := range keys {
		key, _ := Key("", fmt.Sprintf("room-%d", i))
		first[Order(nil, key, seats)[0].Seat]++
	}
	for i, n := range first {
		p := seats[i].Weight / total
		if off := math.Abs(float64(n) - p*keys); off > 4*math.Sqrt(keys*p*(1-p)) {
			t.Errorf("%s of weight %v is first for %d of %d", seats[i].Name, seats[i].Weight, n, keys)
		}
	}
}

// TestOthersStay: without one seat, the order is that of the others.
func TestOthersStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "seats")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		key := rapid.Uint64().Draw(t, "key")
		var all, rest []Seat
		for i := range n {
			s := NewSeat(fmt.Sprintf("node-%d", i), rapid.Float64Range(0.1, 10).Draw(t, "weight"))
			if all = append(all, s); i != gone {
				rest = append(rest, s)
			}
		}
		var want, got []string
		for _, r := range Order(nil, key, all) {
			if r.Seat != gone {
				want = append(want, all[r.Seat].Name)
			}
		}
		for _, r := range Order(nil, key, rest) {
			got = append(got, rest[r.Seat].Name)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%v, not %v", got, want)
		}
	})
}

func TestOrderAndKeyAllocateNothing(t *testing.T) {
	seats := fleet(50)
	dst := make([]Ranked, 0, len(seats))
	if n := testing.AllocsPerRun(100, func() {
		key, err := Key("hospital-a", "ward-17")
		if err != nil {
			t.Fatal(err)
		}
		dst = Order(dst[:0], key, seats)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOrderIsThatOfTheScores holds the two quick ways to sort to the plain one.
func TestOrderIsThatOfTheScores(t *testing.T) {
	for _, n := range []int{1, 2, few, few + 1, 60} {
		for _, step := range []float64{0, 0.5} { // even weights, and others
			var seats []Seat
			for i := range n {
				seats = append(seats, NewSeat(fmt.Sprintf("node-%d", i), 1+step*float64(i%4)))
			}
			if n > 2 {
				seats[n-1], seats[0] = seats[1], seats[1] // as good as each other
			}
			for i := range 200 {
				key, _ := Key("t", fmt.Sprintf("room-%d", i))
				order := Order(nil, key, seats)
				seen := map[int]bool{}
				for at, r := range order {
					seen[r.Seat] = true
					if at > 0 && Score(key, &seats[order[at-1].Seat]) < Score(key, &seats[r.Seat]) {
						t.Fatalf("%d seats, key %d: place %d is behind a lesser one", n, i, at)
					}
				}
				if len(seen) != n {
					t.Fatalf("%d of %d seats", len(seen), n)
				}
			}
		}
	}
}
