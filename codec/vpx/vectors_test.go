package vpx

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tutti/codec/i420"
)

// vectors is where the WebM project's VP8 test vectors lie, beside the
// repository.
const vectors = "../../../shared/media/vp8-test-vectors"

// ivf answers the frames of an IVF file: a header of 32 bytes, whose length
// stands at 6, then each frame behind its length and 8 bytes of time.
func ivf(t testing.TB, path string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 32 || string(b[:4]) != "DKIF" {
		t.Fatalf("%s is no IVF file", path)
	}
	var frames [][]byte
	for b = b[binary.LittleEndian.Uint16(b[6:]):]; len(b) >= 12; {
		n := int(binary.LittleEndian.Uint32(b))
		if 12+n > len(b) {
			t.Fatalf("%s is cut short", path)
		}
		frames, b = append(frames, b[12:12+n:12+n]), b[12+n:]
	}
	return frames
}

// sums reads the md5 of every shown frame, one a line.
func sums(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		sum, _, _ := strings.Cut(s.Text(), " ")
		out = append(out, sum)
	}
	return out
}

// vectorFiles answers the test vectors, or skips where there are none.
func vectorFiles(t testing.TB) []string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(vectors, "*.ivf"))
	if len(files) == 0 {
		t.Skipf("no test vectors in %s: this was not tested", vectors)
	}
	return files
}

// sum answers the md5 of the part w x h of f, as the vectors' sums have it:
// rows without padding, chroma rounded up.
func sum(f *i420.Frame, w, h int) string {
	var b bytes.Buffer
	for y := range h {
		b.Write(f.Y[y*f.StrideY:][:w])
	}
	for _, p := range [][]byte{f.U, f.V} {
		for y := range (h + 1) / 2 {
			b.Write(p[y*f.StrideC:][:(w+1)/2])
		}
	}
	s := md5.Sum(b.Bytes())
	return hex.EncodeToString(s[:])
}

func TestVectors(t *testing.T) {
	for _, file := range vectorFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := sums(t, file+".md5")
			d := newDecoder(t, 2000, 2000)
			var pool i420.Pool
			n := 0
			for i, frame := range ivf(t, file) {
				if err := d.Decode(frame); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				w, h := d.Size()
				f := pool.Get(w, h)
				err := d.Picture(f, i420.Fit(i%3))
				if errors.Is(err, ErrNoPicture) {
					f.Release()
					continue
				}
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if n < len(want) && sum(f, w, h) != want[n] {
					t.Fatalf("frame %d of %dx%d differs", i, w, h)
				}
				n++
				f.Release()
			}
			if n != len(want) {
				t.Errorf("%d pictures, want %d", n, len(want))
			}
		})
	}
}
