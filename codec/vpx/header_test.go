package vpx

import (
	"encoding/binary"
	"errors"
	"testing"
)

// rawHeader makes the first bytes of a frame, as RFC 6386, section 9.1, has
// them; w and h carry the scale in their two upper bits.
func rawHeader(key bool, version int, show bool, first, w, h int) []byte {
	tag := version<<1 | first<<5
	if !key {
		tag |= 1
	}
	if show {
		tag |= 1 << 4
	}
	b := []byte{byte(tag), byte(tag >> 8), byte(tag >> 16)}
	if !key {
		return b
	}
	b = append(b, 0x9d, 0x01, 0x2a)
	b = binary.LittleEndian.AppendUint16(b, uint16(w))
	return binary.LittleEndian.AppendUint16(b, uint16(h))
}

func pad(b []byte, n int) []byte { return append(b, make([]byte, n)...) }

func TestInspect(t *testing.T) {
	badStart := pad(rawHeader(true, 0, true, 5, 64, 64), 5)
	badStart[4] = 2
	for _, c := range []struct {
		name  string
		frame []byte
		want  Header
		bad   bool
	}{
		{
			"key frame", pad(rawHeader(true, 0, true, 5, 640, 360), 5),
			Header{KeyFrame: true, Show: true, FirstPartition: 5, Width: 640, Height: 360},
			false,
		},
		{
			"key frame with scale and version", pad(rawHeader(true, 3, false, 4, 175|1<<14, 143|3<<14), 9),
			Header{KeyFrame: true, Version: 3, FirstPartition: 4, Width: 175, Height: 143, ScaleX: 1, ScaleY: 3},
			false,
		},
		{
			"largest size", pad(rawHeader(true, 0, true, 1, 16383, 16383), 1),
			Header{KeyFrame: true, Show: true, FirstPartition: 1, Width: 16383, Height: 16383},
			false,
		},
		{
			"long partition", pad(rawHeader(false, 1, true, 1<<19-1, 0, 0), 1<<19),
			Header{Version: 1, Show: true, FirstPartition: 1<<19 - 1},
			false,
		},
		{"delta frame", pad(rawHeader(false, 0, true, 7, 0, 0), 7), Header{Show: true, FirstPartition: 7}, false},
		{"hidden delta frame", pad(rawHeader(false, 0, false, 7, 0, 0), 7), Header{FirstPartition: 7}, false},
		{"nothing", nil, Header{}, true},
		{"half a tag", []byte{0x10, 0}, Header{}, true},
		{"half a key frame header", rawHeader(true, 0, true, 5, 640, 360)[:9], Header{}, true},
		{"wrong start code", badStart, Header{}, true},
		{"no width", pad(rawHeader(true, 0, true, 5, 0, 360), 5), Header{}, true},
		{"no height", pad(rawHeader(true, 0, true, 5, 640, 0|1<<14), 5), Header{}, true},
		{"reserved version", pad(rawHeader(true, 4, true, 5, 640, 360), 5), Header{}, true},
		{"partition beyond a key frame", pad(rawHeader(true, 0, true, 6, 640, 360), 5), Header{}, true},
		{"partition beyond a delta frame", pad(rawHeader(false, 0, true, 8, 0, 0), 7), Header{}, true},
		{"empty partition", pad(rawHeader(false, 0, true, 0, 0, 0), 7), Header{}, true},
	} {
		got, err := Inspect(c.frame)
		if errors.Is(err, ErrMalformed) != c.bad || err != nil && !c.bad || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(pad(rawHeader(true, 0, true, 5, 640, 360), 5))
	f.Add(pad(rawHeader(false, 3, false, 9, 0, 0), 30))
	f.Add(pad(rawHeader(true, 0, true, 20, 16383, 16383), 23))
	f.Add([]byte{0x10})
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := Inspect(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || h != (Header{}) {
				t.Fatalf("%+v with %v", h, err)
			}
			return
		}
		// What was read makes the same bytes again.
		raw := rawHeader(h.KeyFrame, h.Version, h.Show, h.FirstPartition, h.Width|h.ScaleX<<14, h.Height|h.ScaleY<<14)
		if string(raw) != string(frame[:len(raw)]) {
			t.Fatalf("%x read as %x", frame[:len(raw)], raw)
		}
		if h.FirstPartition < 1 || len(raw)+h.FirstPartition > len(frame) || h.KeyFrame != (h.Width > 0) {
			t.Fatalf("%d bytes read as %+v", len(frame), h)
		}
	})
}
