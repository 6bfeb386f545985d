package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tutti/bench/load"
)

// victim is a client in whose name datagrams are sent, and what an eavesdropper
// knows of it.
type victim struct {
	client *load.Client
	names  string // both ICE user names, as a check carries them: the server's first

	mu   sync.Mutex
	sent [256][]byte // the newest of its genuine datagrams
	n    int
}

// note keeps a genuine datagram.
func (v *victim) note(b []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	slot := &v.sent[v.n%len(v.sent)]
	*slot = append((*slot)[:0], b...)
	v.n++
}

// genuine answers one of the victim's datagrams, the newest for 0.
func (v *victim) genuine(dst []byte, back uint64) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n == 0 {
		return dst[:1]
	}
	i := v.n - 1 - int(back%uint64(min(v.n, len(v.sent))))
	return append(dst[:0], v.sent[i%len(v.sent)]...)
}

// overhear notes the user names of an offer and its answer.
func (v *victim) overhear(offer, answer string) { v.names = ufrag(answer) + ":" + ufrag(offer) }

func ufrag(sdp string) string {
	for line := range strings.Lines(sdp) {
		if name, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// weapon is one kind of hostile datagram.
type weapon struct {
	name string
	as   bool // sent in a victim's name, from its own address and port; else from addresses that nobody has heard of
	make func(a *attack, v *victim, dst []byte) []byte
}

// attackSize is the room for a hostile datagram, in bytes.
const attackSize = 1200

var weapons = []weapon{
	{"noise of any length", false, func(a *attack, _ *victim, dst []byte) []byte {
		return a.noise(dst[:a.dice.IntN(attackSize)])
	}},
	{"ICE checks of unknown names", false, func(a *attack, _ *victim, dst []byte) []byte {
		return a.check(dst, "nobodyknows:"+a.word())
	}},
	{"ICE checks of a session's name, wrong key", false, func(a *attack, v *victim, dst []byte) []byte {
		return a.check(dst, v.names)
	}},
	{"DTLS hellos", false, func(a *attack, _ *victim, dst []byte) []byte { return a.record(dst[:180], 22, 0) }},
	{"RTP with a talker's SSRC", false, func(a *attack, v *victim, dst []byte) []byte {
		return a.rtp(dst, v.client.SSRC(), uint16(a.dice.Uint32()))
	}},
	{"RTP in a talker's name, forged", true, func(a *attack, v *victim, dst []byte) []byte {
		return a.forge(v.genuine(dst, 0))
	}},
	{"RTP in a talker's name, unknown SSRCs", true, func(a *attack, _ *victim, dst []byte) []byte {
		return a.rtp(dst, a.dice.Uint32(), uint16(a.dice.Uint32()))
	}},
	{"replays in a talker's name", true, func(a *attack, v *victim, dst []byte) []byte {
		return v.genuine(dst, a.dice.Uint64())
	}},
	{"RTCP in a talker's name, forged", true, func(a *attack, v *victim, dst []byte) []byte {
		b := a.noise(dst[:60])
		b[0], b[1] = 0x81, 200+byte(a.dice.IntN(7))
		binary.BigEndian.PutUint32(b[4:], v.client.SSRC())
		return b
	}},
	{"DTLS in a talker's name", true, func(a *attack, _ *victim, dst []byte) []byte {
		kinds := []byte{20, 21, 22, 23}
		epoch := uint16(a.dice.IntN(2))
		b := a.record(dst[:40], kinds[a.dice.IntN(len(kinds))], epoch)
		if b[0] == 21 && epoch == 0 {
			b = append(b[:11], 0, 2, 1, 0) // close_notify, in clear (RFC 5246, section 7.2.1)
		}
		return b
	}},
}

// attack sends hostile datagrams to one address.
type attack struct {
	to      netip.AddrPort
	victims []*victim
	dice    *rand.Rand
	noises  []byte
	strange *load.Socket // bound to no address

	sent    []uint64 // by weapon
	refused uint64   // that the kernel did not take
	batch   [][]byte
	buffers [load.BatchSize][attackSize]byte
	sources [load.BatchSize]netip.Addr
}

func newAttack(to netip.AddrPort, victims []*victim) (*attack, error) {
	a := &attack{to: to, victims: victims, dice: rand.New(rand.NewPCG(1, 2)), noises: make([]byte, 1<<16), sent: make([]uint64, len(weapons))}
	for i := range a.noises {
		a.noises[i] = byte(a.dice.Uint32())
	}
	var err error
	a.strange, err = load.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	return a, err
}

// run sends so many datagrams a second for that long, as evenly as a
// millisecond allows, and answers how long it took.
func (a *attack) run(ctx context.Context, rate int, d time.Duration) time.Duration {
	start := time.Now()
	var n int
	for round := 0; ctx.Err() == nil; {
		passed := time.Since(start)
		if passed >= d {
			return passed
		}
		due := int(passed.Seconds() * float64(rate))
		// What could not be sent in a tenth of a second is let go, so that it does not
		// come as a burst.
		n = max(n, due-rate/10)
		for n < due {
			n += a.volley(round)
			round++
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func (a *attack) close() { _ = a.strange.Close() }

// total answers how many were sent so far.
func (a *attack) total() (n uint64) {
	for _, s := range a.sent {
		n += s
	}
	return n
}

// volley sends one batch of one kind.
func (a *attack) volley(round int) int {
	kind, v := round%len(weapons), a.victims[round/len(weapons)%len(a.victims)]
	w := weapons[kind]
	a.batch = a.batch[:0]
	for i := range a.buffers {
		a.batch = append(a.batch, w.make(a, v, a.buffers[i][:]))
		// Any address of 127.64.0.0/10.
		u := a.dice.Uint32()
		a.sources[i] = netip.AddrFrom4([4]byte{127, 64 | byte(u>>16)&63, byte(u >> 8), byte(u)})
	}
	var n int
	if w.as {
		n, _ = v.client.Socket().SendBatch(a.batch, a.to)
	} else {
		n, _ = a.strange.SendSpoofed(a.batch, a.sources[:], a.to)
	}
	a.sent[kind] += uint64(n)
	a.refused += uint64(len(a.batch) - n)
	return len(a.batch)
}

// noise fills a datagram with random bytes.
func (a *attack) noise(b []byte) []byte {
	copy(b, a.noises[a.dice.IntN(len(a.noises)-len(b)):])
	return b
}

func (a *attack) word() string {
	const letters = "abcdefghijklmnop"
	var w [8]byte
	for i, u := 0, a.dice.Uint32(); i < len(w); i, u = i+1, u>>4 {
		w[i] = letters[u&15]
	}
	return string(w[:])
}

// check builds an ICE connectivity check (RFC 8445, section 7.2.2) that is right
// but for its key.
func (a *attack) check(dst []byte, names string) []byte {
	b := bytes.NewBuffer(dst[:0])
	_ = binary.Write(b, binary.BigEndian, []uint32{0x0001_0000, 0x2112_a442}) // binding request, magic cookie
	b.Write(a.noise(make([]byte, 12)))                                        // transaction
	attribute := func(kind uint16, value []byte) {
		_ = binary.Write(b, binary.BigEndian, []uint16{kind, uint16(len(value))})
		b.Write(value)
		b.Write(make([]byte, -len(value)&3))
	}
	attribute(0x0006, []byte(names))               // USERNAME
	attribute(0x0024, []byte{0x6e, 0, 0x1e, 0xff}) // PRIORITY
	attribute(0x802a, a.noise(make([]byte, 8)))    // ICE-CONTROLLING
	attribute(0x0025, nil)                         // USE-CANDIDATE
	attribute(0x0008, a.noise(make([]byte, 20)))   // MESSAGE-INTEGRITY
	out := b.Bytes()
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-20+8))
	sum := crc32.ChecksumIEEE(out) ^ 0x5354554e // FINGERPRINT (RFC 8489, section 14.7)
	return binary.BigEndian.AppendUint32(append(out, 0x80, 0x28, 0, 4), sum)
}

// record fills a datagram with a DTLS record, a ClientHello's first fragment
// where it is a handshake.
func (a *attack) record(b []byte, kind byte, epoch uint16) []byte {
	a.noise(b)
	b[0], b[1], b[2] = kind, 0xfe, 0xfd
	binary.BigEndian.PutUint16(b[3:], epoch)
	binary.BigEndian.PutUint16(b[11:], uint16(len(b)-13))
	if kind == 22 && epoch == 0 {
		n := byte(len(b) - 25)
		copy(b[13:], []byte{1, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n, 0xfe, 0xfd})
	}
	return b
}

// rtp builds a packet of sound.
func (a *attack) rtp(dst []byte, ssrc uint32, seq uint16) []byte {
	b := a.noise(dst[:100])
	b[0], b[1] = 0x80, 111
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// forge makes the next packets of a genuine one, which pass every check but
// that of the key.
func (a *attack) forge(b []byte) []byte {
	if len(b) < 24 {
		return b
	}
	binary.BigEndian.PutUint16(b[2:], binary.BigEndian.Uint16(b[2:])+1+uint16(a.dice.IntN(50)))
	a.noise(b[16:])
	return b
}
