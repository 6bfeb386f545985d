package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
)

// samples is where Debian's opencv-doc keeps natural moving pictures: a box and
// a cup before a webcam, a film, a street.
const samples = "/usr/share/doc/opencv-doc/"

var sources = []string{
	"opencv4/html/box.mp4.gz", "opencv4/html/cup.mp4.gz", "examples/data/Megamind.avi", "examples/data/vtest.avi",
}

// clipSeconds is the length of a clip, which is played in a loop.
const clipSeconds = 10

// makeClips answers four VP8 clips of 640x360@30 at 600 kbit/s, encoded as a
// camera's client does, made by ffmpeg and kept in the cache.
func makeClips(ctx context.Context, o options) ([]string, error) {
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return nil, err
	}
	var clips []string
	for i, source := range sources {
		clip := filepath.Join(o.cache, fmt.Sprintf("clip%d.ivf", i))
		clips = append(clips, clip)
		if _, err := os.Stat(clip); err == nil {
			continue
		}
		if err := makeClip(ctx, samples+source, clip); err != nil {
			return nil, fmt.Errorf("make %s from %s (package opencv-doc): %w", clip, source, err)
		}
	}
	return clips, nil
}

func makeClip(ctx context.Context, source, clip string) error {
	if strings.HasSuffix(source, ".gz") {
		plain := strings.TrimSuffix(clip, ".ivf") + ".mp4"
		if err := unzip(ctx, source, plain); err != nil {
			return err
		}
		defer os.Remove(plain)
		source = plain
	}
	part := clip + ".part"
	out, err := exec.CommandContext(ctx, "ffmpeg", "-y", "-v", "fatal", "-stream_loop", "-1", "-i", source,
		"-t", fmt.Sprint(clipSeconds), "-an", "-vf", "scale=640:360:force_original_aspect_ratio=increase,crop=640:360,fps=30",
		"-pix_fmt", "yuv420p", "-c:v", "libvpx", "-b:v", "600k", "-minrate", "600k", "-maxrate", "600k", "-bufsize", "600k",
		"-deadline", "realtime", "-cpu-used", "-6", "-lag-in-frames", "0", "-g", "9999", "-f", "ivf", part).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Rename(part, clip)
}

func unzip(ctx context.Context, from, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "gzip", "-dc", from)
	cmd.Stdout = f
	return errors.Join(cmd.Run(), f.Close())
}

// readClip answers the frames of an IVF file.
func readClip(name string) ([][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, _, err := ivfreader.NewWith(f)
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for {
		b, _, err := r.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, b)
	}
}
