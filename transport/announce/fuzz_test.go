package announce

import (
	"encoding/binary"
	"testing"
	"time"

	"tutti/codec/pcm"
)

// FuzzOpen opens any file and plays what can be played: as long as it says, never
// longer than the limit, and no sample that is no number. Pages get the checksum
// that they should have, which no fuzzer finds.
func FuzzOpen(f *testing.F) {
	for _, file := range samples(f) {
		f.Add(file[:min(len(file), 20000)])
	}
	packets := encode(f, 1, 3, 16000)
	f.Add(stream{head: opusHead(1, 312, 0), packets: packets, perPage: 1, end: 2000}.bytes())
	f.Add(stream{head: opusHead(1, 0, 0), packets: packets, perPage: 255, nilEnd: true, start: 5}.bytes())
	limits := Limits{Bytes: 1 << 20, Duration: 2 * time.Second}
	f.Fuzz(func(t *testing.T, data []byte) {
		mend(data)
		p, err := Open(data, limits)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		defer p.Close()
		blocks := 0
		var b pcm.Block
		for p.ReadAudio(&b) {
			blocks++
			for _, x := range b.Data() {
				if x != x || x > 1e6 || x < -1e6 {
					t.Fatalf("sample %v", x)
				}
			}
		}
		if samples := p.source.samples(); int64(blocks) != (samples+pcm.Samples-1)/pcm.Samples || blocks > 101 {
			t.Fatalf("%d blocks of %d samples", blocks, samples)
		}
	})
}

// mend writes the checksums of the pages that data begins with.
func mend(data []byte) {
	for len(data) >= pageHeader && string(data[:4]) == "OggS" {
		size := pageHeader + int(data[pageHeader-1])
		if size > len(data) {
			return
		}
		for _, n := range data[pageHeader:size] {
			size += int(n)
		}
		if size > len(data) {
			return
		}
		binary.LittleEndian.PutUint32(data[checksumAt:], checksum(data[:size]))
		data = data[size:]
	}
}
