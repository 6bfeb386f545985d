package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"

	"tutti/bench/link"
	"tutti/transport/transporttest"
	"tutti/transport/transporttest/badlink"
)

// The link to the listeners.
const (
	repairDelay = 20 * time.Millisecond // each way
	repairAdapt = 12 * time.Second      // libwebrtc reports every 2.5 to 7.5 s
)

// repairLosses are the shares that are lost on the way out.
var repairLosses = []float64{0, 0.05, 0.10, 0.20, 0.30}

// repairWays are the ways in which a listener can be helped: with all that it
// offers, and without redundancy.
var repairWays = []struct {
	name string
	env  []string
}{
	{"RED", nil},
	{"in-band FEC", []string{"WITHOUT=red"}},
}

// measureRepair has one person talk in a room, and libwebrtc listen behind a
// link that loses.
func measureRepair(ctx context.Context, o options) error {
	if err := hurry(-10); err != nil {
		return err
	}
	defer func() { _ = hurry(0) }() // what is measured afterwards is measured as ever
	l, err := link.New(link.Config{Seed: 1})
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := startBehind(ctx, o, l)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.talk(ctx); err != nil {
		return err
	}
	defer s.talker.Close()
	fmt.Fprintf(o.out, "Speech at 32 kbit/s to libwebrtc (@roamhq/wrtc) over a link of %v each way that loses packets at random on the way out;\n", repairDelay)
	fmt.Fprintf(o.out, "%v after the listener came, over %v. Concealed: what its NetEq had to invent.\n\n", repairAdapt, o.seconds)
	fmt.Fprintln(o.out, "| lost on the link, % | repair | concealed samples, % | decoded delay in the listener, ms | received, kbit/s |\n|---|---|---|---|---|")
	for _, way := range repairWays {
		for _, loss := range repairLosses {
			if err := l.Set(link.Down, badlink.Conditions{Delay: repairDelay, Loss: loss}); err != nil {
				return err
			}
			if err := l.Set(link.Up, badlink.Conditions{Delay: repairDelay}); err != nil {
				return err
			}
			var concealed, delay, rate series
			for range o.runs {
				h, err := s.listen(ctx, o, way.env)
				if err != nil {
					return err
				}
				concealed, delay, rate = append(concealed, 100*h.concealed()), append(delay, h.delay()), append(rate, h.rate(o.seconds))
			}
			fmt.Fprintf(o.out, "| %.0f | %s | %s | %s | %s |\n", 100*loss, way.name, concealed.show(2), delay.show(0), rate.show(0))
		}
	}
	return nil
}

// urgent is what programs are run by whose lateness would be heard as that of the
// network: everything here is to be on time, where the kernel lets it.
var urgent = []string{"nice", "-n", "-10"}

// hurry has this process, which carries the packets of the link, run at that nice
// value, before others, where the kernel lets it.
func hurry(nice int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads { // those to come are as the ones that make them
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, nice)
		}
	}
	return nil
}

// behind is a server at the far end of a link, where one person talks.
type behind struct {
	*process
	link   *link.Link
	url    string // from here and from the listeners' end alike, around the link
	token  string
	data   string
	talker *transporttest.Client
}

// startBehind runs a server on the link's far side.
func startBehind(ctx context.Context, o options, l *link.Link) (*behind, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	for _, side := range []link.Side{link.Outside, link.Client} {
		if _, err := l.Relay(side, address, link.Server, address); err != nil {
			return nil, err
		}
	}
	const key = "auth.key=that-of-the-measurement-of-repair"
	token, err := exec.CommandContext(ctx, o.binary, "token", "--room", "*", "--role", "admin", "--set", key).Output()
	if err != nil {
		return nil, fmt.Errorf("mint a token: %w", err)
	}
	data, err := os.MkdirTemp("", "tutti-bench-")
	if err != nil {
		return nil, err
	}
	b := &behind{link: l, url: "http://" + address, token: strings.TrimSpace(string(token)), data: data}
	args := append(slices.Clone(urgent), o.binary, "serve", "--http", address, "--udp", link.Server.IP4().String()+":7882", "--data", data,
		"--set", key, "--set", "rooms.auto_create=true")
	inside := l.Command(link.Server, args[0], args[1:]...)
	o.binary = inside.Path
	if b.process, err = startProcess(ctx, o, inside.Args[1:]...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	return b, nil
}

func (b *behind) stop() {
	b.process.stop()
	_ = os.RemoveAll(b.data)
}

// sideNet is the network as pion sees it on a side of a link.
type sideNet struct {
	*stdnet.Net
	link *link.Link
	side link.Side
}

// ListenUDP opens a socket on the side.
func (n sideNet) ListenUDP(network string, at *net.UDPAddr) (conn transport.UDPConn, err error) {
	err = n.link.Do(n.side, func() error {
		conn, err = net.ListenUDP(network, at)
		return err
	})
	return conn, err
}

// talk lets one person talk without a pause, on the server's own side.
func (b *behind) talk(ctx context.Context) error {
	voice, err := talk(0)
	if err != nil {
		return err
	}
	n := sideNet{link: b.link, side: link.Server}
	err = b.link.Do(n.side, func() (err error) {
		n.Net, err = stdnet.NewNet() // looks at the interfaces
		return err
	})
	if err != nil {
		return err
	}
	b.talker, err = transporttest.NewClient(transporttest.ClientConfig{Net: n, Audio: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	offer, err := b.talker.Offer(ctx)
	if err != nil {
		return err
	}
	answer, err := b.post(ctx, "/v1/rooms/bench/whip", offer)
	if err != nil {
		return err
	}
	if err := b.talker.Answer(answer); err != nil {
		return err
	}
	select {
	case <-b.talker.Connected():
	case <-time.After(10 * time.Second):
		return errors.New("not connected within ten seconds")
	}
	go every(ctx, 20*time.Millisecond, 0, func(n int) {
		v := voice[n%len(voice)]
		_ = b.talker.SendAudio(v.Opus, 960, int(v.LevelDBOV))
	})
	return nil
}

func (b *behind) post(ctx context.Context, path, offer string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/sdp")
	r.Header.Set("Authorization", "Bearer "+b.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusCreated {
		err = fmt.Errorf("POST %s: %s: %s", path, answer.Status, text)
	}
	return string(text), err
}

// heard is what a listener says of its sound (webrtc-stats, RTCInboundRtpStreamStats).
type heard struct {
	TotalSamplesReceived     float64 `json:"totalSamplesReceived"`
	ConcealedSamples         float64 `json:"concealedSamples"`
	JitterBufferDelay        float64 `json:"jitterBufferDelay"` // s
	JitterBufferEmittedCount float64 `json:"jitterBufferEmittedCount"`
	BytesReceived            float64 `json:"bytesReceived"`
}

func (h heard) minus(o heard) heard {
	return heard{
		h.TotalSamplesReceived - o.TotalSamplesReceived, h.ConcealedSamples - o.ConcealedSamples, h.JitterBufferDelay - o.JitterBufferDelay,
		h.JitterBufferEmittedCount - o.JitterBufferEmittedCount, h.BytesReceived - o.BytesReceived,
	}
}

func (h heard) concealed() float64 { return h.ConcealedSamples / h.TotalSamplesReceived }

func (h heard) delay() float64 { return 1000 * h.JitterBufferDelay / h.JitterBufferEmittedCount }

func (h heard) rate(over time.Duration) float64 { return 8 * h.BytesReceived / over.Seconds() / 1000 }

// listen answers what a listener heard once the server knew its loss.
func (b *behind) listen(ctx context.Context, o options, env []string) (heard, error) {
	modules, err := filepath.Abs(filepath.Join(".cache", "wrtc", "node_modules"))
	if err != nil {
		return heard{}, err
	}
	args := append(slices.Clone(urgent), "node", filepath.Join("bench", "testdata", "listener.js"), b.url+"/v1/rooms/bench/whep")
	cmd := b.link.Command(link.Client, args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), "TOKEN="+b.token, "NODE_PATH="+modules), env...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		return heard{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return heard{}, err
	}
	if err := cmd.Start(); err != nil {
		return heard{}, err
	}
	defer func() {
		in.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
	}()
	lines := bufio.NewScanner(out)
	ask := func(after time.Duration) (h heard, err error) {
		if err := sleep(ctx, after); err != nil {
			return h, err
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			return h, fmt.Errorf("the listener has ended: %w: %s", err, complaints.String())
		}
		if !lines.Scan() {
			return h, fmt.Errorf("the listener does not answer: %s", complaints.String())
		}
		return h, json.Unmarshal(lines.Bytes(), &h)
	}
	before, err := ask(repairAdapt)
	if err != nil {
		return heard{}, err
	}
	after, err := ask(o.seconds)
	if err == nil && after.TotalSamplesReceived == before.TotalSamplesReceived {
		err = errors.New("the listener hears nothing")
	}
	return after.minus(before), err
}
