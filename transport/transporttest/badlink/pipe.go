package badlink

import "time"

// Fate is what became of a datagram that was put into a Pipe.
type Fate uint8

// Fates. Only what is Carried leaves the pipe again.
const (
	Carried Fate = iota // it waits or is on its way
	Lost                // by Loss or Burst
	Dropped             // the queue was full
	TooLong             // longer than the MTU
)

// Counts are what a pipe has done since it began. At any time
//
//	In + Duplicated == Out + Lost + Dropped + TooLong + Waiting
type Counts struct {
	In, InBytes   uint64
	Out, OutBytes uint64 // copies among them
	Lost          uint64 // by Loss and Burst
	Dropped       uint64 // by the queue
	TooLong       uint64
	Duplicated    uint64 // copies made
	// Reordered datagrams left after one that had come later (RFC 4737, 3.3).
	Reordered uint64
	// Waiting is how many are in the pipe now, copies among them.
	Waiting int

	// MaxQueueBytes and MaxQueueTime are the most that waited behind the datagram
	// that was being sent, and the longest that one had to wait for its turn.
	MaxQueueBytes int
	MaxQueueTime  time.Duration
}

// Config is what a Pipe begins with.
type Config[T any] struct {
	// Seed is what all luck comes from.
	Seed uint64
	// Conditions at the start; they are as Check wants them.
	Conditions Conditions
	// Clone makes the copies of duplication; nil: the same item leaves twice.
	Clone func(T) T
}

// Pipe is one direction of a link with datagrams of type T on their way. It
// belongs to one goroutine. Times that are handed to it do not decrease; one
// that does is taken for the latest. The number of datagrams on their way is
// bounded by the bottleneck's queue, where there is a bottleneck, alone.
type Pipe[T any] struct {
	cfg   Config[T]
	start time.Time
	now   time.Duration // since the start, as all times here
	c     Conditions
	luck  luck

	script script
	queue  queue[T]      // at the bottleneck; the first is being sent
	bytes  int           // that wait behind the first
	sent   time.Duration // when the first will be through the bottleneck

	air     air[T]
	last    time.Duration // when the last one in order leaves
	entered uint64        // datagrams, as numbers for their order
	newest  uint64        // the greatest number that has left
	counts  Counts
}

// packet is a datagram within the pipe.
type packet[T any] struct {
	item   T
	size   int
	number uint64
	lot
}

// New makes a pipe.
func New[T any](start time.Time, cfg Config[T]) *Pipe[T] {
	return &Pipe[T]{cfg: cfg, start: start, c: cfg.Conditions, luck: newLuck(cfg.Seed)}
}

// Conditions answers what is in force at that time.
func (p *Pipe[T]) Conditions(now time.Time) Conditions {
	p.advance(now)
	return p.c
}

// Set changes the conditions, which are as Check wants them, and ends a trace.
// What is on its way behind the bottleneck arrives as it would have.
func (p *Pipe[T]) Set(now time.Time, c Conditions) {
	p.advance(now)
	p.script = script{}
	p.set(c)
}

// Play begins a trace's steps for this direction, and ends the one before. They
// and the time of repetition are as Trace.Check wants them.
func (p *Pipe[T]) Play(now time.Time, steps []Step, repeat time.Duration) {
	p.advance(now)
	p.script = script{steps: steps, repeat: repeat, began: p.now}
	p.advance(now)
}

// Push puts in a datagram of that many bytes and answers what becomes of it.
func (p *Pipe[T]) Push(now time.Time, size int, item T) Fate {
	p.advance(now)
	p.entered++
	p.counts.In++
	p.counts.InBytes += uint64(size)
	in := packet[T]{item: item, size: size, number: p.entered, lot: p.luck.draw(&p.c)}
	if p.c.MTU > 0 && size > p.c.MTU {
		p.counts.TooLong++
		return TooLong
	}
	if in.lost {
		in.item = *new(T) // it takes its time in the bottleneck, and is never seen again
	}
	if !p.enqueue(in) {
		p.counts.Dropped++
		return Dropped
	}
	if in.lost {
		p.counts.Lost++
		return Lost
	}
	p.counts.Waiting++
	return Carried
}

// Pop answers the next datagram that has left by then, in the order of leaving,
// and its size.
func (p *Pipe[T]) Pop(now time.Time) (item T, size int, ok bool) {
	p.advance(now)
	if len(p.air.flights) == 0 || p.air.flights[0].at > p.now {
		return item, 0, false
	}
	f := p.air.pop()
	p.counts.Waiting--
	p.counts.Out++
	p.counts.OutBytes += uint64(f.size)
	switch {
	case f.copied:
	case f.number < p.newest:
		p.counts.Reordered++
	default:
		p.newest = f.number
	}
	return f.item, f.size, true
}

// Next answers when Pop should be asked again. It is false where nothing is on
// its way.
func (p *Pipe[T]) Next() (time.Time, bool) {
	next := never
	if len(p.air.flights) > 0 {
		next = p.air.flights[0].at
	}
	if p.queue.len() > 0 {
		next = min(next, p.sent, p.script.next())
	}
	return p.start.Add(next), next != never
}

// Counts answers what the pipe has done.
func (p *Pipe[T]) Counts() Counts { return p.counts }

// advance lets pass what passes the bottleneck by then, under the conditions of
// its time.
func (p *Pipe[T]) advance(now time.Time) {
	until := max(p.now, now.Sub(p.start))
	for {
		step := p.script.next()
		if p.queue.len() > 0 && p.sent <= until && p.sent < step {
			p.now = max(p.now, p.sent)
			p.send()
			continue
		}
		if step > until {
			break
		}
		p.now = max(p.now, step)
		p.set(p.script.take())
		if p.queue.len() == 0 {
			p.script.skip(until)
		}
	}
	p.now = until
}

// set puts conditions in force now; what is half through the bottleneck goes on
// at the new rate.
func (p *Pipe[T]) set(c Conditions) {
	old := p.c.RateBPS
	p.c = c
	switch {
	case p.queue.len() == 0 || old == c.RateBPS:
	case c.RateBPS == 0:
		for p.queue.len() > 0 {
			p.depart(p.queue.pop())
		}
		p.bytes = 0
	default:
		p.sent = p.now + time.Duration(float64(p.sent-p.now)*float64(old)/float64(c.RateBPS))
	}
}

// enqueue puts a datagram before the bottleneck if there is room.
func (p *Pipe[T]) enqueue(in packet[T]) bool {
	switch {
	case p.c.RateBPS == 0:
		p.depart(in)
	case p.queue.len() == 0:
		p.queue.push(in)
		p.sent = p.now + p.c.sending(in.size)
	default:
		wait := p.sent - p.now + p.c.sending(p.bytes)
		if !p.c.fits(p.bytes+in.size, wait) {
			return false
		}
		p.queue.push(in)
		p.bytes += in.size
		p.counts.MaxQueueBytes = max(p.counts.MaxQueueBytes, p.bytes)
		p.counts.MaxQueueTime = max(p.counts.MaxQueueTime, wait)
	}
	return true
}

// send lets the first through the bottleneck and begins with the one behind it.
func (p *Pipe[T]) send() {
	p.depart(p.queue.pop())
	if p.queue.len() > 0 {
		first := p.queue.first().size
		p.bytes -= first
		p.sent += p.c.sending(first)
	}
}

// depart sends a datagram on its way from the bottleneck, now.
func (p *Pipe[T]) depart(out packet[T]) {
	if out.lost {
		return
	}
	at := p.now + p.c.Delay
	if p.c.Scatter {
		at += time.Duration(out.scatter * float64(p.c.Jitter))
	} else {
		at = max(p.last, at+p.luck.wander(p.now, p.c.Jitter))
	}
	p.last = max(p.last, at)
	if out.late {
		at += p.c.reorderDelay()
	}
	p.air.push(flight[T]{packet: out, at: at})
	if out.double {
		if p.cfg.Clone != nil {
			out.item = p.cfg.Clone(out.item)
		}
		p.air.push(flight[T]{packet: out, at: at, copied: true})
		p.counts.Duplicated++
		p.counts.Waiting++
	}
}
