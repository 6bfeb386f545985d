package e2e

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/mixer/mixertest"
)

// process is a guest that is a program of its own: for each line on its standard
// input it answers a line of JSON, and it leaves at the end of it.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	ended chan struct{} // closed when it has ended, with err
	err   error
	errs  strings.Builder // what it complained of; whole when it has ended
	once  sync.Once
}

// testimony is what such a guest answers: its account, and what it hears and
// sees as it is.
type testimony struct {
	account
	Heard []byte `json:"heard"` // the last half second, mono, 16 bits a sample at 48 kHz, little endian
	Seen  []byte `json:"seen"`  // the newest picture, seenWidth by seenHeight, RGB
}

const seenWidth, seenHeight = 64, 36

// enterProcess starts a guest: a command that takes the room's door, the tone
// and the colour as its last arguments.
func (v *venue) enterProcess(t *testing.T, who identity, env []string, command ...string) *process {
	t.Helper()
	door := v.url("/v1/rooms/" + interopRoom + "/participants?name=" + url.QueryEscape(who.name))
	args := append(command[1:], door, fmt.Sprint(who.tone))
	for _, c := range who.colour {
		args = append(args, fmt.Sprint(c))
	}
	p := &process{cmd: v.outside.command(command[0], args...), lines: make(chan string), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "TOKEN="+v.token), env...)
	dieWithUs(p.cmd)
	p.cmd.Stderr = &p.errs
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() && p.errs.Len() > 0 {
			t.Logf("%s complained:\n%s", command[0], tail(p.errs.String(), 4000))
		}
	})
	return p
}

// read hands on what the guest answers until it has ended.
func (p *process) read(out io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.lines <- lines.Text()
	}
	p.err = p.cmd.Wait()
}

// ask asks the guest for all it has to tell.
func (p *process) ask(t *testing.T) testimony {
	t.Helper()
	answer, err := p.tryAsk()
	if err != nil {
		t.Fatalf("the guest: %v", err)
	}
	return answer
}

func (p *process) tryAsk() (testimony, error) {
	if _, err := p.in.Write([]byte("\n")); err != nil {
		return testimony{}, err
	}
	select {
	case line := <-p.lines:
		var answer testimony
		answer.uncounted()
		return answer, json.Unmarshal([]byte(line), &answer)
	case <-p.ended:
		return testimony{}, fmt.Errorf("it has ended: %w: %s", p.err, p.errs.String())
	case <-time.After(patience):
		return testimony{}, errors.New("it does not answer")
	}
}

func (p *process) account(t *testing.T) account {
	t.Helper()
	return p.ask(t).account
}

func (p *process) levels(t *testing.T) func([]float64) []float64 {
	return func(frequencies []float64) []float64 {
		t.Helper()
		heard := p.ask(t).Heard
		sound := make([]float32, len(heard)/2)
		for i := range sound {
			sound[i] = float32(int16(binary.LittleEndian.Uint16(heard[2*i:]))) / 32768
		}
		found := make([]float64, len(frequencies))
		for i, hz := range frequencies {
			found[i] = mixertest.Goertzel(sound, hz)
		}
		return found
	}
}

func (p *process) colours(t *testing.T) func([][2]float64) []colour {
	return func(points [][2]float64) []colour {
		t.Helper()
		seen := p.ask(t).Seen
		found := make([]colour, len(points))
		if len(seen) != seenWidth*seenHeight*3 {
			return found
		}
		for i, at := range points {
			pixel := int(at[1]*seenHeight)*seenWidth + int(at[0]*seenWidth)
			for k := range 3 {
				found[i][k] = float64(seen[3*pixel+k])
			}
		}
		return found
	}
}

// leave lets the guest end its session and itself.
func (p *process) leave(t *testing.T) {
	t.Helper()
	p.once.Do(func() { _ = p.in.Close() }) // it reads the end of it
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("the guest ended with %v: %s", p.err, p.errs.String())
		}
	case <-time.After(patience):
		t.Errorf("the guest does not leave")
	}
}

// enterWRTC lets Node.js enter with libwebrtc from npm's @roamhq/wrtc, which
// make test-packages installs.
func enterWRTC(t *testing.T, v *venue, who identity) guest {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node")
	}
	modules := absolute(t, "..", "..", "..", ".cache", "wrtc", "node_modules")
	if _, err := os.Stat(modules); err != nil {
		missing(t, "@roamhq/wrtc (see make test-packages)")
	}
	return v.enterProcess(t, who, []string{"NODE_PATH=" + modules}, node, absolute(t, "testdata", "wrtc", "client.js"))
}

// debianPython is the interpreter that Debian's modules are for.
const debianPython = "/usr/bin/python3"

// enterWebRTCBin lets GStreamer's webrtcbin enter.
func enterWebRTCBin(t *testing.T, v *venue, who identity) guest {
	t.Helper()
	const needs = `import gi; gi.require_version("GstWebRTC", "1.0"); from gi.repository import Gst; Gst.init(None)
for e in "webrtcbin nicesrc vp8enc opusenc rtpvp8pay".split(): assert Gst.ElementFactory.find(e), e`
	if out, err := exec.Command(debianPython, "-c", needs).CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("webrtcbin for Python (%s)", strings.TrimSpace(tail(string(out), 200))))
	}
	return v.enterProcess(t, who, nil, debianPython, absolute(t, "testdata", "webrtcbin.py"))
}
