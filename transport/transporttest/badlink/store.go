package badlink

import "time"

// queue is first in, first out. Its memory is used again.
type queue[T any] struct {
	ring  []packet[T]
	begin int
	held  int
}

func (q *queue[T]) len() int { return q.held }

func (q *queue[T]) first() *packet[T] { return &q.ring[q.begin] }

func (q *queue[T]) push(p packet[T]) {
	if q.held == len(q.ring) {
		ring := make([]packet[T], max(16, 2*q.held))
		n := copy(ring, q.ring[q.begin:])
		copy(ring[n:], q.ring[:q.begin])
		q.ring, q.begin = ring, 0
	}
	q.ring[(q.begin+q.held)%len(q.ring)] = p
	q.held++
}

func (q *queue[T]) pop() packet[T] {
	p := q.ring[q.begin]
	q.ring[q.begin] = packet[T]{}
	q.begin = (q.begin + 1) % len(q.ring)
	q.held--
	return p
}

// flight is a datagram that leaves at a time.
type flight[T any] struct {
	packet[T]
	at     time.Duration
	pushed uint64 // those that leave at the same time leave as they came
	copied bool
}

// air is a heap of flights, the next one first. It is written out since
// container/heap allocates for each.
type air[T any] struct {
	flights []flight[T]
	pushed  uint64
}

func (a *air[T]) before(i, j int) bool {
	x, y := &a.flights[i], &a.flights[j]
	return x.at < y.at || x.at == y.at && x.pushed < y.pushed
}

func (a *air[T]) push(f flight[T]) {
	a.pushed++
	f.pushed = a.pushed
	a.flights = append(a.flights, f)
	for i := len(a.flights) - 1; i > 0 && a.before(i, (i-1)/2); i = (i - 1) / 2 {
		a.flights[i], a.flights[(i-1)/2] = a.flights[(i-1)/2], a.flights[i]
	}
}

func (a *air[T]) pop() flight[T] {
	top, n := a.flights[0], len(a.flights)-1
	a.flights[0] = a.flights[n]
	a.flights[n] = flight[T]{}
	a.flights = a.flights[:n]
	for i := 0; 2*i+1 < n; {
		child := 2*i + 1
		if child+1 < n && a.before(child+1, child) {
			child++
		}
		if !a.before(child, i) {
			break
		}
		a.flights[i], a.flights[child] = a.flights[child], a.flights[i]
		i = child
	}
	return top
}
