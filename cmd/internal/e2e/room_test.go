package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestRoom is the main job: people of every kind in one room, with all doors
// and both browsers, recorded; one dies, the others leave.
func TestRoom(t *testing.T) {
	s := start(t)
	const room = "main"
	if _, err := s.call(http.MethodPut, "/v1/rooms/"+room, smallRoom); err != nil {
		t.Fatal(err)
	}
	plain := s.url("/types.js") // any text of the server is a page to work in
	firefoxPage := startFirefox(t, plain)

	var pages []*joined
	for _, who := range []identity{red, green, blue} {
		pages = append(pages, join(t, openChromium(t, plain), room, who))
	}
	viewer := s.enter(t, room, "whep", "Viewer")
	for i, j := range pages {
		others := without([]identity{red, green, blue}, i)
		j.receivesOneOfEach(t, 640, 360)
		j.sees(t, s, red, green, blue)
		hear(t, others, j.levels(t))
	}

	publisher := s.enter(t, room, "whip", yellow.name)
	publisher.send(t, yellow)
	ui := openChromium(t, s.url("/?room="+room+"&name="+pageUI.name+"&autojoin=1&original_sound=1"))
	everybody := []identity{red, green, blue, yellow, pageUI}
	if firefoxPage != nil {
		pages = append(pages, join(t, firefoxPage(), room, magenta))
		everybody = append(everybody, magenta)
	}
	recording := s.record(t, room)

	t.Run("a watcher gets everybody", func(t *testing.T) {
		until(t, patience, func() string { return ofTiles(t, s, room, everybody, viewer.colours) })
		hear(t, everybody, viewer.levels)
		if audio, video := viewer.Tracks(); audio != 1 || video != 1 {
			t.Errorf("%d tracks of sound, %d of pictures", audio, video)
		}
	})
	for _, j := range pages {
		t.Run(j.name+" gets the others", func(t *testing.T) {
			j.receivesOneOfEach(t, 640, 360)
			j.sees(t, s, everybody...)
			var others []identity
			for _, who := range everybody {
				if who != j.identity {
					others = append(others, who)
				}
			}
			hear(t, others, j.levels(t))
			if failures := eval[[]string](t, j.browserPage, "e2e.failures"); len(failures) > 0 {
				t.Error(failures)
			}
		})
	}
	t.Run("a publisher gets nothing", func(t *testing.T) {
		if audio, video := publisher.Tracks(); audio+video != 0 {
			t.Errorf("%d tracks of sound, %d of pictures", audio, video)
		}
	})

	recording.stop(t)
	t.Run("the recording is whole", func(t *testing.T) {
		file := recording.download(t)
		checkFile(t, file, 640, 360, recording.shortest, recording.longest)
		if missing, surplus := ofTones(everybody, soundOf(t, file)); missing+surplus != "" {
			t.Errorf("in the recording %s%s", missing, surplus)
		}
	})

	dead := pages[0]
	t.Run("the dead leave no tile", func(t *testing.T) { oneDies(t, s, dead, viewer, pages[1:], without(everybody, 0)) })

	for _, j := range pages[1:] {
		eval[any](t, j.browserPage, "e2e.room.leave()")
	}
	eval[any](t, ui, "tutti.room.leave()")
	for _, p := range []*person{publisher, viewer} {
		if err := p.leave(); err != nil {
			t.Error(err)
		}
	}
	if left := s.participants(t, room); len(left) > 0 {
		t.Errorf("after all have left there are %v", left)
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// smallRoom is a room whose pictures cost little.
var smallRoom = map[string]any{"canvas": map[string]any{"width": 640, "height": 360, "fps": 15}, "layout": map[string]any{"name": "grid"}}

func without(list []identity, i int) []identity {
	return append(append([]identity(nil), list[:i]...), list[i+1:]...)
}

// oneDies kills a page's process. Nobody's sound or picture may be disturbed,
// and the tile goes.
func oneDies(t *testing.T, s *server, dead *joined, viewer *person, others []*joined, rest []identity) {
	before, pictures := viewer.counts()
	faults := len(viewer.wrong(t, s))
	go func() { _, _ = chromedp.Call(dead.browserPage.(*tab).ctx, page.Crash, cdp.Empty{}) }() // nobody is left to answer
	until(t, patience, func() string {
		if _, ok := s.participants(t, dead.room)[dead.name]; ok {
			return dead.name + " is still listed"
		}
		return ofTiles(t, s, dead.room, rest, viewer.colours)
	})
	hear(t, rest, viewer.levels)
	for _, j := range others {
		j.sees(t, s, rest...)
	}
	after, picturesAfter := viewer.counts()
	if wrong := viewer.wrong(t, s); len(wrong) > faults {
		t.Errorf("a death disturbs others: %s", strings.Join(wrong, "\n"))
	}
	if after == before || picturesAfter == pictures {
		t.Error("a death ends the sound or the picture")
	}
	if pause := viewer.longestPause(); pause > 2*time.Second {
		t.Errorf("between two pictures there are %v", pause)
	}
	for _, event := range s.events(t, dead.room) {
		if event.Type == "participant_left" && event.Participant.ID == dead.id {
			if event.Reason == "" || event.Reason == "left" {
				t.Errorf("the reason of a death is %q", event.Reason)
			}
			return
		}
	}
	t.Error("nobody was told of the death")
}

// event is what the API tells happened, as far as tests ask.
type event struct {
	Type        string
	Reason      string
	Participant struct{ ID string }
}

// events answers what has happened in a room so far.
func (s *server) events(t *testing.T, room string) []event {
	t.Helper()
	return readEvents(t, s.url(fmt.Sprintf("/v1/rooms/%s/events?after=0", room)))
}
