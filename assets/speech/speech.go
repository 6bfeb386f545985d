// Package speech holds the demo's voices: real speech as Opus packets of 20 ms,
// with the level of each packet and the sentences it consists of. The files
// beside it are made by generate.sh.
package speech

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pion/webrtc/v4/pkg/media/oggreader"

	"tutti/codec/opus"
	"tutti/codec/pcm"
)

//go:embed *.ogg
var files embed.FS

// Packet is 20 ms of one voice.
type Packet struct {
	// Opus is the encoded packet (RFC 6716), mono at 48 kHz; not to be changed.
	Opus []byte
	// LevelDBOV is how loud it is once decoded, -127 to 0 (RFC 6464).
	LevelDBOV float64
}

// Sentence is a run of packets that belong together: Packets[From:To].
type Sentence struct{ From, To int }

// Voice is somebody who speaks.
type Voice struct {
	// Name is such as 2-korean.
	Name      string
	Packets   []Packet
	Sentences []Sentence
}

// Names answers the voices that there are, in the order of their numbers.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".ogg"))
	}
	return names
}

// Load reads a voice and decodes it once for its levels: some tens of
// milliseconds of work.
func Load(name string) (*Voice, error) {
	b, err := files.ReadFile(name + ".ogg")
	if err != nil {
		return nil, fmt.Errorf("speech: no voice %q: %w", name, err)
	}
	packets, err := read(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("speech: read %s: %w", name, err)
	}
	v := &Voice{Name: name, Packets: packets, Sentences: sentences(packets)}
	if len(v.Sentences) == 0 {
		return nil, fmt.Errorf("speech: %s says nothing", name)
	}
	return v, nil
}

// read answers the packets of an Ogg file that has one packet a page
// (RFC 7845), as generate.sh makes them.
func read(r io.Reader) ([]Packet, error) {
	ogg, _, err := oggreader.NewWith(r)
	if err != nil {
		return nil, err
	}
	dec, err := opus.NewDecoder(1)
	if err != nil {
		return nil, err
	}
	var (
		packets []Packet
		block   pcm.Block
	)
	for {
		page, header, err := ogg.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return nil, err
		}
		if kind, ok := header.HeaderType(page); ok && kind == oggreader.HeaderOpusTags || len(page) == 0 {
			continue
		}
		n, err := dec.Decode(page, block.Data())
		if err != nil {
			return nil, fmt.Errorf("packet %d: %w", len(packets), err)
		}
		if n != pcm.Samples {
			return nil, fmt.Errorf("packet %d has %d samples, not %d", len(packets), n, pcm.Samples)
		}
		packets = append(packets, Packet{Opus: page, LevelDBOV: block.Level()})
	}
}

// What parts two sentences: at least pause packets in a row below quiet.
const (
	quiet = -55.0 // dBov
	pause = 22    // 440 ms, less than generate.sh puts between sentences
	lead  = 2     // packets kept before the first sound, for the decoder to settle
)

// sentences finds the runs of packets between the pauses.
func sentences(packets []Packet) []Sentence {
	var (
		found []Sentence
		start = -1
		last  int
	)
	for i, p := range packets {
		if p.LevelDBOV > quiet {
			if start < 0 {
				start = max(0, i-lead)
			}
			last = i
		}
		if start >= 0 && (i-last >= pause || i == len(packets)-1) {
			found = append(found, Sentence{start, min(last+lead+1, len(packets))})
			start = -1
		}
	}
	return found
}
