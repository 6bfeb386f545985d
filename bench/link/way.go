package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tutti/transport/transporttest/badlink"
)

// pipe is what a direction does to IP packets.
type pipe = badlink.Pipe[[]byte]

// way carries packets in one direction. Its goroutine has a thread to itself,
// which sleeps in the kernel until a packet comes or one is due: the timers of
// Go's scheduler wake up to a millisecond late.
type way struct {
	from, to *namespace
	far      Side
	mtu      int
	ended    chan struct{}

	mu      sync.Mutex
	wake    int // an eventfd: look again
	pipe    *pipe
	stray   uint64
	refused uint64
	closing bool

	// Owned by the goroutine.
	free  [][]byte // packets' memory
	batch [][]byte // that were read
	due   [][]byte // to be written
}

const (
	// batchSize is how many packets are read before those that are due are written.
	batchSize = 64
	// maxFree is for how many packets memory is kept while it is not used.
	maxFree = 4096
)

// start begins to carry.
func (w *way) start(seed uint64, c badlink.Conditions, mtu int) error {
	var err error
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("link: make eventfd: %w", err)
	}
	w.mtu, w.ended = mtu, make(chan struct{})
	w.pipe = badlink.New(time.Now(), badlink.Config[[]byte]{Seed: seed, Conditions: c, Clone: w.copied})
	go w.run()
	return nil
}

// stop ends carrying; what is on its way is lost.
func (w *way) stop() error {
	w.change(func(*pipe) { w.closing = true })
	<-w.ended
	return unix.Close(w.wake)
}

// change does something with the pipe and has the goroutine look again. What is
// closed does not change.
func (w *way) change(f func(*pipe)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return
	}
	f(w.pipe)
	_, _ = unix.Write(w.wake, binary.NativeEndian.AppendUint64(nil, 1)) // full: it looks anyway
}

func (w *way) stats() Counts {
	missed := w.from.missed()
	w.mu.Lock()
	defer w.mu.Unlock()
	return Counts{Counts: w.pipe.Counts(), Stray: w.stray, Missed: missed, Refused: w.refused}
}

func (w *way) run() {
	defer close(w.ended)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may sleep 50 us longer than asked; not for this thread.
	if unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) == nil {
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }()
	}
	for {
		next, any, closing := w.pass()
		if closing {
			return
		}
		w.wait(next, any)
		w.read()
	}
}

// pass puts in what was read, writes what is due, and answers when the next is.
func (w *way) pass() (next time.Time, any, closing bool) {
	now := time.Now()
	w.mu.Lock()
	for i, packet := range w.batch {
		if w.pipe.Push(now, len(packet), packet) != badlink.Carried {
			w.keep(packet)
		}
		w.batch[i] = nil
	}
	w.batch = w.batch[:0]
	for packet, _, ok := w.pipe.Pop(now); ok; packet, _, ok = w.pipe.Pop(now) {
		w.due = append(w.due, packet)
	}
	next, any = w.pipe.Next()
	closing = w.closing
	w.mu.Unlock()

	refused := uint64(0)
	for i, packet := range w.due {
		if _, err := again(func() (int, error) { return unix.Write(w.to.tun, packet) }); err != nil {
			refused++
		}
		w.keep(packet)
		w.due[i] = nil
	}
	w.due = w.due[:0]
	if refused > 0 {
		w.mu.Lock()
		w.refused += refused
		w.mu.Unlock()
	}
	return next, any, closing
}

// wait sleeps until there is a packet, until the next is due if there is any,
// or until change was called.
func (w *way) wait(next time.Time, any bool) {
	var timeout *unix.Timespec
	if any {
		t := unix.NsecToTimespec(max(0, time.Until(next).Nanoseconds()))
		timeout = &t
	}
	fds := []unix.PollFd{{Fd: int32(w.from.tun), Events: unix.POLLIN}, {Fd: int32(w.wake), Events: unix.POLLIN}}
	if _, err := unix.Ppoll(fds, timeout, nil); err == nil && fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(w.wake, count[:])
	}
}

// read takes the packets that are there for the other side.
func (w *way) read() {
	for len(w.batch) < batchSize {
		packet := w.memory()
		n, err := again(func() (int, error) { return unix.Read(w.from.tun, packet) })
		if err != nil { // there is none
			w.keep(packet)
			return
		}
		packet = packet[:n]
		if !isFor(packet, w.far) {
			w.keep(packet)
			w.mu.Lock()
			w.stray++
			w.mu.Unlock()
			continue
		}
		w.batch = append(w.batch, packet)
	}
}

// memory answers room for a packet.
func (w *way) memory() []byte {
	if n := len(w.free) - 1; n >= 0 {
		packet := w.free[n]
		w.free[n], w.free = nil, w.free[:n]
		return packet[:w.mtu]
	}
	return make([]byte, w.mtu)
}

// keep takes memory back.
func (w *way) keep(packet []byte) {
	if len(w.free) < maxFree {
		w.free = append(w.free, packet)
	}
}

// copied makes the copies of duplication, on any goroutine.
func (w *way) copied(packet []byte) []byte { return append(make([]byte, 0, w.mtu), packet...) }

// isFor reports whether an IP packet goes to a side.
func isFor(packet []byte, side Side) bool {
	const to4, to6 = 16, 24 // where the destination is (RFC 791, 3.1; RFC 8200, 3)
	switch {
	case len(packet) >= to4+4 && packet[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(packet[to4:])) == side.IP4()
	case len(packet) >= to6+16 && packet[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(packet[to6:])) == side.IP6()
	}
	return false
}

// again calls f until no signal interrupts it.
func again(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
