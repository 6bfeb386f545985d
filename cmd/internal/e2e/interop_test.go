package e2e

import (
	"image"
	"image/color"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tutti/codec/i420"
	"tutti/codec/vpx"
)

// guest is a client of somebody else's make, in a room with its own tone and
// its own picture.
type guest interface {
	// account answers what the client has sent and received since it joined.
	account(t *testing.T) account
	// levels and colours answer what it hears and sees, as hear and ofTiles ask.
	levels(t *testing.T) func(frequencies []float64) []float64
	colours(t *testing.T) func(points [][2]float64) []colour
	// leave ends the session.
	leave(t *testing.T)
}

// condition is what the link between the clients and the server does, and what is
// asked of them for it.
type condition struct {
	name  string
	loss  float64       // share of the packets, each way
	fps   float64       // pictures a second that the client sees, at least
	pause time.Duration // between two of them, at most
	begun float64       // key frames that the server makes for the client in a measurement, at most
	keys  int           // key frames that it asks the client for, at most
}

// The bounds are for a busy machine of two cores. With one packet in ten lost and
// none sent again, all clients see less than two pictures a second, and the server
// 11 to 16 and asks for 14 or more new beginnings.
var conditions = []condition{
	{name: "clean", loss: 0, fps: 20, pause: 2 * time.Second, begun: 2, keys: 2},
	{name: "2 % loss", loss: 0.02, fps: 18, pause: 2 * time.Second, begun: 8, keys: 5},
	{name: "10 % loss", loss: 0.10, fps: 12, pause: 4 * time.Second, begun: 20, keys: 10},
}

// The clients, each with a tone and a picture of its own.
var makes = []struct {
	identity
	make  string
	enter func(t *testing.T, v *venue, who identity) guest
}{
	{red, "Chromium", enterChromium},
	{magenta, "Firefox", enterFirefox},
	{green, "wrtc", enterWRTC},
	{blue, "webrtcbin", enterWebRTCBin},
}

// measured is how long each client is watched.
const measured = 10 * time.Second

// TestInterop lets clients of four makes send and receive over good and bad
// links, one after the other. Each hears and sees, by its own ears and eyes, the
// witness and nobody else, and is heard and seen by it; what it counts and what
// the server counts agrees with what the link does.
func TestInterop(t *testing.T) {
	v := openVenue(t)
	v.openRoom(t)
	witness := v.enter(t, interopRoom, "participants", yellow.name)
	witness.perform(t, yellow, movingFilm(t, yellow.colour), 2)
	for _, c := range conditions {
		t.Run(c.name, func(t *testing.T) {
			v.make(t, c)
			for _, m := range makes {
				t.Run(m.make, func(t *testing.T) {
					g := m.enter(t, v, m.identity)
					v.meet(t, witness, g, m.identity)
					v.measure(t, c, g, m.identity)
					g.leave(t)
					until(t, patience, func() string {
						return wrongIf(len(v.participants(t, interopRoom)) > 1, "%s is still there", m.name)
					})
				})
			}
		})
	}
}

// meet waits until the guest and the witness hear and see each other.
func (v *venue) meet(t *testing.T, witness *person, g guest, who identity) {
	t.Helper()
	begin := time.Now()
	until(t, patience, func() string {
		state := g.account(t).State
		return wrongIf(state != "connected", "%s is %q", who.name, state)
	})
	both := []identity{yellow, who}
	until(t, patience, func() string { return ofTiles(t, v.server, interopRoom, both, g.colours(t)) })
	until(t, patience, func() string { return ofTiles(t, v.server, interopRoom, both, witness.colours) })
	hear(t, []identity{yellow}, g.levels(t))
	hear(t, []identity{who}, witness.levels)
	t.Logf("%s and the witness know each other after %.1f s", who.name, time.Since(begin).Seconds())
}

// measure watches for a while what the guest and the server count.
func (v *venue) measure(t *testing.T, c condition, g guest, who identity) {
	t.Helper()
	look := func() sample {
		return sample{g.account(t), v.participants(t, interopRoom)[who.name], v.media(t), time.Now()}
	}
	first, rates, seconds := look(), []float64(nil), time.NewTicker(time.Second)
	defer seconds.Stop()
	for range measured / time.Second {
		<-seconds.C
		rates = append(rates, v.participants(t, interopRoom)[who.name].Video.FPS)
	}
	f := figuresOf(first, look())
	slices.Sort(rates)
	f.server.Video.FPS = rates[len(rates)/2]
	t.Logf("%s: %s", who.name, f)
	for _, wrong := range f.judge(c) {
		t.Error(wrong)
	}
}

// movingFilm answers a second of a picture at 25 a second, beginning with a key
// frame: flat in the middle, and below it a coloured bustle that costs several
// packets a picture.
func movingFilm(t *testing.T, c colour) [][]byte {
	t.Helper()
	encoder, err := vpx.NewEncoder(vpx.EncoderConfig{Width: 320, Height: 180, FPS: 25, BitrateBPS: 600000})
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	picture, luck := i420.New(320, 180), rand.New(rand.NewPCG(1, 2))
	var film [][]byte
	for n := range 25 {
		picture.Fill(color.RGBA{byte(c[0]), byte(c[1]), byte(c[2]), 255})
		for x := 0; x < 320; x += 8 {
			for y := 150; y < 180; y += 6 {
				picture.FillRect(image.Rect(x, y, x+8, y+6), color.Gray{byte(luck.IntN(256))})
			}
		}
		frame, _, err := encoder.Encode(picture, time.Duration(n)*40*time.Millisecond, n == 0)
		if err != nil {
			t.Fatal(err)
		}
		film = append(film, slices.Clone(frame))
	}
	return film
}
