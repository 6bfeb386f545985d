package record

import (
	"context"
	"slices"
	"testing"
	"time"

	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

// small settings, so that the test costs little.
func settings() mixer.Settings {
	s := mixer.DefaultSettings()
	s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 320, 180, 15
	s.Renditions[0] = mixer.Rendition{Name: "hd", Width: 320, Height: 180, FPS: 15, BitrateBPS: 300_000}
	return s
}

// TestRealRoom records a mixer's room in which nobody is, through a change of
// its size, until it closes.
func TestRealRoom(t *testing.T) {
	var told events
	m := open(t, Config{OnEvent: told.add})
	rooms, err := mixer.NewRooms(mixer.Config{Codecs: webmtest.Codecs{}, OnEvent: func(e mixer.Event) {
		if e.Type == mixer.RoomFinished {
			told.add(e)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	room, err := rooms.Create("real", settings())
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	i, err := m.Start(context.Background(), room, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if i.StartedAt.Before(asked.Add(-100*time.Millisecond)) || i.StartedAt.After(time.Now()) {
		t.Errorf("started at %v, asked at %v", i.StartedAt, asked)
	}
	<-time.After(1500 * time.Millisecond) // the room has a real clock
	if err := room.Update(0, func(s mixer.Settings) (mixer.Settings, error) {
		s.Canvas.Width, s.Canvas.Height = 480, 270
		s.Renditions = []mixer.Rendition{{Name: "hd", Width: 480, Height: 270, FPS: 15, BitrateBPS: 300_000}}
		return s, nil
	}); err != nil {
		t.Fatal(err)
	}
	<-time.After(1500 * time.Millisecond)
	least := time.Since(i.StartedAt)
	room.Close("test")
	most := time.Since(i.StartedAt)
	i, _ = m.Get("real", i.ID) // complete when Close has returned
	if i.DurationS < least.Seconds()-0.2 || i.DurationS > most.Seconds()+0.2 {
		t.Errorf("%v s of %v to %v", i.DurationS, least, most)
	}
	if len(i.Files) != 2 || len(i.Gaps) != 0 {
		t.Fatalf("%+v", i)
	}
	for n, size := range [][2]int{{320, 180}, {480, 270}} {
		webmtest.Check(t, m.path(i, n), size[0], size[1], time.Duration(i.Files[n].DurationS*float64(time.Second)))
	}
	want := []string{"recording_started active", "recording_updated active", "recording_ended complete", "room_finished"}
	if got := told.words(); !slices.Equal(got, want) {
		t.Errorf("told %v", got)
	}
}

// TestRealRoomGoesOn moves a recording between mixers' rooms, planned: it plays
// on through both files, and the second follows the first by its times.
func TestRealRoomGoesOn(t *testing.T) {
	a, b := open(t, Config{Node: "a"}), open(t, Config{Node: "b"})
	made := func(id string) *mixer.Room {
		rooms, err := mixer.NewRooms(mixer.Config{Codecs: webmtest.Codecs{}})
		if err != nil {
			t.Fatal(err)
		}
		room, err := rooms.Create(id, settings())
		if err != nil {
			t.Fatal(err)
		}
		return room
	}
	old := made("real")
	i, err := a.Start(context.Background(), old, Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(1200 * time.Millisecond) // rooms have a real clock
	was := running(t, a, "real")
	room := made("real")
	if err := b.Continue(room, was, GapMoved); err != nil {
		t.Fatal(err)
	}
	<-time.After(300 * time.Millisecond)
	a.HandOver("real")
	old.Close("moved")
	<-time.After(1200 * time.Millisecond)
	room.Close("deleted")
	all := time.Since(i.StartedAt).Seconds()
	first, err := a.Get("real", i.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Get("real", i.ID)
	if err != nil || second.State != Complete || !second.StartedAt.Equal(i.StartedAt) {
		t.Fatalf("%+v, %v", second, err)
	}
	for m, part := range map[*Manager]Info{a: first, b: second} {
		if len(part.Files) != 1 {
			t.Fatalf("%+v", part)
		}
		webmtest.Check(t, m.path(part, 0), 320, 180, time.Duration(part.Files[0].DurationS*float64(time.Second)))
		webmtest.Decode(t, m.path(part, 0))
	}
	if len(second.Gaps) != 1 || second.Gaps[0].Reason != GapMoved || !near(second.Gaps[0].OffsetS, was.DurationS, 0.001) {
		t.Errorf("gaps %+v after %v s", second.Gaps, was.DurationS)
	}
	covered := second.Gaps[0].OffsetS + second.Gaps[0].DurationS + second.Files[0].DurationS
	if covered > all+0.1 || covered < all-1 {
		t.Errorf("%v s are accounted for, of %v", covered, all)
	}
}
