package mixertest

import (
	"bufio"
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/mixer"
	"tutti/mixer/layout"
)

// Run plays a scenario in a bubble of virtual time. A scenario is lines of
//
//	set max_talkers=2
//	at 0s    join alice tone=440 colour=#c03030   also: silent, nolevel, nocamera
//	at 0s    view carol                           only receives
//	at 1s    mute alice | unmute alice | dark alice | light alice
//	at 1s    gain alice -6
//	at 2s    stall alice | resume alice           nothing comes from it
//	at 3s    leave alice
//	at 3s    layout speaker
//	at 4s    expect bob hears alice carol         and nobody else
//	at 4s    expect bob hears nobody
//	at 4s    expect bob sees alice | expect bob misses alice
//	at 4s    expect speaker alice | expect talkers 2
//	at 9s    end
//
// and # for comments. Whatever the lines say, sound and picture of nobody may
// ever have a gap, and after the end nothing may be left behind.
func Run(t *testing.T, text string) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t)
		lines := bufio.NewScanner(strings.NewReader(text))
		for n := 1; lines.Scan(); n++ {
			line, _, _ := strings.Cut(lines.Text(), " #")
			words := strings.Fields(line)
			if len(words) == 0 || strings.HasPrefix(words[0], "#") {
				continue
			}
			p.line = n
			p.step(words)
		}
		p.end()
	})
}

type play struct {
	t      *testing.T
	line   int
	start  time.Time
	codecs Codecs
	rooms  *mixer.Rooms
	room   *mixer.Room
	people map[string]*person
}

type person struct {
	name   string
	tone   *Tone
	card   *Card
	ear    *Ear
	p      *mixer.Participant
	sub    *mixer.Subscription
	gone   bool
	joined time.Time
}

func newPlay(t *testing.T) *play {
	p := &play{t: t, start: time.Now(), people: map[string]*person{}}
	var err error
	if p.rooms, err = mixer.NewRooms(mixer.Config{Codecs: &p.codecs}); err != nil {
		t.Fatal(err)
	}
	s := mixer.DefaultSettings()
	s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 320, 180, 10
	s.Renditions[0].Width, s.Renditions[0].Height, s.Renditions[0].FPS = 320, 180, 10
	s.Audio.Levelling = false // tones keep the level that they came with
	if p.room, err = p.rooms.Create("scenario", s); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *play) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("line %d: %s", p.line, fmt.Sprintf(format, args...))
}

func (p *play) step(words []string) {
	if words[0] == "set" {
		p.set(words[1:])
		return
	}
	if words[0] != "at" || len(words) < 3 {
		p.fatalf("want: at TIME VERB ...")
	}
	at, err := time.ParseDuration(words[1])
	if err != nil {
		p.fatalf("%v", err)
	}
	time.Sleep(time.Until(p.start.Add(at)))
	synctest.Wait()
	switch verb, rest := words[2], words[3:]; verb {
	case "join":
		p.join(rest, mixer.Both)
	case "view":
		p.join(append(rest, "silent", "nocamera"), mixer.Viewer)
	case "expect":
		p.expect(rest)
	case "layout":
		p.update(func(s *mixer.Settings) { s.Layout = layout.Layout{Name: rest[0]} })
	case "end":
	default:
		p.act(verb, p.who(rest[0]), rest[1:])
	}
}

func (p *play) set(words []string) {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			p.fatalf("%v", err)
		}
		p.update(func(s *mixer.Settings) {
			switch key {
			case "max_talkers":
				s.Audio.MaxTalkers = n
			default:
				p.fatalf("no setting %q", key)
			}
		})
	}
}

func (p *play) update(fn func(*mixer.Settings)) {
	err := p.room.Update(0, func(s mixer.Settings) (mixer.Settings, error) { fn(&s); return s, nil })
	if err != nil {
		p.fatalf("%v", err)
	}
}

func (p *play) who(name string) *person {
	if p.people[name] == nil {
		p.fatalf("nobody is called %q", name)
	}
	return p.people[name]
}

func (p *play) join(words []string, role mixer.Role) {
	who := &person{name: words[0], tone: &Tone{}, card: &Card{Colour: color.Gray{128}}, ear: &Ear{}, joined: time.Now()}
	cfg := mixer.JoinConfig{ID: words[0], Name: words[0], Role: role}
	camera, voice := true, true
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "tone":
			who.tone.Hz, _ = strconv.ParseFloat(value, 64)
		case "loud":
			who.tone.Amplitude, _ = strconv.ParseFloat(value, 64)
		case "colour":
			var c color.RGBA
			if _, err := fmt.Sscanf(value, "#%02x%02x%02x", &c.R, &c.G, &c.B); err != nil {
				p.fatalf("%v", err)
			}
			c.A = 255
			who.card.Colour = c
		case "nolevel":
			who.tone.Mute = true
		case "silent":
			voice = role != mixer.Viewer
		case "nocamera":
			camera = false
		default:
			p.fatalf("what is %q?", w)
		}
	}
	sub := mixer.SubscribeConfig{Sink: who.ear, Audio: true, Video: true}
	if role != mixer.Viewer {
		sub.Without = words[0]
	}
	if voice {
		cfg.Audio = who.tone
	}
	if camera {
		cfg.Video = who.card
	}
	p.rest()
	var err error
	if who.p, err = p.room.Join(cfg); err != nil {
		p.fatalf("%v", err)
	}
	who.p.Activate()
	if who.sub, err = p.room.Subscribe(sub); err != nil {
		p.fatalf("%v", err)
	}
	p.people[words[0]] = who
}

// rest lets the sound pause if nobody published until now.
func (p *play) rest() {
	for _, other := range p.people {
		if !other.gone && other.p.Info().HasAudio {
			return
		}
	}
	for _, other := range p.people {
		other.ear.Rest()
	}
}

func (p *play) act(verb string, who *person, rest []string) {
	yes, no := true, false
	patch := mixer.ParticipantPatch{}
	switch verb {
	case "mute":
		patch.AudioMuted = &yes
	case "unmute":
		patch.AudioMuted = &no
	case "dark":
		patch.VideoMuted = &yes
	case "light":
		patch.VideoMuted = &no
	case "gain":
		db, err := strconv.ParseFloat(rest[0], 64)
		if err != nil {
			p.fatalf("%v", err)
		}
		patch.GainDB = &db
	case "stall", "resume":
		who.tone.Stall(verb == "stall")
		who.card.Stall(verb == "stall")
		return
	case "leave":
		who.leave()
		return
	default:
		p.fatalf("what is %q?", verb)
	}
	if err := who.p.Update(0, patch); err != nil {
		p.fatalf("%v", err)
	}
}

func (w *person) leave() {
	w.p.Leave("left")
	w.tone.Gone()
	w.card.Gone()
	w.sub.Close()
	w.ear.Closed()
	w.gone = true
}

// Levels between which a tone is neither heard nor absent.
const (
	audible   = -45.0
	inaudible = -75.0
)

func (p *play) expect(words []string) {
	switch words[0] {
	case "speaker":
		if got := p.room.Stats().ActiveSpeaker; got != words[1] {
			p.fatalf("%q has the floor, want %q", got, words[1])
		}
		return
	case "talkers":
		p.talkers(words[1])
		return
	}
	who := p.who(words[0])
	switch words[1] {
	case "hears":
		for _, other := range slices.Sorted(maps.Keys(p.people)) {
			p.hears(who, p.people[other], slices.Contains(words[2:], other))
		}
	case "sees", "misses":
		p.sees(who, p.who(words[2]), words[1] == "sees")
	default:
		p.fatalf("what is %q?", words[1])
	}
}

func (p *play) hears(who, other *person, want bool) {
	if other.tone.Hz == 0 {
		return
	}
	level := who.ear.Tone(other.tone.Hz)
	if want && level < audible || !want && level > inaudible {
		p.fatalf("%s has %s at %.1f dBov", who.name, other.name, level)
	}
}

// talkers counts who was decoded in the last 100 ms.
func (p *play) talkers(want string) {
	before := map[string]int{}
	for name, who := range p.people {
		before[name] = who.tone.Reads()
	}
	time.Sleep(100 * time.Millisecond)
	got := 0
	for name, who := range p.people {
		if who.tone.Reads() > before[name] {
			got++
		}
	}
	if strconv.Itoa(got) != want {
		p.fatalf("%d are decoded, want %s", got, want)
	}
}

// sees looks at the middle of other's tile in the picture that who has.
func (p *play) sees(who, other *person, want bool) {
	packet := who.ear.Last()
	if packet == nil {
		p.fatalf("%s has no picture", who.name)
	}
	f := Picture(packet)
	found := false
	_, tiles := p.room.Layout()
	for _, t := range tiles {
		if t.Seat == other.name {
			at := t.Rect.Min.Add(t.Rect.Max).Div(2)
			found = distance(f.At(at.X, at.Y), other.card.Colour) < 12
		}
	}
	if found != want {
		p.fatalf("%s sees %s: %v, want %v", who.name, other.name, found, want)
	}
}

func distance(a, b color.Color) float64 {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	d := func(x, y uint32) float64 { return math.Abs(float64(x>>8) - float64(y>>8)) }
	return max(d(r1, r2), d(g1, g2), d(b1, b2))
}

// end checks what must be true of every scenario.
func (p *play) end() {
	for _, who := range p.people {
		for _, fault := range who.ear.Faults() {
			p.t.Errorf("%s: %s", who.name, fault)
		}
		if pause := who.ear.LongestPause(); pause > 1100*time.Millisecond {
			p.t.Errorf("%s: no picture for %v", who.name, pause)
		}
		if !who.gone {
			who.leave()
		}
	}
	p.room.Close("end")
	for _, who := range p.people {
		if who.tone.Touched() || who.card.Touched() {
			p.t.Errorf("%s: a loop came back after it had left", who.name)
		}
		if n := who.card.Live(); n != 0 {
			p.t.Errorf("%s: %d pictures are held still", who.name, n)
		}
	}
	if a, v := p.codecs.AudioOpen.Load(), p.codecs.VideoOpen.Load(); a != 0 || v != 0 {
		p.t.Errorf("%d audio and %d video encoders are open still", a, v)
	}
}
