package mixer_test

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/mixer"
	"tutti/mixer/layout"
	"tutti/mixer/mixertest"
)

// world is a registry with one room, small and at 10 fps.
type world struct {
	codecs mixertest.Codecs
	rooms  *mixer.Rooms
	room   *mixer.Room
	mu     sync.Mutex
	events []mixer.Event
}

func small() mixer.Settings {
	s := mixer.DefaultSettings()
	s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 320, 180, 10
	s.Renditions[0].Width, s.Renditions[0].Height, s.Renditions[0].FPS = 320, 180, 10
	s.Audio.Levelling = false // tones keep the level that they came with
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{}
	var err error
	w.rooms, err = mixer.NewRooms(mixer.Config{Codecs: &w.codecs, OnEvent: func(e mixer.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if w.room, err = w.rooms.Create("r", small()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) types() (list []mixer.EventType) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		list = append(list, e.Type)
	}
	return list
}

func (w *world) join(t testing.TB, id string, a mixer.AudioIn, v mixer.VideoIn) *mixer.Participant {
	t.Helper()
	p, err := w.room.Join(mixer.JoinConfig{ID: id, Role: mixer.Both, Audio: a, Video: v})
	if err != nil {
		t.Fatal(err)
	}
	p.Activate()
	return p
}

func (w *world) subscribe(t testing.TB, cfg mixer.SubscribeConfig) *mixer.Subscription {
	t.Helper()
	s, err := w.room.Subscribe(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A pure tone must leave the room as pure as it came in, for a minute: without
// a gap, a click or a repeated block.
func TestToneIsUnbroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 1000}, nil)
		w.join(t, "bob", &mixertest.Tone{}, nil)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "bob"})
		for range 6 {
			time.Sleep(10 * time.Second)
			sound := ear.Sound(9900 * time.Millisecond)
			if worst := mixertest.Clicks(sound, 1000); worst > 1e-5 {
				t.Fatalf("a click: the tone departs by %g", worst)
			}
			if level := mixertest.Goertzel(sound, 1000); math.Abs(level+15.05) > 0.2 {
				t.Fatalf("the tone has %.2f dBov, want -15.05", level)
			}
		}
		if packets, _ := ear.Counts(); packets < 2998 {
			t.Errorf("%d packets in a minute", packets)
		}
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
		w.room.Close("end")
	})
}

// A room that nobody is in has no goroutine, no encoder and no timer but the
// one that ends it.
func TestIdleRoomDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		sub := w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Audio: true, Video: true})
		time.Sleep(time.Second)
		if w.codecs.AudioOpen.Load() == 0 || w.codecs.VideoOpen.Load() == 0 {
			t.Fatal("nothing was encoded while somebody listened")
		}
		sub.Close()
		p.Leave("left")
		time.Sleep(time.Second)
		before := w.room.Stats()
		time.Sleep(time.Minute)
		if after := w.room.Stats(); after != before {
			t.Errorf("an idle room has worked: %+v, then %+v", before, after)
		}
		if a, v := w.codecs.AudioOpen.Load(), w.codecs.VideoOpen.Load(); a != 0 || v != 0 {
			t.Errorf("%d audio and %d video encoders are open in an idle room", a, v)
		}
		time.Sleep(5 * time.Minute)
		if _, err := w.rooms.Get("r"); !errors.Is(err, mixer.ErrRoomNotFound) {
			t.Errorf("after the empty timeout: %v", err)
		}
	})
}

func TestEmptyTimeoutWaitsForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		time.Sleep(299 * time.Second)
		p := w.join(t, "alice", nil, nil)
		time.Sleep(10 * time.Minute)
		p.Leave("left")
		time.Sleep(299 * time.Second)
		if _, err := w.rooms.Get("r"); err != nil {
			t.Fatalf("closed too early: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := w.rooms.Get("r"); err == nil {
			t.Error("open still")
		}
	})
}

func TestEventsTellTheStoryInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join(t, "alice", &mixertest.Tone{}, &mixertest.Card{Colour: color.White})
		yes := true
		if err := p.Update(0, mixer.ParticipantPatch{AudioMuted: &yes}); err != nil {
			t.Fatal(err)
		}
		if err := p.Update(0, mixer.ParticipantPatch{AudioMuted: &yes}); err != nil { // no change, no event
			t.Fatal(err)
		}
		half, err := w.room.Join(mixer.JoinConfig{ID: "half", Role: mixer.Both})
		if err != nil {
			t.Fatal(err)
		}
		half.Leave("never came") // without having been active: told to nobody
		p.Leave("left")
		w.room.Close("end")
		want := []mixer.EventType{
			mixer.RoomStarted, mixer.ParticipantJoined, mixer.TrackPublished, mixer.TrackPublished,
			mixer.ParticipantUpdated, mixer.TrackUnpublished, mixer.TrackUnpublished, mixer.ParticipantLeft, mixer.RoomFinished,
		}
		if got := w.types(); !slices.Equal(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	})
}

func TestSlowEncoderSkipsAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.codecs.Delay = 350 * time.Millisecond // for 10 fps
		w.join(t, "alice", &mixertest.Tone{Hz: 1000}, &mixertest.Card{Colour: color.White})
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Video: true})
		time.Sleep(10 * time.Second)
		s := w.room.Stats()
		if s.AudioBlocksLate+s.AudioBlocksSkipped > 0 {
			t.Errorf("the sound suffered: %+v", s)
		}
		if s.VideoFramesSkipped < 60 || s.VideoFrames < 95 {
			t.Errorf("want all frames composed and most of them skipped: %+v", s)
		}
		if last := ear.Last(); last == nil || w.room.CreatedAt().Add(last.PTS).Before(time.Now().Add(-900*time.Millisecond)) {
			t.Error("old pictures were queued")
		}
		w.room.Close("end")
	})
}

func TestKeyFrameRequestsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", nil, &mixertest.Card{Colour: color.White})
		var subs []*mixer.Subscription
		for range 50 {
			subs = append(subs, w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Video: true}))
		}
		time.Sleep(150 * time.Millisecond)
		if n := w.codecs.KeyFrames.Load(); n != 1 {
			t.Errorf("%d key frames for 50 who came together, want 1", n)
		}
		late := &mixertest.Ear{} // comes just after a key frame
		subs = append(subs, w.subscribe(t, mixer.SubscribeConfig{Sink: late, Video: true}))
		defer func() {
			if f := late.Faults(); len(f) > 0 {
				t.Error(f)
			}
		}()
		for range 20 { // everybody asks all the time for two seconds
			for _, s := range subs {
				s.RequestKeyFrame()
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.codecs.KeyFrames.Load(); n < 5 || n > 9 {
			t.Errorf("%d key frames in two seconds of requests, want one per 250 to 400 ms", n)
		}
		w.room.Close("end")
	})
}

// Whoever joins a still room sees it at once all the same.
func TestJoinerSeesAStillCanvasAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: first, Video: true})
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if _, pictures := first.Counts(); pictures < 10 || pictures > 13 {
			t.Errorf("%d pictures of a still canvas in ten seconds, want one a second", pictures)
		}
		second := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: second, Video: true})
		time.Sleep(150 * time.Millisecond)
		if last := second.Last(); last == nil || !last.KeyFrame {
			t.Errorf("no key frame within two frames of joining: %v", last)
		}
		w.room.Close("end")
	})
}

func TestSilentOnesShareOneEncoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Audio: true, Without: "alice"})
		for i := range 40 {
			id := fmt.Sprintf("p%d", i)
			w.join(t, id, &mixertest.Tone{}, nil)
			w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Audio: true, Without: id})
		}
		time.Sleep(time.Second)
		if n := w.codecs.AudioMade.Load(); n != 2 {
			t.Errorf("%d encoders, want one for alice and one for the 40 others", n)
		}
		s := w.room.Stats()
		if p, err := w.room.Participant("alice"); err != nil {
			t.Error(err)
		} else {
			p.Leave("left")
		}
		time.Sleep(100 * time.Millisecond)
		if n := w.codecs.AudioOpen.Load(); n != 1 {
			t.Errorf("%d encoders are open after alice has left, want 1", n)
		}
		if per := float64(s.AudioEncodes) / float64(s.AudioBlocks); per > 2.01 {
			t.Errorf("%.1f encodes a block, want 2", per)
		}
		w.room.Close("end")
	})
}

// Moving between the mixes must start from a packet that needs no past.
func TestSwitchOfMixIsIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		p := w.join(t, "bob", &mixertest.Tone{Hz: 660}, nil)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "bob"})
		time.Sleep(time.Second)
		yes, no := true, false
		for i := range 4 {
			before := w.codecs.Independent.Load()
			mute := &yes
			if i%2 == 1 {
				mute = &no
			}
			if err := p.Update(0, mixer.ParticipantPatch{AudioMuted: mute}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if n := w.codecs.Independent.Load() - before; n != 1 {
				t.Errorf("switch %d: %d independent packets, want 1", i, n)
			}
		}
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
		w.room.Close("end")
	})
}

func TestSettingsChangeWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		card := &mixertest.Card{Colour: color.White}
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, card)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Video: true})
		time.Sleep(time.Second)
		err := w.room.Update(0, func(s mixer.Settings) (mixer.Settings, error) {
			s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 640, 360, 20
			s.Renditions = []mixer.Rendition{{Name: "hd", Width: 640, Height: 360, FPS: 20, BitrateBPS: 500_000}}
			s.Audio.BitrateBPS = 64000
			return s, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if p := ear.Last(); p.Width != 640 || p.Height != 360 {
			t.Errorf("the picture is %dx%d", p.Width, p.Height)
		}
		if level := ear.Tone(440); level < -20 {
			t.Errorf("the tone is gone: %.1f dBov", level)
		}
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
		if wide, high := card.Size(); wide != 640 || high != 360 {
			t.Errorf("the camera is asked for %dx%d", wide, high)
		}
		w.room.Close("end")
		if a, v := w.codecs.AudioOpen.Load(), w.codecs.VideoOpen.Load(); a != 0 || v != 0 {
			t.Errorf("%d audio and %d video encoders are open still", a, v)
		}
	})
}

func TestRefusalsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		settings, version := w.room.Settings()
		bad := map[string]func(*mixer.Settings){
			"canvas.width":      func(s *mixer.Settings) { s.Canvas.Width = 161 },
			"canvas.fps":        func(s *mixer.Settings) { s.Canvas.FPS = 0 },
			"canvas.background": func(s *mixer.Settings) { s.Canvas.Background = "red" },
			"layout.name":       func(s *mixer.Settings) { s.Layout = layout.Layout{Name: "spiral"} },
			"audio.bitrate_bps": func(s *mixer.Settings) { s.Audio.BitrateBPS = 1 },
			"renditions":        func(s *mixer.Settings) { s.Renditions = nil },
			"renditions[0].bitrate_bps": func(s *mixer.Settings) {
				s.Renditions = []mixer.Rendition{{Name: "a", Width: 320, Height: 180, FPS: 10}}
			},
			"max_participants": func(s *mixer.Settings) { s.MaxParticipants = 0 },
		}
		for field, spoil := range bad {
			err := w.room.Update(0, func(s mixer.Settings) (mixer.Settings, error) { spoil(&s); return s, nil })
			var fe *mixer.FieldError
			if !errors.As(err, &fe) || fe.Field != field {
				t.Errorf("%s: got %v", field, err)
			}
		}
		if now, v := w.room.Settings(); v != version || now.Canvas != settings.Canvas {
			t.Error("a refusal has changed the settings")
		}
		if err := w.room.Update(version+1, func(s mixer.Settings) (mixer.Settings, error) { return s, nil }); !errors.Is(err, mixer.ErrVersion) {
			t.Errorf("another version: %v", err)
		}
		p := w.join(t, "alice", nil, nil)
		for _, gain := range []float64{-61, 21, math.NaN(), math.Inf(1)} {
			if err := p.Update(0, mixer.ParticipantPatch{GainDB: &gain}); err == nil {
				t.Errorf("a gain of %v was taken", gain)
			}
		}
		if _, err := w.room.Join(mixer.JoinConfig{ID: "alice"}); !errors.Is(err, mixer.ErrParticipantExists) {
			t.Errorf("the same again: %v", err)
		}
		if _, err := w.room.Join(mixer.JoinConfig{ID: "a b"}); err == nil {
			t.Error("a bad identifier was taken")
		}
		if _, err := w.room.Subscribe(mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Without: "nobody"}); !errors.Is(err, mixer.ErrParticipantNotFound) {
			t.Errorf("without nobody: %v", err)
		}
		if _, err := w.rooms.Create("r", small()); !errors.Is(err, mixer.ErrRoomExists) {
			t.Errorf("the room again: %v", err)
		}
		w.rooms.Drain(true)
		if _, err := w.rooms.Create("r2", small()); !errors.Is(err, mixer.ErrDraining) {
			t.Errorf("draining: %v", err)
		}
		w.room.Close("end")
		if _, err := w.room.Join(mixer.JoinConfig{ID: "bob"}); !errors.Is(err, mixer.ErrRoomClosed) {
			t.Errorf("a closed room: %v", err)
		}
	})
}

func TestFullRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.room.Update(0, func(s mixer.Settings) (mixer.Settings, error) { s.MaxParticipants = 2; return s, nil }); err != nil {
			t.Fatal(err)
		}
		a := w.join(t, "a", nil, nil)
		w.join(t, "b", nil, nil)
		if _, err := w.room.Join(mixer.JoinConfig{ID: "c"}); !errors.Is(err, mixer.ErrRoomFull) {
			t.Errorf("a third: %v", err)
		}
		a.Leave("left")
		w.join(t, "c", nil, nil)
		w.room.Close("end")
	})
}

func TestSnapshotOfARoomThatNobodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		card := &mixertest.Card{Colour: color.RGBA{0xc0, 0x30, 0x30, 255}}
		w.join(t, "alice", nil, card)
		f, err := w.room.Snapshot(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if c := f.At(160, 90); c.R < 0xb0 || c.G > 0x40 {
			t.Errorf("the middle is %v, want alice's red", c)
		}
		f.Release()
		time.Sleep(time.Second)
		if n := w.codecs.VideoMade.Load(); n != 0 {
			t.Errorf("%d encoders for a snapshot", n)
		}
		if wide, _ := card.Size(); wide != 0 {
			t.Error("the camera is decoded still")
		}
		w.room.Close("end")
	})
}

// Joining, leaving and changing as fast as the machine can, from many sides,
// must end with nothing left and nobody touched after it has left.
func TestChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Video: true, Continuous: true})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 40 {
					id := fmt.Sprintf("p%d-%d", i, n)
					tone, card := &mixertest.Tone{Hz: 440}, &mixertest.Card{Colour: color.White}
					p, err := w.room.Join(mixer.JoinConfig{ID: id, Role: mixer.Both, Audio: tone, Video: card})
					if err != nil {
						t.Error(err)
						return
					}
					p.Activate()
					own := &mixertest.Ear{}
					sub, err := w.room.Subscribe(mixer.SubscribeConfig{Sink: own, Audio: true, Video: true, Without: id})
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(n*7%90) * time.Millisecond)
					p.Leave("left")
					tone.Gone()
					card.Gone()
					sub.Close()
					own.Closed()
					time.Sleep(25 * time.Millisecond)
					if f := own.Faults(); len(f) > 0 {
						t.Error(f)
					}
					if tone.Touched() || card.Touched() || card.Live() > 4 {
						t.Errorf("%s: touched after it had left", id)
					}
				}
			})
		}
		wg.Wait()
		w.room.Close("end")
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
		if a, v := w.codecs.AudioOpen.Load(), w.codecs.VideoOpen.Load(); a != 0 || v != 0 {
			t.Errorf("%d audio and %d video encoders are open still", a, v)
		}
	})
}

// OnLeave may call Leave again, and the room's end is everybody's.
func TestCloseTellsEverybodyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reasons []string
		var p *mixer.Participant
		p, err := w.room.Join(mixer.JoinConfig{ID: "alice", Role: mixer.Both, OnLeave: func(reason string) {
			p.Leave("again")
			reasons = append(reasons, reason)
		}})
		if err != nil {
			t.Fatal(err)
		}
		p.Activate()
		w.rooms.Drain(true)
		if err := w.rooms.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(reasons, []string{"shutdown"}) {
			t.Errorf("told %v", reasons)
		}
		if got := w.types(); !slices.Contains(got, mixer.NodeDraining) || got[len(got)-1] != mixer.RoomFinished {
			t.Errorf("events %v", got)
		}
		select {
		case <-w.room.Done():
		default:
			t.Error("not done")
		}
	})
}

// Who has something to finish does so before the room's end is told, but cannot
// hold it up for ever.
func TestCloseWaitsForWhoFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct{ takes, want time.Duration }{
			"in time": {time.Second, time.Second}, "never": {time.Hour, 5 * time.Second},
		} {
			w := newWorld(t)
			told := make(chan []mixer.EventType, 1)
			ear := &mixertest.Ear{}
			w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Finish: func() {
				ear.Closed()
				told <- w.types()
				time.Sleep(c.takes)
			}})
			start := time.Now()
			w.room.Close("end")
			if took := time.Since(start); took != c.want {
				t.Errorf("%s: closing took %v, want %v", name, took, c.want)
			}
			if slices.Contains(<-told, mixer.RoomFinished) {
				t.Errorf("%s: the end was told before", name)
			}
			if f := ear.Faults(); len(f) > 0 {
				t.Errorf("%s: %v", name, f)
			}
		}
		time.Sleep(time.Hour)
	})
}
