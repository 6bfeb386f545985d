package badlink

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrConditions is wrapped by what Check answers.
var ErrConditions = errors.New("conditions that no link has")

// What is meant where Conditions say nothing.
const (
	DefaultQueueTime    = 100 * time.Millisecond
	DefaultReorderDelay = 25 * time.Millisecond
)

// What Conditions may say at most.
const (
	maxDelay   = time.Hour
	maxRateBPS = 1_000_000_000_000
	maxBytes   = 1_000_000_000
)

// Conditions are what one direction of a link does to datagrams. The zero value
// is a perfect link. Sizes are those of IP packets, headers and all.
type Conditions struct {
	// Delay is the time that each datagram takes one way.
	Delay time.Duration
	// Jitter is the most that is added to Delay. In order it wanders between 0
	// and Jitter, by at most Jitter within a time of Jitter, as the queues of
	// others' traffic do; dense datagrams feel it as much as sparse ones.
	Jitter time.Duration
	// Scatter adds to each datagram by itself, evenly between 0 and Jitter, so
	// that they overtake each other.
	Scatter bool

	// Loss is the share of datagrams that are lost, each by itself.
	Loss float64
	// Burst loses several in a row, besides Loss.
	Burst Burst

	// Reorder is the share of datagrams that are held back by ReorderDelay more,
	// so that those which come within that time overtake them.
	Reorder float64
	// ReorderDelay is by how much; 0: DefaultReorderDelay.
	ReorderDelay time.Duration
	// Duplicate is the share of datagrams that arrive twice.
	Duplicate float64

	// RateBPS is what the bottleneck carries, in bit/s; 0: no bottleneck.
	RateBPS int64
	// QueueBytes is how many bytes may wait behind the datagram that is being
	// sent; 0: any number.
	QueueBytes int
	// QueueTime is how long a datagram may wait until it is sent; one that would
	// wait longer is dropped. 0: any time, or DefaultQueueTime if QueueBytes is 0
	// too.
	QueueTime time.Duration
	// MTU is the length of the longest datagram that passes, in bytes; longer
	// ones vanish without a word, as where ICMP is filtered. 0: any length.
	MTU int
}

// Burst is the Gilbert-Elliott model: the link is good or bad, changes its
// state with each datagram by chance, and then loses it with the chance of that
// state. The zero value loses nothing.
type Burst struct {
	ToBad, ToGood     float64 // chance of a change, before each datagram
	LossBad, LossGood float64 // chance of a loss
}

// Bursts is the Burst that loses that share of all datagrams, above 0 and below
// 1, in bursts of that many on average, at least 1.
func Bursts(share, length float64) Burst {
	toGood := 1 / max(length, 1)
	// In the long run the link is bad for ToBad/(ToBad+ToGood) of all datagrams.
	return Burst{ToBad: min(1, share*toGood/(1-share)), ToGood: toGood, LossBad: 1}
}

// Mean answers the share of all datagrams that is lost in the long run.
func (b Burst) Mean() float64 {
	bad := 0.0
	if b.ToBad > 0 {
		bad = b.ToBad / (b.ToBad + b.ToGood)
	}
	return bad*b.LossBad + (1-bad)*b.LossGood
}

// Check answers what is wrong with the conditions, wrapping ErrConditions.
func (c Conditions) Check() error {
	for _, s := range []struct {
		name  string
		value float64
	}{
		{"loss", c.Loss},
		{"burst from good to bad", c.Burst.ToBad},
		{"burst from bad to good", c.Burst.ToGood},
		{"burst in bad", c.Burst.LossBad},
		{"burst in good", c.Burst.LossGood},
		{"reorder", c.Reorder},
		{"duplicate", c.Duplicate},
	} {
		if !(s.value >= 0 && s.value <= 1) { // so that NaN is wrong too
			return fmt.Errorf("%w: %s is %v, not a share from 0 to 1", ErrConditions, s.name, s.value)
		}
	}
	for _, s := range []struct {
		name  string
		value time.Duration
	}{{"delay", c.Delay}, {"jitter", c.Jitter}, {"late", c.ReorderDelay}, {"queue", c.QueueTime}} {
		if s.value < 0 || s.value > maxDelay {
			return fmt.Errorf("%w: %s is %v, not from 0 to %v", ErrConditions, s.name, s.value, maxDelay)
		}
	}
	for _, s := range []struct {
		name        string
		value, most int64
	}{{"rate", c.RateBPS, maxRateBPS}, {"queue", int64(c.QueueBytes), maxBytes}, {"mtu", int64(c.MTU), maxBytes}} {
		if s.value < 0 || s.value > s.most {
			return fmt.Errorf("%w: %s is %d, not from 0 to %d", ErrConditions, s.name, s.value, s.most)
		}
	}
	return nil
}

// String writes the conditions as a step of a trace does, without what says
// nothing: "delay=20ms loss=0.01".
func (c Conditions) String() string {
	var words []string
	for _, k := range keys {
		if text := k.format(&c); text != "" {
			words = append(words, k.name+"="+text)
		}
	}
	return strings.Join(words, " ")
}

// reorderDelay answers by how much a datagram is held back.
func (c *Conditions) reorderDelay() time.Duration {
	if c.ReorderDelay == 0 {
		return DefaultReorderDelay
	}
	return c.ReorderDelay
}

// fits reports whether a datagram may wait for wait when bytes, its own among
// them, would wait then.
func (c *Conditions) fits(bytes int, wait time.Duration) bool {
	most := c.QueueTime
	if most == 0 && c.QueueBytes == 0 {
		most = DefaultQueueTime
	}
	return (most == 0 || wait <= most) && (c.QueueBytes == 0 || bytes <= c.QueueBytes)
}

// sending answers how long the bottleneck is busy with that many bytes.
func (c *Conditions) sending(bytes int) time.Duration {
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / c.RateBPS)
}
