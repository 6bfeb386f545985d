package announce

import (
	"errors"
	"math"
	"slices"
	"testing"

	"tutti/codec/pcm"
)

// TestPreSkipAndEnd holds what is played to the decoded packets, sample by
// sample: without the pre-skip in front, and without what lies beyond the last
// position (RFC 7845, sections 4.2 and 4.4), however the packets lie on pages.
func TestPreSkipAndEnd(t *testing.T) {
	const all, skip = 20 * pcm.Samples, 312
	for channels := 1; channels <= 2; channels++ {
		packets := encode(t, channels, 20, 256000)
		whole := decodeAll(t, channels, packets)
		for name, c := range map[string]struct {
			s    stream
			want []float32
		}{
			"one page":            {stream{perPage: 255}, whole[skip*channels:]},
			"packets over pages":  {stream{perPage: 2}, whole[skip*channels:]},
			"a segment a page":    {stream{perPage: 1}, whole[skip*channels:]},
			"cut at the end":      {stream{perPage: 7, end: all - 700}, whole[skip*channels : (all-700)*channels]},
			"cut over two blocks": {stream{perPage: 255, end: all - 1500}, whole[skip*channels : (all-1500)*channels]},
			"end by itself":       {stream{perPage: 7, end: all - 700, nilEnd: true}, whole[skip*channels : (all-700)*channels]},
			"end beyond":          {stream{perPage: 7, end: all + 700}, whole[skip*channels:]},
			"begun elsewhere":     {stream{perPage: 7, start: 1e6, end: 1e6 + all - 700}, whole[skip*channels : (all-700)*channels]},
		} {
			c.s.head, c.s.packets = opusHead(channels, skip, 0), packets
			p := open(t, c.s.bytes())
			got := play(p, channels)
			if n := int(p.source.samples()) * channels; n != len(c.want) || len(got) < n || !slices.Equal(got[:n], c.want) {
				t.Errorf("%s in %d channels: %d samples, want %d", name, channels, n, len(c.want))
			}
			if slices.ContainsFunc(got[len(c.want):], func(x float32) bool { return x != 0 }) {
				t.Errorf("%s: something sounds after the end", name)
			}
		}
	}
}

// TestGainOfTheHeader holds that it is applied (RFC 7845, section 5.1).
func TestGainOfTheHeader(t *testing.T) {
	packets := encode(t, 1, 10, 64000)
	plain := play(open(t, stream{head: opusHead(1, 0, 0), packets: packets, perPage: 255}.bytes()), 1)
	soft := play(open(t, stream{head: opusHead(1, 0, -6*256), packets: packets, perPage: 255}.bytes()), 1)
	for i := range plain {
		if want := plain[i] * pcm.Gain(-6); math.Abs(float64(soft[i]-want)) > 1e-6 {
			t.Fatalf("sample %d: %v, want %v", i, soft[i], want)
		}
	}
}

// TestDamagedPacketIsSilent plays a file with a packet that libopus refuses: the
// rest stays where it was.
func TestDamagedPacketIsSilent(t *testing.T) {
	packets := encode(t, 1, 10, 64000)
	packets[5] = append([]byte{packets[5][0] | 3, 0x41}, 255, 255, 255) // code 3, padded beyond its end
	p := open(t, stream{head: opusHead(1, 0, 0), packets: packets, perPage: 255}.bytes())
	got := play(p, 1)
	if len(got) != 10*pcm.Samples {
		t.Fatalf("%d samples", len(got))
	}
	if slices.ContainsFunc(got[5*pcm.Samples:6*pcm.Samples], func(x float32) bool { return x != 0 }) {
		t.Error("the damaged packet sounds")
	}
	if !slices.ContainsFunc(got[8*pcm.Samples:], func(x float32) bool { return x > 0.05 }) {
		t.Error("what comes after it does not")
	}
}

func TestBadOgg(t *testing.T) {
	packets := encode(t, 1, 5, 32000)
	file := func(change func(*stream)) []byte {
		s := stream{head: opusHead(1, 312, 0), packets: packets, perPage: 255}
		change(&s)
		return s.bytes()
	}
	good := file(func(*stream) {})
	damaged := slices.Clone(good)
	damaged[len(damaged)-3] ^= 1
	other := append(slices.Clone(good), oggPage(0, 0, 8, []byte{1}, []byte{0})...)
	noTags := append(oggPage(2, 0, 7, []byte{19}, opusHead(1, 312, 0)), oggPage(4, 960, 7, lacing(packets[0]), packets[0])...)
	head := func(change func([]byte)) []byte {
		return file(func(s *stream) { change(s.head) })
	}
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"cut within a page":    {good[:len(good)-1], ErrInvalid},
		"cut within a header":  {good[:60], ErrInvalid},
		"damaged":              {damaged, ErrInvalid},
		"two streams":          {other, ErrUnsupported},
		"no tags":              {noTags, ErrInvalid},
		"headers alone":        {file(func(s *stream) { s.packets = nil }), ErrInvalid},
		"nothing to be heard":  {file(func(s *stream) { s.end = 300 }), ErrInvalid},
		"all skipped":          {file(func(s *stream) { s.head = opusHead(1, 65535, 0) }), ErrInvalid},
		"no sound in a packet": {file(func(s *stream) { s.packets = [][]byte{{}} }), ErrInvalid},
		"a packet too long":    {file(func(s *stream) { s.packets = [][]byte{{3, 63}} }), ErrInvalid},
		"before the beginning": {file(func(s *stream) { s.start, s.perPage = -2000, 2 }), ErrInvalid},
		"begins in a packet":   {append(good[:47+44:47+44], oggPage(continued, 960, 7, lacing(packets[0]), packets[0])...), ErrInvalid},
		"packet without end":   {append(good[:47+44:47+44], oggPage(0, 960, 7, []byte{255}, make([]byte, 255))...), ErrInvalid},
		"no position":          {append(good[:47+44:47+44], oggPage(0, ^uint64(0), 7, lacing(packets[0]), packets[0])...), ErrInvalid},
		"Vorbis":               {head(func(b []byte) { copy(b, "\x01vorbis\x00") }), ErrUnsupported},
		"version 2.0":          {head(func(b []byte) { b[8] = 0x20 }), ErrUnsupported},
		"3 channels":           {head(func(b []byte) { b[9] = 3 }), ErrUnsupported},
		"no channels":          {head(func(b []byte) { b[9] = 0 }), ErrUnsupported},
		"mapping family":       {head(func(b []byte) { b[18] = 255 }), ErrInvalid},
	} {
		if _, err := Open(c.file, Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
