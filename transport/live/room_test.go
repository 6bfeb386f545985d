package live

import (
	"bytes"
	"context"
	"strconv"
	"testing"
	"time"

	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

// TestRealRoom streams a mixer's room in which nobody is until it closes.
func TestRealRoom(t *testing.T) {
	s := mixer.DefaultSettings()
	s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 320, 180, 15
	s.Renditions[0] = mixer.Rendition{Name: "hd", Width: 320, Height: 180, FPS: 15, BitrateBPS: 300_000}
	rooms, err := mixer.NewRooms(mixer.Config{Codecs: webmtest.Codecs{}})
	if err != nil {
		t.Fatal(err)
	}
	room, err := rooms.Create("real", s)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(1500*time.Millisecond, func() { room.Close("test") }) // the room has a real clock
	var out bytes.Buffer
	if err := New(Config{}).Stream(context.Background(), room, &out, nil); err != nil {
		t.Fatal(err)
	}
	p := webmtest.Check(t, save(t, out.Bytes()), 320, 180, 0)
	for _, s := range p.Streams {
		// A canvas on which nothing happens is sent about once a second.
		least := map[string]int{"vp8": 1, "opus": 20}[s.Codec]
		if n, err := strconv.Atoi(s.Frames); err != nil || n < least {
			t.Errorf("%d packets of %s", n, s.Codec)
		}
	}
}
