package jitter

import "time"

// Rate is the clock of all sample counts and timestamps of a Buffer, in Hz:
// RTP's rate for Opus whatever it carries (RFC 7587, section 4.1).
const Rate = 48000

// Limits that no packet and no setting exceeds.
const (
	// MinSamples and MaxSamples bound the duration of a packet, 2.5 to 120 ms
	// (RFC 6716, section 2.1.4).
	MinSamples, MaxSamples = 120, 5760
	// MaxPayload is the largest payload that is kept, in bytes.
	MaxPayload = 1500
	// MaxDelay is the largest Config.Max.
	MaxDelay = time.Second
)

// Config sets up a Buffer. Fields that are zero take their defaults.
type Config struct {
	// Floor is the least sound that is to be there when a packet is played, that
	// packet included. Default 20 ms, one packet. More trades delay for calm.
	Floor time.Duration
	// Max is the most that is ever buffered; the oldest is dropped beyond it.
	// Missing packets count. Default 400 ms, from 240 ms, two of the longest packets,
	// to MaxDelay.
	Max time.Duration
	// Margin is added to the measured variation; it bears the lateness of the
	// loop that pops. Default 5 ms.
	Margin time.Duration
	// Window is how far back the variation is measured. Default 4 s. Longer
	// remembers seldom spikes, shorter gives delay back sooner.
	Window time.Duration
	// Conceal is how much is concealed on end when nothing comes; then the
	// sender is taken to have paused. Default 100 ms.
	Conceal time.Duration
	// Tick is how much sound the caller takes at a time. Default 20 ms.
	Tick time.Duration
}

// withDefaults fills in what is zero and clamps the rest to what makes sense.
func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def, lo, hi time.Duration) {
		if *d == 0 {
			*d = def
		}
		*d = min(max(*d, lo), hi)
	}
	const ms = time.Millisecond
	set(&c.Tick, 20*ms, 5*ms, 60*ms)
	set(&c.Max, 400*ms, 2*longest, MaxDelay)
	set(&c.Floor, 20*ms, 0, c.Max-c.Tick)
	set(&c.Margin, 5*ms, 0, c.Max)
	set(&c.Window, 4*time.Second, 100*ms, time.Minute)
	set(&c.Conceal, 100*ms, 0, time.Second)
	return c
}

// longest is the duration of the longest packet.
const longest = MaxSamples * time.Second / Rate

// Status says what Pop found.
type Status uint8

// The answers of Pop.
const (
	// Empty: nothing is buffered, the sender paused: silence.
	Empty Status = iota
	// Early: something is buffered and not yet due: silence until it is.
	Early
	// Ready: the packet is next in order and due.
	Ready
	// Lost: what is due is not there: conceal Packet.Samples, or recover them
	// from Packet.Next.
	Lost
)

// String answers the status in lower case.
func (s Status) String() string {
	switch s {
	case Empty:
		return "empty"
	case Early:
		return "early"
	case Ready:
		return "ready"
	case Lost:
		return "lost"
	}
	return "unknown"
}

// Packet is what Pop hands out.
type Packet struct {
	// Seq and Timestamp are the packet's own, of 16 and 32 bits; with Lost they
	// are those expected.
	Seq       uint16
	Timestamp uint32
	// Samples is the duration at 48 kHz: of the payload, or of what is to be
	// concealed.
	Samples int
	// Payload is the encoded sound, valid until the next Pop; nil unless Ready.
	Payload []byte
	// Next is, with Lost, the payload of the packet right after the lost one where
	// it is there, for its forward error correction; valid until the next Pop.
	Next []byte
	// Wait is how long after its earliest possible arrival the packet is popped,
	// the delay that the buffer and the caller's tick add.
	Wait time.Duration
	// Over is by how much Wait exceeds what the target asks for; below 0 packets
	// will come too late. What the caller is to do about it says Excess.
	Over time.Duration
	// DriftPPM is by how much the sender's clock is fast, 0 where that is not
	// known or too little to matter.
	DriftPPM float64

	tick int // Config.Tick in samples
}

// Stats describes a Buffer. Counts are since NewBuffer and survive Reset.
type Stats struct {
	// Jitter is the interarrival jitter (RFC 3550, section 6.4.1).
	Jitter time.Duration
	// Target is the sound that is to be there when a packet is played, that
	// packet included.
	Target time.Duration
	// Buffered is the sound that is held now.
	Buffered time.Duration
	// Wait is that of the packet played last.
	Wait time.Duration
	// DriftPPM is by how much the sender's clock is fast, in parts per million, 0
	// where that is not known or too little to matter.
	DriftPPM float64

	Received   uint64 // packets accepted
	Played     uint64 // packets handed out
	Lost       uint64 // packets that were not there when due, those that came late among them
	Late       uint64 // packets that came when their turn was over
	Duplicates uint64 // packets that had come before
	Reordered  uint64 // packets overtaken by a later one
	Overflowed uint64 // packets dropped because Max was reached or the stream began anew
	Repaired   uint64 // packets that only PushRepair brought, of those received
	Invalid    uint64 // packets refused: no such duration, too large, out of any order
	Concealed  uint64 // answers of Lost
	Resyncs    uint64 // restarts of sequence or timestamps
}
