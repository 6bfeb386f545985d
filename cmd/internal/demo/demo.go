// Package demo sends synthetic people into a room: each is a WebRTC client of
// its own with real Opus speech, its levels announced by RFC 6464, and real
// moving VP8 pictures with its name in them, and receives the room's mix as any
// client does.
//
// They take turns to speak by a script that is the same in every run. Speech
// and pictures are encoded before they are sent and shared where they can be,
// so that people cost mostly their packets. Who loses the server comes back by
// itself, and everybody goes along when the room moves to another node. Run ends when its context does, and everybody leaves properly.
package demo

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/api/guest"
	"tutti/assets/speech"
	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/mixer/overlay"
)

// MaxPeople is the most that one Run sends.
const MaxPeople = 200

// Config is who goes where.
type Config struct {
	// URL is the server's address, such as http://127.0.0.1:8080.
	URL string
	// Room is the room's identifier, Token the bearer token or nothing.
	Room, Token string
	// People is how many, 1 to MaxPeople.
	People int
	// Fonts are files for the names in the pictures, as in mixer.Config.
	Fonts []string
	// NewVideoEncoder makes the encoder that shoots the films.
	NewVideoEncoder func(mixer.VideoEncoderConfig) (mixer.VideoEncoder, error)
	// Log is told who has joined and what went wrong; nil for slog.Default().
	Log *slog.Logger
}

// names go with the voices: as many and in the same order, then others.
var names = []string{
	"Oliver Grant", "김서연", "王芳", "山田花子", "Jörg Müller", "Amélie Dubois", "Íñigo Núñez", "Dana Reed",
	"Priya Raman", "박지훈", "李伟", "佐藤健", "Zoë Ångström", "Łukasz Żak", "Ελένη Παππά", "Анна Соколова",
}

// name answers the name of person i, from 0; all differ.
func name(i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s %d", names[i%len(names)], i/len(names)+1)
}

// Run sends the people into the room until ctx ends, and answers nil then. A
// refusal that will not change by waiting, such as that of a token, ends it at
// once with an error.
func Run(ctx context.Context, cfg Config) error {
	if cfg.People < 1 || cfg.People > MaxPeople {
		return fmt.Errorf("demo: %d people are not 1 to %d", cfg.People, MaxPeople)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	c, err := newCast(cfg)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range cfg.People {
		if ctx.Err() != nil {
			break
		}
		p, err := c.person(i)
		if err != nil {
			cancel(err)
			break
		}
		all.Go(func() {
			if err := p.live(ctx); err != nil {
				cancel(fmt.Errorf("demo: %s: %w", p.name, err))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// cast is what the people of one run share.
type cast struct {
	cfg     Config
	api     *webrtc.API
	door    *guest.Door
	voices  []*speech.Voice // by person; equal ones are shared
	script  *script
	painter *overlay.Painter
	start   time.Time // of the script
}

func newCast(cfg Config) (*cast, error) {
	voices, err := voices(cfg.People)
	if err != nil {
		return nil, err
	}
	painter, err := overlay.New(overlay.Config{Fonts: cfg.Fonts})
	if err != nil {
		return nil, fmt.Errorf("demo: load the fonts: %w", err)
	}
	api, err := newAPI()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("demo: set up WebRTC: %w", err), painter.Close())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 4 // a stream of events takes one of its own
	return &cast{
		cfg:     cfg,
		api:     api,
		door:    &guest.Door{Client: &http.Client{Transport: transport}, Base: cfg.URL, Room: cfg.Room, Token: cfg.Token},
		voices:  voices,
		script:  newScript(voices),
		painter: painter,
		start:   time.Now(),
	}, nil
}

func (c *cast) close() {
	c.door.Client.CloseIdleConnections()
	if err := c.painter.Close(); err != nil {
		c.cfg.Log.Warn("the fonts did not close", "error", err)
	}
}

// voices answers a voice for each of so many people.
func voices(people int) ([]*speech.Voice, error) {
	files := speech.Names()
	list := make([]*speech.Voice, people)
	for i := range list {
		if i >= len(files) {
			list[i] = list[i-len(files)]
			continue
		}
		v, err := speech.Load(files[i])
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

// person makes person i, from 0, and shoots the film of its pictures: some
// hundred milliseconds of work.
func (c *cast) person(i int) (*person, error) {
	f, err := shoot(c.artist(i), c.cfg.NewVideoEncoder)
	if err != nil {
		return nil, fmt.Errorf("demo: %s: %w", name(i), err)
	}
	return &person{
		cast: c, index: i, name: name(i), film: f,
		log: c.cfg.Log.With("person", name(i)),
	}, nil
}

// artist answers who draws person i, with number and name in the picture.
func (c *cast) artist(i int) *artist {
	write := func(dst *i420.Frame, text string) {
		// A tile of 4:3 crops an eighth on either side.
		c.painter.Label(text, false, image.Pt(width*2, height*2)).Draw(dst, width/8+8, 16)
	}
	return newArtist(write, i+1, fmt.Sprintf("%d · %s", i+1, name(i)))
}
