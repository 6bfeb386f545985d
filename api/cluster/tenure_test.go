package cluster

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// held answers a tenure with a lease of 2 s that was asked for at 10 s.
func held(quorum ...string) *Tenure {
	t := NewTenure("a", 2*time.Second)
	t.Begin(10*time.Second, 10*time.Second, quorum)
	return t
}

func expectStanding(t *testing.T, tenure *Tenure, now time.Duration, want Standing) {
	t.Helper()
	if got := tenure.Check(now); got != want {
		t.Errorf("at %v it is %s, not %s", now, got, want)
	}
}

func TestTenureEndsAMarginBeforeItsLease(t *testing.T) {
	tenure := held("a", "b", "c")
	expectStanding(t, tenure, 11599*ms, Held)
	tenure.Renewed(11599*ms, 11*time.Second) // counted from when it was sent
	if until := tenure.Until(); until != 12600*ms {
		t.Errorf("it ends at %v", until)
	}
	expectStanding(t, tenure, 12600*ms, Fenced)
	if tenure.Renewed(12601*ms, 12600*ms); tenure.Until() != 0 {
		t.Error("it has begun again")
	}
	if tenure.Confirmed(12602*ms, 12601*ms, "b"); tenure.Until() != 0 {
		t.Error("it has begun again")
	}
}

func TestTenureGoesOnWhileHalfConfirm(t *testing.T) {
	for _, c := range []struct {
		quorum, confirm []string
		want            Standing
	}{
		{[]string{"a"}, nil, Stasis},
		{[]string{"a", "b"}, nil, Stasis},
		{[]string{"a", "b", "c"}, nil, Fenced},
		{[]string{"a", "b", "c"}, []string{"b"}, Stasis},
		{[]string{"a", "b", "c", "d"}, []string{"d"}, Stasis},
		{[]string{"a", "b", "c", "d", "e"}, []string{"d"}, Fenced},
		{[]string{"a", "b", "c", "d", "e"}, []string{"d", "b"}, Stasis},
		{[]string{"a", "b", "c", "d", "e"}, []string{"d", "x"}, Fenced}, // none of the set
		{[]string{"a", "b", "c", "d", "e"}, []string{"d", "a"}, Fenced}, // itself twice
	} {
		tenure := held(c.quorum...)
		for _, by := range c.confirm {
			tenure.Confirmed(11500*ms, 11400*ms, by)
		}
		if got := tenure.Check(11700 * ms); got != c.want {
			t.Errorf("of %v %v confirm: %s, not %s", c.quorum, c.confirm, got, c.want)
		}
	}
}

func TestTenureLastsAsLongAsTheConfirmationsThatAreNeeded(t *testing.T) {
	tenure := held("a", "b", "c", "d", "e")
	for i, by := range []string{"b", "c", "d"} {
		tenure.Confirmed(11500*ms, time.Duration(11100+100*i)*ms, by)
	}
	// Two of them are needed: the second last to end decides.
	if until := tenure.Until(); until != 12800*ms {
		t.Errorf("it ends at %v", until)
	}
}

func TestTenureSatisfiesEachSetThatMayBeInTheStore(t *testing.T) {
	tenure := held("a", "b", "c")
	tenure.Confirmed(11*time.Second, 11*time.Second, "b")
	if until := tenure.Until(); until != 12600*ms {
		t.Fatalf("it ends at %v", until)
	}
	tenure.Propose([]string{"a", "c", "d", "e", "f"})
	tenure.Propose([]string{"a", "c", "d", "e", "f"})
	if until, sets := tenure.Until(), tenure.Quorum(); until != 11600*ms || len(sets) != 2 {
		t.Errorf("with a proposal it ends at %v, by %v", until, sets)
	}
	tenure.Settle([]string{"a", "b"})
	if until := tenure.Until(); until != forever {
		t.Errorf("alone with another it ends at %v", until)
	}
}

func TestTenureAsksWhenRenewalsFail(t *testing.T) {
	tenure := held("a", "b", "c")
	for at, want := range map[time.Duration]bool{10500 * ms: false, 10700 * ms: true, 11700 * ms: false} {
		fresh := held("a", "b", "c")
		if got := fresh.Asks(at); got != want {
			t.Errorf("at %v: asks %v", at, got)
		}
	}
	tenure.Fence()
	expectStanding(t, tenure, 10*time.Second, Fenced)
}

// Whatever a set and its halves and majorities are, a member that goes on by the
// word of half is never granted dead by more than half who keep their promises.
func TestHalfAndMajorityMeet(t *testing.T) {
	for n := 1; n <= 7; n++ {
		set := []string{"a", "b", "c", "d", "e", "f", "g"}[:n]
		for confirm := range 1 << n {
			tenure := held(set...)
			for i, by := range set {
				if confirm>>i&1 == 1 {
					tenure.Confirmed(11500*ms, 11500*ms, by)
				}
			}
			granting := 0
			for i := 1; i < n; i++ { // never a itself
				if confirm>>i&1 == 0 {
					granting++
				}
			}
			if tenure.Check(12*time.Second) == Stasis && 2*granting > n {
				t.Fatalf("of %d, %b confirm and %d grant", n, confirm, granting)
			}
		}
	}
}

func TestGrantorKeepsItsPromises(t *testing.T) {
	away := Sight{Standing: Held, Contact: 10 * time.Second, Live: 7}
	there := func(now time.Duration) Sight { return Sight{Standing: Held, Contact: now, Live: 7} }
	fresh := func() *Grantor { return NewGrantor("b", 2*time.Second, 0) }
	const now = 11 * time.Second

	g := fresh()
	if g.Grant(now, away, "a", "a1") {
		t.Error("it grants without seeing the store")
	}
	if !g.Away(now, away, "a", "a1") {
		t.Error("it does not confirm that the store is away")
	}
	if g.Grant(now+1900*ms, there(now+1900*ms), "a", "a1") {
		t.Error("it grants while its confirmation counts")
	}
	if !g.Grant(now+1900*ms, there(now+1900*ms), "a", "a0") {
		t.Error("it does not grant against another incarnation")
	}
	if !g.Grant(now+2001*ms, there(now+2001*ms), "a", "a1") {
		t.Error("it does not grant when its confirmation has ended")
	}
	if g.Away(now+time.Hour, away, "a", "a1") {
		t.Error("it confirms after it has granted")
	}
	if g := fresh(); g.Grant(1999*ms, there(1999*ms), "a", "a1") {
		t.Error("it grants before what an earlier process confirmed has ended")
	}
	for name, s := range map[string]Sight{
		"fenced":         {Standing: Fenced, Contact: now, Live: 7},
		"joining":        {Standing: Joining, Contact: now, Live: 7},
		"in stasis":      {Standing: Stasis, Contact: now, Live: 7},
		"without a name": {Standing: Held, Contact: now},
	} {
		if g := fresh(); g.Grant(now, s, "a", "a1") {
			t.Errorf("it grants %s", name)
		}
	}
	for name, s := range map[string]Sight{
		"fenced":           {Standing: Fenced, Contact: 0},
		"never registered": {Standing: Joining, Contact: 0},
		"seeing the store": {Standing: Held, Contact: now - 700*ms},
	} {
		if g := fresh(); g.Away(now, s, "a", "a1") {
			t.Errorf("it confirms %s", name)
		}
	}
	if g := fresh(); g.Grant(now, there(now), "b", "b1") || g.Away(now, away, "b", "b1") {
		t.Error("it promises itself something")
	}
}

func TestWhoAsksFirstHoldsARoomForOneOutage(t *testing.T) {
	g := NewGrantor("b", 2*time.Second, 0)
	away := Sight{Standing: Held, Contact: 10 * time.Second}
	var got []bool
	for _, who := range []string{"a", "c", "a"} {
		got = append(got, g.Hold(12*time.Second, away, "r", who, Incarnation(who+"1")))
	}
	g.Back()
	got = append(got, g.Hold(13*time.Second, away, "r", "c", "c1"))
	got = append(got, g.Hold(13*time.Second, Sight{Standing: Held, Contact: 13 * time.Second}, "s", "c", "c1"))
	if want := []bool{true, false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("held: %v, not %v", got, want)
	}
}
