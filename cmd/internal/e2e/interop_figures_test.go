package e2e

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// account is what a client tells of itself, by its own statistics. What it does
// not count is -1.
type account struct {
	State string `json:"state"`
	SRTP  string `json:"srtp"` // the profile, by its name in RFC 5764 or RFC 7714
	Sound struct {
		Packets int `json:"packets"`
		Lost    int `json:"lost"`
	} `json:"sound"`
	Picture struct {
		Packets  int     `json:"packets"`
		Lost     int     `json:"lost"`
		Frames   int     `json:"frames"` // decoded
		Width    int     `json:"width"`
		Height   int     `json:"height"`
		NACKs    int     `json:"nacks"`
		PLIs     int     `json:"plis"`
		Repaired int     `json:"repaired"` // packets that came as RTX
		PauseMS  float64 `json:"pause_ms"` // the longest time without a picture since the account before
	} `json:"picture"`
	Sent struct {
		Sound   int `json:"sound"` // packets
		Picture int `json:"picture"`
		NACKs   int `json:"nacks"`   // for pictures, received
		Repairs int `json:"repairs"` // packets sent again
	} `json:"sent"`
}

// uncounted marks what some clients do not count.
func (a *account) uncounted() {
	a.Picture.Repaired, a.Sent.NACKs, a.Sent.Repairs = -1, -1, -1
}

// counters answers what only grows.
func (a *account) counters() []*int {
	s, p, o := &a.Sound, &a.Picture, &a.Sent
	return []*int{&s.Packets, &s.Lost, &p.Packets, &p.Lost, &p.Frames, &p.NACKs, &p.PLIs, &p.Repaired, &o.Sound, &o.Picture, &o.NACKs, &o.Repairs}
}

// sample is what both sides counted at a time.
type sample struct {
	account
	server participant
	media  media
	at     time.Time
}

// media is what the server's media plane and its encoders counted, all clients
// together.
type media map[string]float64

// Of these there is none for as long as a client and the server understand each
// other.
var refusals = []string{"garbage", "stranger", "forged", "replayed", "malformed", "undeclared"}

const (
	resent = "tutti_media_resent_total"
	asked  = "tutti_media_asked_total"
	begun  = "tutti_key_frames_total"
)

// media answers what the media plane and the encoders have counted so far.
func (s *server) media(t *testing.T) media {
	t.Helper()
	m := media{}
	for _, name := range []string{resent, asked, begun} {
		m[name] = s.metric(t, name)
	}
	for _, reason := range refusals {
		m[reason] = s.metric(t, fmt.Sprintf("tutti_media_refused_total{reason=%q}", reason))
	}
	return m
}

// figures are what happened between two samples.
type figures struct {
	seconds float64
	account             // of which the counters are differences
	server  participant // likewise
	media   media       // likewise
}

func (f figures) String() string {
	p, sent, there := f.Picture, f.Sent, f.server.Stats
	return strings.Join([]string{
		f.SRTP,
		fmt.Sprintf("hears %.1f packets/s, %d lost", float64(f.Sound.Packets)/f.seconds, f.Sound.Lost),
		fmt.Sprintf("sees %.1f pictures/s, longest pause %.0f ms, %d packets, %d lost, NACK %d, RTX %d, PLI %d",
			float64(p.Frames)/f.seconds, p.PauseMS, p.Packets, p.Lost, p.NACKs, p.Repaired, p.PLIs),
		fmt.Sprintf("sends %d packets of sound, %d of pictures, NACK %d, again %d", sent.Sound, sent.Picture, sent.NACKs, sent.Repairs),
		fmt.Sprintf("the server hears %d, %d lost, %v, sees %.1f pictures/s, asks for %d key frames and %.0f packets, begins anew %.0f times, sends %.0f again",
			there.PacketsReceived, there.PacketsLost, there.AudioBlocks, f.server.Video.FPS, there.KeyFrameRequests, f.media[asked], f.media[begun], f.media[resent]),
	}, "; ")
}

// figuresOf answers what happened between two samples.
func figuresOf(a, b sample) figures {
	f := figures{seconds: b.at.Sub(a.at).Seconds(), account: b.account, server: b.server}
	before := a.account.counters()
	for i, n := range f.account.counters() {
		if *n >= 0 {
			*n -= *before[i]
		}
	}
	s, then := &f.server.Stats, a.server.Stats
	s.PacketsReceived -= then.PacketsReceived
	s.PacketsLost -= then.PacketsLost
	s.FramesRefused -= then.FramesRefused
	s.KeyFrameRequests -= then.KeyFrameRequests
	blocks := map[string]int{}
	for word, n := range s.AudioBlocks {
		blocks[word] = n - then.AudioBlocks[word]
	}
	s.AudioBlocks = blocks
	f.media = media{}
	for name, n := range b.media {
		f.media[name] = n - a.media[name]
	}
	return f
}

// profiles are the SRTP profiles that may be chosen (RFC 5764, section 4.1.2;
// RFC 7714, section 14.2).
var profiles = []string{
	"SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_HMAC_SHA1_80", "SRTP_AES128_CM_HMAC_SHA1_32",
}

// judge answers what is wrong with the figures in such conditions.
func (f figures) judge(c condition) []string {
	var v verdict
	v.check(slices.Contains(profiles, f.SRTP), "the SRTP profile is %q", f.SRTP)
	f.judgeSound(&v, c)
	f.judgePictures(&v, c)
	f.judgeRepairs(&v, c)
	for _, reason := range refusals {
		v.check(f.media[reason] == 0, "the server refuses %.0f datagrams: %s", f.media[reason], reason)
	}
	return v
}

// verdict is what was found wrong.
type verdict []string

func (v *verdict) check(ok bool, format string, args ...any) {
	if !ok {
		*v = append(*v, fmt.Sprintf(format, args...))
	}
}

// judgeSound looks at the sound both ways. It is not sent again: what the link
// loses is lost, and nothing else. Where the machine is too busy less is sent.
func (f figures) judgeSound(v *verdict, c condition) {
	atLeast := 0.7 * (1 - c.loss) * soundPackets
	ends := []struct {
		name           string
		received, lost int
	}{
		{"client", f.Sound.Packets, f.Sound.Lost},
		{"server", f.server.Stats.PacketsReceived, f.server.Stats.PacketsLost},
	}
	for _, e := range ends {
		rate, share := float64(e.received)/f.seconds, float64(e.lost)/float64(max(1, e.received+e.lost))
		v.check(rate >= atLeast, "the %s receives %.1f packets of sound a second", e.name, rate)
		// Four standard deviations, and what a busy machine may lose besides.
		spread := 4 * math.Sqrt(c.loss*(1-c.loss)/(soundPackets*f.seconds))
		v.check(share >= c.loss-spread && share <= c.loss+spread+0.02 && (e.lost > 0 || c.loss == 0),
			"the %s lost %.1f %% of the sound", e.name, 100*share)
	}
	blocks := f.server.Stats.AudioBlocks
	voice, filled := float64(blocks["voice"]+blocks["recovered"]), float64(blocks["concealed"]+blocks["silence"])
	v.check(voice >= atLeast*f.seconds, "the mix has %.0f blocks of the client's voice in %.1f s", voice, f.seconds)
	v.check(filled <= (2*c.loss+0.15)*soundPackets*f.seconds, "%.0f blocks of the client's voice are filled in", filled)
}

// judgePictures looks at the pictures both ways.
func (f figures) judgePictures(v *verdict, c condition) {
	fps, pause := float64(f.Picture.Frames)/f.seconds, time.Duration(f.Picture.PauseMS*float64(time.Millisecond))
	v.check(fps >= c.fps, "the client decodes %.1f pictures a second", fps)
	v.check(pause <= c.pause, "the client sees no picture for %v", pause)
	v.check(f.Picture.Width == 640 && f.Picture.Height == 360, "the picture has %dx%d", f.Picture.Width, f.Picture.Height)
	v.check(f.server.Video.FPS >= serverFPS, "the server decodes %.1f pictures a second", f.server.Video.FPS)
}

// judgeRepairs looks at how lost pictures are repaired: by packets that are sent
// again. To begin anew is the exception. What counts is how often that happens,
// as GStreamer's depayloader asks with each picture that it throws away until
// the key frame is there.
func (f figures) judgeRepairs(v *verdict, c condition) {
	v.check(f.media[begun] <= c.begun, "the server begins its picture anew %.0f times", f.media[begun])
	v.check(f.server.Stats.KeyFrameRequests <= c.keys, "the server asks for %d key frames", f.server.Stats.KeyFrameRequests)
	v.check(f.server.Stats.FramesRefused <= c.keys, "the server refuses %d frames", f.server.Stats.FramesRefused)
	if c.loss == 0 {
		return
	}
	v.check(f.Picture.NACKs > 0, "the client misses no packet of the pictures")
	v.check(f.Picture.Repaired != 0, "the client gets no packet by RTX")
	v.check(f.media[resent] >= float64(f.Picture.NACKs)/2, "of %d packets that the client misses the server sends %.0f again", f.Picture.NACKs, f.media[resent])
	if c.loss*f.seconds < 0.5 {
		return // the few packets of what it sends may all have passed
	}
	v.check(f.media[asked] > 0, "the server misses no packet of the pictures")
	v.check(f.Sent.NACKs != 0, "the client is not asked for packets")
	v.check(f.Sent.Repairs != 0, "the client sends no packet again")
}

const (
	soundPackets = 50 // each way in a second
	serverFPS    = 20 // of the 30 pictures a second that clients send, at least
)

// TestInteropJudgement sees that each of the figures can fail.
func TestInteropJudgement(t *testing.T) {
	c := condition{loss: 0.1, fps: 15, pause: time.Second, begun: 3, keys: 2}
	good := func() figures {
		f := figures{seconds: 10}
		f.SRTP = profiles[0]
		f.Sound.Packets, f.Sound.Lost = 450, 50
		f.Picture.Frames, f.Picture.PauseMS, f.Picture.Width, f.Picture.Height = 250, 400, 640, 360
		f.Picture.NACKs, f.Picture.PLIs, f.Picture.Repaired = 60, 1, 50
		f.Sent.NACKs, f.Sent.Repairs = 30, 30
		f.media = media{resent: 60, asked: 30, begun: 1}
		f.server.Video = &pictureInfo{FPS: 30}
		f.server.Stats.PacketsReceived, f.server.Stats.PacketsLost = 450, 50
		f.server.Stats.AudioBlocks = map[string]int{"voice": 450, "concealed": 50}
		return f
	}
	if wrong := good().judge(c); len(wrong) > 0 {
		t.Fatalf("good figures: %v", wrong)
	}
	for name, spoil := range map[string]func(*figures){
		"no profile":             func(f *figures) { f.SRTP = "" },
		"little sound":           func(f *figures) { f.Sound.Packets, f.Sound.Lost = 300, 30 },
		"too much lost":          func(f *figures) { f.Sound.Lost = 150 },
		"nothing lost":           func(f *figures) { f.Sound.Lost = 0 },
		"little sound there":     func(f *figures) { f.server.Stats.PacketsReceived, f.server.Stats.PacketsLost = 300, 30 },
		"too much lost there":    func(f *figures) { f.server.Stats.PacketsLost = 150 },
		"little voice":           func(f *figures) { f.server.Stats.AudioBlocks["voice"] = 300 },
		"much filled in":         func(f *figures) { f.server.Stats.AudioBlocks["silence"] = 150 },
		"few pictures":           func(f *figures) { f.Picture.Frames = 100 },
		"frozen":                 func(f *figures) { f.Picture.PauseMS = 1100 },
		"small":                  func(f *figures) { f.Picture.Width = 320 },
		"few pictures there":     func(f *figures) { f.server.Video.FPS = 19 },
		"many beginnings":        func(f *figures) { f.media[begun] = 4 },
		"many beginnings there":  func(f *figures) { f.server.Stats.KeyFrameRequests = 3 },
		"frames refused":         func(f *figures) { f.server.Stats.FramesRefused = 3 },
		"nothing missed":         func(f *figures) { f.Picture.NACKs = 0 },
		"nothing repaired":       func(f *figures) { f.Picture.Repaired = 0 },
		"nothing sent again":     func(f *figures) { f.media[resent] = 0 },
		"nothing asked for":      func(f *figures) { f.media[asked] = 0 },
		"refused":                func(f *figures) { f.media["forged"] = 1 },
		"nothing missed there":   func(f *figures) { f.Sent.NACKs = 0 },
		"nothing repaired there": func(f *figures) { f.Sent.Repairs = 0 },
	} {
		f := good()
		spoil(&f)
		if wrong := f.judge(c); len(wrong) != 1 {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}
