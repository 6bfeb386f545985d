package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// TestWebPage uses the page as people do, in a room of synthetic ones.
func TestWebPage(t *testing.T) {
	s := start(t)
	const room, name = "demo", "Ada"
	demo(t, s, room, 4)
	p := openChromium(t, s.url("/?original_sound=1&room="+room))
	until(t, patience, func() string { return p.is(t, "!!document.querySelector('#self').srcObject?.active") })
	p.shoot(t, "lobby-wide", 1280, 800, false)
	p.shoot(t, "lobby-phone", 390, 844, true)

	wide := chromedp.EmulateViewport(1280, 800)
	p.do(t, wide, chromedp.SendKeys("#name", name))
	p.click(t, "#join")
	p.plays(t, 1280, 720)
	until(t, patience, func() string { return p.is(t, "document.querySelectorAll('#people-list li').length === 5") })
	until(t, patience, func() string { return p.is(t, "/Mbit|kbit/.test(document.querySelector('#facts-short').textContent)") })
	p.shoot(t, "room-wide", 1280, 800, false)
	p.shoot(t, "room-phone", 390, 844, true)
	p.shoot(t, "room-phone-across", 844, 390, true)
	p.do(t, wide)

	me := func() participant { return s.participants(t, room)[name] }
	t.Run("mute", func(t *testing.T) {
		for _, muted := range []bool{true, false} {
			p.click(t, "#key-mic")
			until(t, patience, func() string { return wrongIf(me().Audio.Muted != muted, "muted is %v", !muted) })
			until(t, patience, func() string {
				return p.is(t, fmt.Sprintf("document.querySelector('#key-mic').ariaPressed === '%v'", muted))
			})
		}
	})
	t.Run("camera", func(t *testing.T) {
		for _, muted := range []bool{true, false} {
			p.click(t, "#key-camera")
			until(t, patience, func() string { return wrongIf(me().Video.Muted != muted, "muted is %v", !muted) })
		}
	})
	t.Run("layout", func(t *testing.T) {
		p.click(t, "#key-layout")
		p.shoot(t, "layout-menu", 1280, 800, false)
		p.click(t, "[data-layout=speaker]")
		until(t, patience, func() string {
			l := ask[struct{ Name string }](t, s, http.MethodGet, "/v1/rooms/"+room+"/layout", nil)
			return wrongIf(l.Name != "speaker", "the layout is %s", l.Name)
		})
		until(t, patience, func() string {
			largest := 0.0
			for _, at := range s.tiles(t, room) {
				largest = max(largest, at.width*at.height)
			}
			return wrongIf(largest < 0.4, "the largest tile has %.2f of the picture", largest)
		})
		p.shoot(t, "room-speaker", 1280, 800, false)
	})
	t.Run("record", func(t *testing.T) { recordByPage(t, s, p, room) })
	t.Run("come back", func(t *testing.T) {
		before := eval[string](t, p, "tutti.room.participant")
		if code := s.terminate(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		until(t, patience, func() string { return p.is(t, "!document.querySelector('#banner').hidden") })
		p.shoot(t, "room-lost", 1280, 800, false)
		s.run()
		until(t, patience, func() string { return p.is(t, "tutti.room.state === 'connected'") })
		if after := eval[string](t, p, "tutti.room.participant"); after == before {
			t.Error("it is the old session")
		}
		p.plays(t, 1280, 720)
		until(t, patience, func() string { return p.is(t, "document.querySelector('#banner').hidden") })
		until(t, patience, func() string {
			n := len(s.participants(t, room))
			return wrongIf(n != 5, "there are %d people", n)
		})
	})
	t.Run("leave", func(t *testing.T) {
		p.click(t, "#key-leave")
		p.do(t, chromedp.WaitVisible("#lobby"))
		until(t, patience, func() string { return wrongIf(me().ID != "", "%s is still there", name) })
	})
}

// recordByPage starts and stops a recording by the keys and downloads it.
func recordByPage(t *testing.T, s *server, p *tab, room string) {
	folder := t.TempDir()
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	}); err != nil {
		t.Fatal(err)
	}
	newest := func() recordingResource {
		l := ask[struct{ Recordings []recordingResource }](t, s, http.MethodGet, "/v1/rooms/"+room+"/recordings", nil)
		if len(l.Recordings) == 0 {
			return recordingResource{}
		}
		return l.Recordings[0]
	}
	p.click(t, "#key-record")
	p.do(t, chromedp.WaitVisible("#rec-badge"))
	until(t, patience, func() string {
		r := newest()
		return wrongIf(r.State != "active" || r.Duration < 2, "the recording is %s, %.1f s long", r.State, r.Duration)
	})
	p.shoot(t, "room-recording", 1280, 800, false)
	p.click(t, "#key-record")
	until(t, patience, func() string { r := newest(); return wrongIf(r.State != "complete", "the recording is %s", r.State) })
	p.do(t, chromedp.WaitVisible("#recordings-list button"))
	p.shoot(t, "room-recorded", 1280, 800, false)
	p.click(t, "#recordings-list button")
	var file string
	until(t, patience, func() string {
		found, err := filepath.Glob(filepath.Join(folder, "*.webm"))
		if err != nil || len(found) == 0 {
			return "nothing is downloaded yet"
		}
		file = found[0]
		info, err := os.Stat(file)
		return wrongIf(err != nil || info.Size() != newest().Bytes, "the download is not whole")
	})
	length := time.Duration(newest().Duration * float64(time.Second))
	checkFile(t, file, 1280, 720, length, length)
}

// demo runs tutti demo until the test ends.
func demo(t *testing.T, s *server, room string, people int) {
	t.Helper()
	cmd := exec.Command(program, "demo", "--url", s.url(""), "--room", room, "--people", fmt.Sprint(people))
	cmd.Dir = t.TempDir()
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("tutti demo: %v", err)
		}
	})
}

func wrongIf(wrong bool, format string, args ...any) string {
	if wrong {
		return fmt.Sprintf(format, args...)
	}
	return ""
}

// is answers what is wrong unless a condition holds in the page.
func (p *tab) is(t *testing.T, condition string) string {
	t.Helper()
	return wrongIf(!eval[bool](t, p, condition), "not %s", condition)
}

// click clicks where an element is once it stands still.
func (p *tab) click(t *testing.T, selector string) {
	t.Helper()
	p.do(t, chromedp.WaitVisible(selector))
	eval[any](t, p, `Promise.allSettled(document.getAnimations()
		.filter((a) => a.effect.getComputedTiming().iterations !== Infinity).map((a) => a.finished)).then(() => null)`)
	p.do(t, chromedp.Click(selector))
}

// plays waits until the page shows a moving picture of that size.
func (p *tab) plays(t *testing.T, width, height int) {
	t.Helper()
	frames := -1
	until(t, patience, func() string {
		got := eval[struct{ Width, Height, Frames int }](t, p, `(() => {
			const mix = document.querySelector('#mix');
			return { width: mix.videoWidth, height: mix.videoHeight, frames: mix.getVideoPlaybackQuality().totalVideoFrames };
		})()`)
		moved := frames >= 0 && got.Frames > frames
		frames = got.Frames
		return wrongIf(!moved || got.Width != width || got.Height != height, "the picture is %+v", got)
	})
}

// shoot leaves a screenshot in the folder that E2E_KEEP names.
func (p *tab) shoot(t *testing.T, name string, width, height int64, phone bool) {
	t.Helper()
	folder := os.Getenv("E2E_KEEP")
	if folder == "" {
		return
	}
	view := []chromedp.EmulateViewportOption{}
	if phone {
		view = append(view, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	p.do(t, chromedp.EmulateViewport(width, height, view...))
	eval[any](t, p, "new Promise((wake) => { requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(wake, 300))); })")
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
