package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/pion/transport/v5"

	"tutti/codec/i420"
)

// AudioDecoder decodes one Opus stream at 48 kHz. It belongs to one goroutine.
// Every pcm slice is written up to its length, never to its capacity.
type AudioDecoder interface {
	// Decode decodes one packet and answers its samples per channel.
	Decode(payload []byte, pcm []float32) (int, error)
	// Recover fills pcm, whose length is that of the lost packet, from the
	// forward error correction in the packet after it.
	Recover(next []byte, pcm []float32) error
	// Conceal fills pcm with an invention that continues what was decoded.
	Conceal(pcm []float32) error
}

// VideoDecoder decodes one VP8 stream. It belongs to one goroutine. It answers
// ErrNoPicture for a frame that is not shown and any other error for one that
// it refuses; sizes beyond its limits are refused before anything is allocated.
type VideoDecoder interface {
	// Decode takes one whole frame.
	Decode(frame []byte) error
	// DecodeInto takes one whole frame and draws its picture over all of dst.
	DecodeInto(frame []byte, dst *i420.Frame, fit i420.Fit) error
	// Picture draws the last decoded picture over all of dst, as often as asked.
	Picture(dst *i420.Frame, fit i420.Fit) error
	Close()
}

// ErrNoPicture is a VideoDecoder's answer where there is nothing to show.
var ErrNoPicture = errors.New("rtc: the frame has no picture to show")

// Codecs makes the decoders of the participants.
type Codecs struct {
	// NewAudioDecoder answers a decoder for 1 or 2 channels.
	NewAudioDecoder func(channels int) (AudioDecoder, error)
	// NewVideoDecoder answers a decoder that refuses pictures larger than that.
	NewVideoDecoder func(maxWidth, maxHeight int) (VideoDecoder, error)
	// AudioSamples answers how many samples at 48 kHz a packet of Opus lasts
	// (RFC 6716, section 3.1); ok is false where it is no packet of Opus.
	AudioSamples func(payload []byte) (samples int, ok bool)
}

// Config is what all sessions of a gateway share. The zero value of a field
// means its default.
type Config struct {
	// Listen is the one UDP address of all media, ":7882" by default; with no
	// host every interface is bound and offered as a candidate of its own, with
	// a host only that one.
	Listen string
	// DisableTCP leaves out ICE-TCP, which otherwise listens on the number of
	// Listen: it reaches clients behind firewalls without UDP, at the price of
	// delay under loss.
	DisableTCP bool
	// PublicIPs replace the addresses of the host candidates where the host
	// stands behind a one-to-one NAT.
	PublicIPs []string
	// Loopback offers 127.0.0.1 too: for a client on the same machine. Where
	// Listen is on loopback it also binds the host's other IPv4 addresses, for
	// Firefox, and drops there whatever another host sends.
	Loopback bool
	// Lite makes the gateway an ICE-lite agent (RFC 8445, section 2.5): no checks
	// are sent, so no stranger's address is ever probed, but whoever dies is
	// noticed only by the silence of its packets.
	Lite bool

	// MaxSDPBytes bounds an offer or fragment, 64 KiB by default.
	MaxSDPBytes int
	// MaxVideoWidth and MaxVideoHeight bound inbound pictures in pixels, 1920 by
	// default for both (portrait too): more costs memory in the decoder.
	MaxVideoWidth, MaxVideoHeight int

	// JoinTimeout is how long a session may take from the answer to connected,
	// 15 s by default.
	JoinTimeout time.Duration
	// GatherTimeout bounds the collection of the gateway's own candidates,
	// 5 s by default.
	GatherTimeout time.Duration
	// DisconnectedTimeout is the silence after which a client counts as
	// disconnected, 3 s by default; shorter takes a short loss of network for
	// more than it is. Silence is that of authentic packets and checks.
	DisconnectedTimeout time.Duration
	// FailedTimeout is how long a disconnected client may take to come back,
	// 5 s by default.
	FailedTimeout time.Duration
	// KeepAlive is the time between our checks of the path, 2 s by default, which
	// is also the most that pion waits; consent needs one in 5 s (RFC 7675, section
	// 5.1). Who is silent is found out otherwise.
	KeepAlive time.Duration

	// Codecs makes the decoders; all three must be set.
	Codecs Codecs
	// Pool keeps decoded pictures; nil for one of the gateway's own.
	Pool *i420.Pool
	// Logger takes what the gateway and pion say; nil for slog.Default().
	Logger *slog.Logger

	// Net replaces the host's network, for tests in a virtual one. ICE-TCP is
	// off then.
	Net transport.Net
	// PacketConn replaces the socket of Listen; the gateway closes it. ICE-TCP is
	// off then.
	PacketConn net.PacketConn
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = ":7882"
	}
	ints := []struct {
		field *int
		value int
	}{{&c.MaxSDPBytes, 64 << 10}, {&c.MaxVideoWidth, 1920}, {&c.MaxVideoHeight, 1920}}
	for _, d := range ints {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	times := []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.JoinTimeout, 15 * time.Second},
		{&c.GatherTimeout, 5 * time.Second},
		{&c.DisconnectedTimeout, 3 * time.Second},
		{&c.FailedTimeout, 5 * time.Second},
		{&c.KeepAlive, 2 * time.Second},
	}
	for _, d := range times {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Pool == nil {
		c.Pool = new(i420.Pool)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate answers the first setting that cannot be.
func (c Config) validate() error {
	if c.Codecs.NewAudioDecoder == nil || c.Codecs.NewVideoDecoder == nil || c.Codecs.AudioSamples == nil {
		return errors.New("rtc: the config lacks a codec")
	}
	for _, ip := range c.PublicIPs {
		if net.ParseIP(ip) == nil {
			return fmt.Errorf("rtc: public IP %q is no address", ip)
		}
	}
	if _, err := net.ResolveUDPAddr("udp", c.Listen); err != nil {
		return fmt.Errorf("rtc: listen address: %w", err)
	}
	if c.MaxSDPBytes < 0 || c.MaxVideoWidth < 0 || c.MaxVideoHeight < 0 || c.JoinTimeout < 0 || c.GatherTimeout < 0 ||
		c.DisconnectedTimeout < 0 || c.FailedTimeout < 0 || c.KeepAlive < 0 {
		return errors.New("rtc: a size or time of the config is negative")
	}
	return nil
}
