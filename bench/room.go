package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
	"tutti/transport/transporttest"
)

// warmUp is how long a measurement waits for what only happens once: clients
// join, key frames, buffers grow.
const warmUp = 5 * time.Second

// The room that is measured.
const (
	people  = 4
	width   = 1280
	height  = 720
	fps     = 30
	bitrate = 1_500_000
)

func measureRoom(ctx context.Context, o options) error {
	clips, err := makeClips(ctx, o)
	if err != nil {
		return err
	}
	var floor, ffmpeg, besideFloor, besideFFmpeg, anon, rss, received series
	for range o.runs {
		f, t, err := pair(ctx, o, clips, codecFloor)
		if err != nil {
			return fmt.Errorf("beside the bare codecs: %w", err)
		}
		floor, besideFloor = append(floor, f), append(besideFloor, t.cpu)
		anon, rss, received = append(anon, t.anon), append(rss, t.rss), append(received, t.fps)
		if f, t, err = pair(ctx, o, clips, ffmpegRoom); err != nil {
			return fmt.Errorf("beside ffmpeg: %w", err)
		}
		ffmpeg, besideFFmpeg = append(ffmpeg, f), append(besideFFmpeg, t.cpu)
		anon, rss, received = append(anon, t.anon), append(rss, t.rss), append(received, t.fps)
	}
	fmt.Fprintf(o.out, "%d people send VP8 640x360@30 at 600 kbit/s and speech, all of them talking; each receives VP8 %dx%d@%d at %.1f Mbit/s and its mix.\n",
		people, width, height, fps, bitrate/1e6)
	fmt.Fprintf(o.out, "What is compared runs at the same time, in real time, so that the clients' load and whatever else the machine does meet both alike.\n\n")
	fmt.Fprintln(o.out, "| what | CPU s per second of media | tutti serve beside it, the whole process | ratio |\n|---|---|---|---|")
	fmt.Fprintf(o.out, "| bare codecs: 4 VP8 decodes, 1 VP8 encode, 4 Opus decodes, 4 Opus encodes | %s | %s | %s |\n",
		floor.show(3), besideFloor.show(3), ratio(besideFloor, floor).show(2))
	fmt.Fprintf(o.out, "| ffmpeg xstack + libvpx, pictures alone | %s | %s | %s |\n\n",
		ffmpeg.show(3), besideFFmpeg.show(3), ratio(besideFFmpeg, ffmpeg).show(2))
	fmt.Fprintf(o.out, "Memory of the room over the idle server: %s MiB; %s with the program's code that is read from its file when it first runs.\n", anon.show(1), rss.show(1))
	fmt.Fprintf(o.out, "Pictures a second at each client: %s.\n", received.show(1))
	return nil
}

// keptUp is the share of the pictures that must have been made: a run in which
// the machine had no time for all of them measures nothing.
const keptUp = 0.97

var errSlow = errors.New("the machine was too busy to keep up with 30 pictures a second; nothing is measured then")

// pair runs the room beside something else that does the same work.
func pair(ctx context.Context, o options, clips []string, other func(context.Context, []string, time.Duration) (float64, error)) (float64, outcome, error) {
	var both sync.WaitGroup
	var share float64
	var room outcome
	var errs [2]error
	both.Go(func() { share, errs[0] = other(ctx, clips, o.seconds) })
	both.Go(func() { room, errs[1] = tuttiRoom(ctx, o, clips) })
	both.Wait()
	if room.fps < keptUp*fps && errs[1] == nil {
		errs[1] = fmt.Errorf("%w: %.1f", errSlow, room.fps)
	}
	return share, room, errors.Join(errs[:]...)
}

// ownCPU answers the CPU time of this process, in which nothing else happens
// while the bare codecs are measured.
func ownCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// floorWork is the codecs that no mixer can do without. Only their calls are
// on the clock: what lies between them is not.
type floorWork struct {
	spent    time.Duration
	decoders []*vpx.Decoder
	encoder  *vpx.Encoder
	clips    [][][]byte
	canvas   *i420.Frame
	tile     *i420.Frame
	voices   [][][]byte
	opusIn   []*opus.Decoder
	opusOut  []*opus.Encoder
	block    pcm.Block
	scratch  []byte
}

func (w *floorWork) on(fn func() error) error {
	start := ownCPU()
	err := fn()
	w.spent += ownCPU() - start
	return err
}

func newFloorWork(clips []string) (*floorWork, error) {
	w := &floorWork{canvas: i420.New(width, height), tile: i420.New(width/2, height/2), scratch: make([]byte, 0, opus.MaxPacketBytes)}
	var err error
	if w.encoder, err = vpx.NewEncoder(vpx.EncoderConfig{Width: width, Height: height, FPS: fps, BitrateBPS: bitrate}); err != nil {
		return nil, err
	}
	for i, clip := range clips {
		frames, err := readClip(clip)
		if err != nil {
			return nil, err
		}
		d, err := vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: width, MaxHeight: height, MaxFrameBytes: 1 << 20})
		if err != nil {
			return nil, err
		}
		w.clips, w.decoders = append(w.clips, frames), append(w.decoders, d)
		if err := w.addVoice(i); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *floorWork) addVoice(i int) error {
	packets, err := talk(i)
	if err != nil {
		return err
	}
	var voice [][]byte
	for _, p := range packets {
		voice = append(voice, p.Opus)
	}
	in, err := opus.NewDecoder(1)
	if err != nil {
		return err
	}
	out, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000, Application: opus.Audio})
	if err != nil {
		return err
	}
	w.voices, w.opusIn, w.opusOut = append(w.voices, voice), append(w.opusIn, in), append(w.opusOut, out)
	return nil
}

// picture decodes a frame of each clip and encodes the canvas.
func (w *floorWork) picture(n int) error {
	for i, d := range w.decoders {
		frame := w.clips[i][n%len(w.clips[i])]
		if err := w.on(func() error { return d.Decode(frame) }); err != nil {
			return err
		}
		if err := d.Picture(w.tile, i420.Cover); err != nil {
			return err
		}
		w.canvas.Copy(i%2*width/2, i/2*height/2, w.tile)
	}
	return w.on(func() error {
		_, _, err := w.encoder.Encode(w.canvas, time.Duration(n)*time.Second/fps, n == 0)
		return err
	})
}

// sound decodes a packet of each voice and encodes as many mixes.
func (w *floorWork) sound(n int) error {
	return w.on(func() error {
		for i, d := range w.opusIn {
			if _, err := d.Decode(w.voices[i][n%len(w.voices[i])], w.block.Data()); err != nil {
				return err
			}
			if _, err := w.opusOut[i].Encode(w.scratch, &w.block, false); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *floorWork) close() {
	w.encoder.Close()
	for i := range w.decoders {
		w.decoders[i].Close()
		w.opusIn[i].Close()
		w.opusOut[i].Close()
	}
}

// codecFloor runs the bare codecs in a process of their own.
func codecFloor(ctx context.Context, clips []string, d time.Duration) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-floor", strings.Join(clips, ","), "-time", d.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// bareCodecs runs the bare codecs in real time, one call after the other, and
// answers what they alone have used.
func bareCodecs(ctx context.Context, clips []string, d time.Duration) (float64, error) {
	w, err := newFloorWork(clips)
	if err != nil {
		return 0, err
	}
	defer w.close()
	start := time.Now()
	warm := false
	for n, m := 0, 0; time.Since(start) < d+warmUp; {
		if !warm && time.Since(start) > warmUp {
			warm, w.spent = true, 0
		}
		picture, sound := time.Duration(n)*time.Second/fps, time.Duration(m)*pcm.Duration
		if err := sleep(ctx, time.Until(start.Add(min(picture, sound)))); err != nil {
			return 0, err
		}
		if picture <= sound {
			err, n = w.picture(n), n+1
		} else {
			err, m = w.sound(m), m+1
		}
		if err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	if took > d+warmUp+time.Second/fps {
		return 0, errSlow
	}
	return w.spent.Seconds() / (took - warmUp).Seconds(), nil
}

// ffmpegRoom lets ffmpeg do the pictures alone, in real time, at the settings
// of the codec package.
func ffmpegRoom(ctx context.Context, clips []string, d time.Duration) (float64, error) {
	args := []string{"-nostdin", "-v", "error"}
	for _, clip := range clips {
		args = append(args, "-re", "-threads", "1", "-stream_loop", "-1", "-i", clip)
	}
	length := strconv.FormatFloat((d + warmUp + 2*time.Second).Seconds(), 'f', 0, 64)
	args = append(args, "-filter_complex_threads", "1",
		"-filter_complex", "[0][1][2][3]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0,fps=30",
		"-t", length, "-c:v", "libvpx", "-threads", "1", "-b:v", strconv.Itoa(bitrate), "-minrate", strconv.Itoa(bitrate),
		"-maxrate", strconv.Itoa(bitrate), "-bufsize", strconv.Itoa(bitrate), "-deadline", "realtime", "-cpu-used", "-8",
		"-lag-in-frames", "0", "-static-thresh", "1", "-qmin", "2", "-qmax", "56",
		"-undershoot-pct", "100", "-overshoot-pct", "15", "-g", "9999", "-f", "null", "-")
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := sleep(ctx, warmUp); err != nil {
		return 0, err
	}
	before, err := used(cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := used(cmd.Process.Pid)
	return (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds(), err
}

// outcome is what one run of the room has shown.
type outcome struct {
	cpu       float64 // s per s
	anon, rss float64 // MiB over the idle server
	fps       float64 // pictures or packets a second at each client
}

func tuttiRoom(ctx context.Context, o options, clips []string) (outcome, error) {
	enter := func(s *server, i int) (*person, error) {
		frames, err := readClip(clips[i])
		if err != nil {
			return nil, err
		}
		voice, err := talk(i)
		if err != nil {
			return nil, err
		}
		p, err := join(ctx, s, "bench", fmt.Sprintf("participants?name=Person%d", i+1), both(), nil)
		if err != nil {
			return nil, err
		}
		p.send(voice, frames, time.Duration(i)*7*time.Millisecond)
		return p, nil
	}
	return peopled(ctx, o, len(clips), enter, func(c transporttest.Counts) uint64 { return c.Frames })
}

// peopled lets n people enter the room of a server that has nothing else to do,
// and measures it; count says which of what a client receives is counted.
func peopled(ctx context.Context, o options, n int, enter func(s *server, i int) (*person, error),
	count func(transporttest.Counts) uint64,
) (outcome, error) {
	s, err := startServer(ctx, o)
	if err != nil {
		return outcome{}, err
	}
	defer s.stop()
	if err := sleep(ctx, time.Second); err != nil {
		return outcome{}, err
	}
	idle, err := s.used()
	if err != nil {
		return outcome{}, err
	}
	if err := s.put(ctx, "bench", struct{}{}); err != nil {
		return outcome{}, err
	}
	var crew []*person
	for i := range n {
		p, err := enter(s, i)
		if err != nil {
			return outcome{}, err
		}
		defer p.leave()
		crew = append(crew, p)
	}
	if err := sleep(ctx, warmUp); err != nil {
		return outcome{}, err
	}
	before := counted(crew, count)
	share, err := s.over(ctx, o.seconds)
	if err != nil {
		return outcome{}, err
	}
	came := counted(crew, count) - before
	now, err := s.used()
	return outcome{
		cpu: share, anon: now.anon - idle.anon, rss: now.rss - idle.rss,
		fps: float64(came) / float64(n) / o.seconds.Seconds(),
	}, err
}

func counted(crew []*person, count func(transporttest.Counts) uint64) (n uint64) {
	for _, p := range crew {
		n += count(p.client.Counts())
	}
	return n
}
