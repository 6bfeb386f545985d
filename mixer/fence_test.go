package mixer_test

import (
	"sync/atomic"
	"testing"
	"time"

	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// lingering is a source whose calls take their time, in real time: a bubble's
// clock stands still while somebody waits for a mutex, as who leaves does.
type lingering struct{ inside, left, touched atomic.Bool }

func (l *lingering) linger() {
	if l.left.Load() {
		l.touched.Store(true)
	}
	l.inside.Store(true)
	time.Sleep(8 * time.Millisecond)
	l.inside.Store(false)
}

func (l *lingering) Level(time.Time) (float64, bool)              { l.linger(); return -20, true }
func (l *lingering) Announces() bool                              { return true }
func (l *lingering) ReadAudio(time.Time, *pcm.Block) mixer.Origin { return mixer.Silence }
func (l *lingering) Skip(time.Time)                               {}
func (l *lingering) Configure(mixer.AudioInConfig)                {}
func (l *lingering) Notify(func())                                {}
func (l *lingering) Show(int, int, i420.Fit)                      {}
func (l *lingering) Latest(time.Time) *i420.Frame                 { l.linger(); return nil }
func (l *lingering) Info() mixer.VideoInfo                        { return mixer.VideoInfo{} }

func TestLeaveIsAFence(t *testing.T) {
	for _, kind := range []string{"sound", "picture"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Audio: true, Video: true, Continuous: true})
			for range 10 {
				l := &lingering{}
				cfg := mixer.JoinConfig{ID: "alice", Role: mixer.Both}
				if kind == "sound" {
					cfg.Audio = l
				} else {
					cfg.Video = l
				}
				p, err := w.room.Join(cfg)
				if err != nil {
					t.Fatal(err)
				}
				p.Activate()
				for !l.inside.Load() {
					time.Sleep(100 * time.Microsecond)
				}
				p.Leave("left")
				l.left.Store(true)
				if l.inside.Load() {
					t.Fatal("a loop is inside still when Leave has returned")
				}
				time.Sleep(2 * time.Millisecond)
				if l.touched.Load() {
					t.Fatal("a loop came back after Leave")
				}
			}
			w.room.Close("end")
		})
	}
}
