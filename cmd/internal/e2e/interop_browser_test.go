package e2e

import (
	_ "embed"
	"encoding/json"
	"testing"
)

//go:embed testdata/interop.js
var interopHarness string

// browserGuest is a guest that is a page in a browser.
type browserGuest struct{ *joined }

// enterPage lets a page, which shows any text of the server, join as a guest.
func (v *venue) enterPage(t *testing.T, p browserPage, who identity) guest {
	t.Helper()
	for _, script := range []string{harness, interopHarness} {
		if _, err := p.eval(script); err != nil {
			t.Fatal(err)
		}
	}
	_, fake := p.(*firefox)
	wish := map[string]any{
		"room": interopRoom, "name": who.name, "token": v.token, "colour": who.colour, "tone": who.tone, "fake": fake, "fps": 30,
	}
	id := eval[string](t, p, "e2e.join", wish)
	eval[any](t, p, "e2e.watch()")
	return browserGuest{&joined{who, p, interopRoom, id}}
}

func enterChromium(t *testing.T, v *venue, who identity) guest {
	t.Helper()
	return v.enterPage(t, v.chromium.open(t, v.url("/types.js"), v.options...), who)
}

func enterFirefox(t *testing.T, v *venue, who identity) guest {
	t.Helper()
	page := startFirefoxAt(t, v.outside, v.url("/types.js"))
	if page == nil {
		t.Skip("firefox-esr is not installed")
	}
	return v.enterPage(t, page(), who)
}

func (g browserGuest) account(t *testing.T) account {
	t.Helper()
	var a account
	a.uncounted()
	if err := json.Unmarshal(eval[json.RawMessage](t, g.browserPage, "e2e.account()"), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func (g browserGuest) leave(t *testing.T) {
	t.Helper()
	eval[any](t, g.browserPage, "e2e.room.leave()")
}
