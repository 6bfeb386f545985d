// Package forward sends a room's mix as plain RTP to an address that somebody
// names: Opus (RFC 7587) and VP8 (RFC 7741) over UDP, with sender reports, or
// the same as SRTP under a key that is given.
//
// # What it promises
//
// A forwarder is a subscriber like any other and never holds up its room: what
// the network does not take waits in a short queue, whose oldest sound is
// dropped first; after a dropped picture the stream goes on with a key frame.
// Nobody at the other end is no error: refusals are counted, and sending goes on.
// While nobody publishes, the empty canvas and silence are sent.
//
// Sound and picture are two streams with an SSRC each, whose timestamps come from
// the room's one clock; sender reports relate both to wall time (RFC 3550,
// section 6.4.1), the first with the first packet, then each second. They go
// from and to the port above, or with the media where RTCPMux is set. From the
// same places the receiver's RTCP is taken (RFC 4961): a PLI or FIR brings a key
// frame. RTCP from any other port is not seen.
//
// # Where to
//
// Where a node sends to is not for everybody to choose (request forgery). An
// address must be a public one or lie in Config.Allow. A name is resolved once, all
// that it stands for must be allowed, and the forwarder keeps the address.
//
// # From node to node
//
// A room that goes on elsewhere takes its forwarders along: Continue begins there,
// HandOver ends here without a word (no BYE), so that a receiver goes on with what
// comes next. Each beginning has new SSRCs, so no SRTP key is used
// twice for the same packet index, and sequence numbers begin below 2^15, so that a
// receiver that comes late has the right roll-over count for at least 10 minutes
// of sound (RFC 3711, section 3.3.1).
//
// A Manager may be used from any goroutine. One goroutine a forwarder sends; at
// most two more hear what comes back of the pictures. Keys are never logged.
package forward

import (
	"log/slog"
	"net/netip"
	"time"

	"tutti/mixer"
)

// State is what a forwarder does.
type State string

// The states of a forwarder. One that has ended is there no more.
const (
	Starting    State = "starting"    // nothing was sent yet
	Active      State = "active"      // it sends
	Unreachable State = "unreachable" // it sends, and lately was refused
)

// Options is what a forwarder is asked to be.
type Options struct {
	// Host is an IP address or a name.
	Host string
	// AudioPort and VideoPort are 1024 to 65534, and even where RTCP goes to the
	// port above; 0 leaves the kind out. One at least is set.
	AudioPort, VideoPort int
	// Rendition is empty for the room's first.
	Rendition string
	// RTCPMux sends RTCP to the ports of the media (RFC 5761).
	RTCPMux bool
	// SRTP is how packets are protected; the zero value sends them plain.
	SRTP SRTP
	// Starter is an opaque word for who starts it. SDP shows them the key.
	Starter string
}

// Running is what it takes to let a forwarder go on elsewhere.
type Running struct {
	ID string
	Options
	// Address is what Host was resolved to.
	Address   netip.Addr
	StartedAt time.Time
}

// Info is a forwarder at one moment.
type Info struct {
	Running
	Room  string
	State State
	Counts
}

// Counts is what a forwarder has done.
type Counts struct {
	// Packets and Bytes are those of RTP given to the network; Bytes are whole UDP
	// payloads.
	Packets, Bytes uint64
	// Dropped are packets of sound and pictures that the network was too slow for.
	Dropped uint64
	// Refused are datagrams that were not taken: nobody was there, or no way.
	Refused uint64
	// Stopped are datagrams that were held back since Config.Gate was shut.
	Stopped uint64
	// KeyFrameRequests are those that came from the receiver.
	KeyFrameRequests uint64
}

func (c *Counts) add(o Counts) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Dropped += o.Dropped
	c.Refused += o.Refused
	c.Stopped += o.Stopped
	c.KeyFrameRequests += o.KeyFrameRequests
}

// Config is what a Manager works with. Zero values stand for the defaults.
type Config struct {
	// Allow is where may be sent to besides public addresses.
	Allow []netip.Prefix
	// Gate reports whether media may be sent now, and is asked before each
	// datagram; nil for always. It must not block.
	Gate func() bool
	// MaxPerRoom bounds the forwarders of a room, 0 for 8; MaxRunning all of them,
	// 0 for 256. Continue is bound by neither.
	MaxPerRoom, MaxRunning int
	// Resolver looks names up; nil for the system's, without its library.
	Resolver Resolver
	// Logger is slog.Default() where nil.
	Logger *slog.Logger
}

// Error is a refusal with a stable code, which the API carries as is.
type Error struct{ code, text string }

func (e *Error) Error() string { return "forward: " + e.text }

// Code answers the stable word, such as forwarder_not_found.
func (e *Error) Code() string { return e.code }

// What a Manager refuses; a field that cannot be is a *mixer.FieldError.
var (
	ErrNotFound = &Error{"forwarder_not_found", "no such forwarder"}
	ErrTooMany  = &Error{"too_many_forwarders", "all the forwarders run that may"}
)

// check answers a *mixer.FieldError for the first option that cannot be.
func (o *Options) check() error {
	if o.AudioPort == 0 && o.VideoPort == 0 {
		return &mixer.FieldError{Field: "audio_port", Reason: "must be set, or video_port"}
	}
	if err := o.checkPort("audio_port", o.AudioPort); err != nil {
		return err
	}
	if err := o.checkPort("video_port", o.VideoPort); err != nil {
		return err
	}
	if o.AudioPort == o.VideoPort {
		return &mixer.FieldError{Field: "video_port", Reason: "must not be audio_port"}
	}
	_, err := o.SRTP.parse()
	return err
}

const (
	minPort = 1024
	maxPort = 65534
)

func (o *Options) checkPort(field string, port int) error {
	switch {
	case port == 0:
		return nil
	case port < minPort || port > maxPort:
		return &mixer.FieldError{Field: field, Reason: "must be 1024 to 65534"}
	case port%2 != 0 && !o.RTCPMux: // RFC 3550, section 11
		return &mixer.FieldError{Field: field, Reason: "must be even, since RTCP goes to the port above"}
	}
	return nil
}
