package vpx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tutti/codec/i420"
	"tutti/codec/yuv"
)

// peakKB answers the most memory that the process ever had resident.
func peakKB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: memory was not measured")
	}
	var kb int
	_, line, _ := strings.Cut(string(b), "VmHWM:")
	if _, err := fmt.Sscan(line, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}

func TestBombCostsNothing(t *testing.T) {
	d := newDecoder(t, 1920, 1080)
	bomb := pad(rawHeader(true, 0, true, 20, 16383, 16383), 23)
	if len(bomb) != 33 {
		t.Fatalf("%d bytes", len(bomb))
	}
	before := peakKB(t)
	for range 100 {
		if err := d.Decode(bomb); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("error %v", err)
		}
		if err := d.DecodeInto(bomb, i420.New(64, 64), i420.Cover); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("error %v", err)
		}
	}
	if grown := peakKB(t) - before; grown > 4096 {
		t.Errorf("%d kB for frames that were refused", grown)
	}
	if w, h := d.Size(); w != 0 || h != 0 {
		t.Errorf("size %dx%d of a frame that was refused", w, h)
	}
}

func TestLimits(t *testing.T) {
	d, err := NewDecoder(DecoderConfig{MaxWidth: 320, MaxHeight: 180, MaxFrameBytes: 30_000})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	landscape, portrait := stream(t, 320, 180, 2), stream(t, 180, 320, 1)
	for _, frame := range [][]byte{landscape[0], landscape[1], portrait[0]} {
		if err := d.Decode(frame); err != nil {
			t.Error(err)
		}
	}
	for _, size := range [][2]int{{322, 180}, {320, 182}, {320, 320}, {182, 320}} {
		if err := d.Decode(stream(t, size[0], size[1], 1)[0]); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: %v", size, err)
		}
	}
	if err := d.Decode(pad(bytes.Clone(landscape[1]), 30_000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long frame: %v", err)
	}
	// A frame that was refused leaves the decoder as it was.
	if w, h := d.Size(); w != 180 || h != 320 {
		t.Errorf("size %dx%d", w, h)
	}
	if err := d.Picture(i420.New(64, 64), i420.Cover); err != nil {
		t.Error(err)
	}
}

func TestConfigOutOfBounds(t *testing.T) {
	for _, c := range []DecoderConfig{
		{},
		{MaxWidth: 16384, MaxHeight: 1, MaxFrameBytes: 1},
		{MaxWidth: 1, MaxHeight: -1, MaxFrameBytes: 1},
		{MaxWidth: 1, MaxHeight: 1},
		{MaxWidth: 1, MaxHeight: 1, MaxFrameBytes: 1, Threads: 17},
	} {
		if _, err := NewDecoder(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestNeedsKeyFrame(t *testing.T) {
	d := newDecoder(t, 320, 180)
	frames := stream(t, 320, 180, 3)
	if err := d.Decode(frames[1]); !errors.Is(err, ErrNeedKeyFrame) {
		t.Errorf("delta frame first: %v", err)
	}
	if err := d.Picture(i420.New(320, 180), i420.Fill); !errors.Is(err, ErrNoPicture) {
		t.Errorf("picture first: %v", err)
	}
	for i, frame := range frames {
		if err := d.Decode(frame); err != nil {
			t.Errorf("frame %d: %v", i, err)
		}
	}
}

// TestDamage cuts a frame in the middle of its second partition, which no
// header shows: the library goes on over such damage as if nothing were.
func TestDamage(t *testing.T) {
	d := newDecoder(t, 320, 180)
	frames, dst := stream(t, 320, 180, 4), i420.New(320, 180)
	for _, n := range []int{0, 2} {
		for _, frame := range frames[:n] {
			if err := d.Decode(frame); err != nil {
				t.Fatal(err)
			}
		}
		h, err := Inspect(frames[n])
		if err != nil {
			t.Fatal(err)
		}
		head := len(frames[n]) - (len(frames[n])-h.FirstPartition)/2
		if err := d.DecodeInto(frames[n][:head], dst, i420.Fill); !errors.Is(err, ErrMalformed) {
			t.Errorf("frame %d cut to %d of %d bytes: %v", n, head, len(frames[n]), err)
		}
		if err := d.Decode(frames[n+1]); !errors.Is(err, ErrNeedKeyFrame) {
			t.Errorf("after damage: %v", err)
		}
		if err := d.Picture(dst, i420.Fill); !errors.Is(err, ErrNoPicture) {
			t.Errorf("picture after damage: %v", err)
		}
	}
	for i, frame := range frames {
		if err := d.Decode(frame); err != nil {
			t.Errorf("frame %d after damage: %v", i, err)
		}
	}
}

func TestHiddenFrame(t *testing.T) {
	d, dst := newDecoder(t, 320, 180), i420.New(320, 180)
	frames := stream(t, 320, 180, 3)
	frames[1][0] &^= 1 << 4 // show_frame
	if err := d.DecodeInto(frames[0], dst, i420.Fill); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(frames[1]); err != nil {
		t.Errorf("hidden frame: %v", err)
	}
	if err := d.Picture(dst, i420.Fill); !errors.Is(err, ErrNoPicture) {
		t.Errorf("picture of a hidden frame: %v", err)
	}
	frames[2][0] &^= 1 << 4
	if err := d.DecodeInto(frames[2], dst, i420.Fill); !errors.Is(err, ErrNoPicture) {
		t.Errorf("hidden frame decoded into a picture: %v", err)
	}
}

// TestPictureInAnySize decodes once and draws often: each drawing must equal,
// to the byte, the whole picture scaled by package yuv.
func TestPictureInAnySize(t *testing.T) {
	d := newDecoder(t, 320, 180)
	if err := d.Decode(stream(t, 320, 180, 1)[0]); err != nil {
		t.Fatal(err)
	}
	whole := i420.New(320, 180)
	if err := d.Picture(whole, i420.Cover); err != nil {
		t.Fatal(err)
	}
	for _, size := range [][2]int{{320, 180}, {160, 90}, {212, 120}, {100, 100}, {640, 360}, {60, 200}, {2, 2}} {
		for _, fit := range []i420.Fit{i420.Cover, i420.Contain, i420.Fill} {
			got, want := i420.New(size[0], size[1]), i420.New(size[0], size[1])
			if err := d.Picture(got, fit); err != nil {
				t.Fatal(err)
			}
			if err := yuv.Scale(want, whole, fit); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Y, want.Y) || !bytes.Equal(got.U, want.U) || !bytes.Equal(got.V, want.V) {
				t.Errorf("%v, fit %d: differs", size, fit)
			}
		}
	}
}

// TestOddSize turns the size in a key frame's header down by one: the picture
// is then cut to it (RFC 6386, section 9.1), and the even frame that it is
// drawn into repeats its last column and row.
func TestOddSize(t *testing.T) {
	const w, h = 320, 176 // whole macroblocks, and so they stay with one less
	frame := stream(t, w, h, 1)[0]
	d := newDecoder(t, w, h)
	whole, odd := i420.New(w, h), i420.New(w, h)
	if err := d.DecodeInto(frame, whole, i420.Fill); err != nil {
		t.Fatal(err)
	}
	copy(frame[6:], rawHeader(true, 0, true, 0, w-1, h-1)[6:])
	for _, fit := range []i420.Fit{i420.Cover, i420.Contain, i420.Fill} {
		odd.Fill(i420.RGB(255, 0, 0))
		if err := d.DecodeInto(frame, odd, fit); err != nil {
			t.Fatal(err)
		}
		for y := range h {
			for x := range w {
				if got, want := odd.Y[y*w+x], whole.Y[min(y, h-2)*w+min(x, w-2)]; got != want {
					t.Fatalf("fit %d: luma at %d,%d is %d, want %d", fit, x, y, got, want)
				}
			}
		}
		if !bytes.Equal(odd.U, whole.U) || !bytes.Equal(odd.V, whole.V) {
			t.Errorf("fit %d: chroma differs", fit)
		}
	}
	if w1, h1 := d.Size(); w1 != w-1 || h1 != h-1 {
		t.Errorf("size %dx%d", w1, h1)
	}
	tile := i420.New(100, 100)
	for _, fit := range []i420.Fit{i420.Cover, i420.Contain, i420.Fill} {
		if err := d.Picture(tile, fit); err != nil {
			t.Errorf("fit %d: %v", fit, err)
		}
	}
}

// TestSizeChangesOnTheFly sends key frames of ever other sizes, as a sender
// does that turns its phone or whose link gets better.
func TestSizeChangesOnTheFly(t *testing.T) {
	d, dst := newDecoder(t, 640, 640), i420.New(128, 72)
	for _, s := range [][2]int{{320, 180}, {640, 360}, {180, 320}, {64, 64}, {640, 640}, {16, 16}, {320, 180}} {
		for i, frame := range stream(t, s[0], s[1], 3) {
			if err := d.DecodeInto(frame, dst, i420.Cover); err != nil {
				t.Fatalf("%v, frame %d: %v", s, i, err)
			}
		}
		if w, h := d.Size(); w != s[0] || h != s[1] {
			t.Errorf("size %dx%d, want %v", w, h, s)
		}
	}
}

func TestDecodeRefusesFramesThatDoNotHold(t *testing.T) {
	d := newDecoder(t, 320, 180)
	frame := stream(t, 320, 180, 1)[0]
	if err := d.Decode(frame); err != nil {
		t.Fatal(err)
	}
	short := i420.New(64, 64)
	short.V = short.V[:len(short.V)-1]
	for _, dst := range []*i420.Frame{nil, {}, short} {
		if err := d.DecodeInto(frame, dst, i420.Fill); !errors.Is(err, ErrSize) {
			t.Errorf("decode: %v", err)
		}
		if err := d.Picture(dst, i420.Fill); !errors.Is(err, ErrSize) {
			t.Errorf("picture: %v", err)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d, dst := newDecoder(t, 320, 180), i420.New(160, 160)
	frames := stream(t, 320, 180, 60)
	n := 0
	if got := testing.AllocsPerRun(len(frames)-1, func() {
		if err := d.DecodeInto(frames[n], dst, i420.Contain); err != nil {
			t.Fatal(err)
		}
		if err := d.Picture(dst, i420.Cover); err != nil {
			t.Fatal(err)
		}
		n++
	}); got != 0 {
		t.Errorf("%v allocations a frame", got)
	}
}

func FuzzDecode(f *testing.F) {
	frames := stream(f, 64, 48, 4)
	for _, frame := range frames {
		f.Add(frame, false)
		f.Add(frame[:len(frame)/2], true)
	}
	f.Add(pad(rawHeader(true, 0, true, 20, 16383, 16383), 23), false)
	f.Add(pad(rawHeader(true, 2, true, 20, 255, 1), 23), true)
	f.Fuzz(func(t *testing.T, frame []byte, first bool) {
		d, err := NewDecoder(DecoderConfig{MaxWidth: 256, MaxHeight: 256, MaxFrameBytes: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		dst := i420.New(70, 50)
		if !first { // something to predict from
			if err := d.Decode(frames[0]); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			err := d.DecodeInto(frame, dst, i420.Contain)
			for _, known := range []error{nil, ErrMalformed, ErrTooLarge, ErrNeedKeyFrame, ErrNoPicture} {
				if errors.Is(err, known) {
					err = nil
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if w, h := d.Size(); w > 256 || h > 256 {
			t.Fatalf("size %dx%d", w, h)
		}
		if err := d.Decode(frames[0]); err != nil {
			t.Fatalf("a good key frame afterwards: %v", err)
		}
	})
}
