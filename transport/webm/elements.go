package webm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/at-wat/ebml-go"
	matroska "github.com/at-wat/ebml-go/webm"
)

// Element identifiers as they stand in a file (RFC 9559, section 27.1).
const (
	idEBML        = 0x1A45DFA3
	idSegment     = 0x18538067
	idSeekHead    = 0x114D9B74
	idInfo        = 0x1549A966
	idTracks      = 0x1654AE6B
	idCluster     = 0x1F43B675
	idCues        = 0x1C53BB6B
	idVoid        = 0xEC
	idDuration    = 0x4489
	idTimestamp   = 0xE7
	idSimpleBlock = 0xA3
)

const (
	// reserved is the room in front for the SeekHead; with three entries it
	// takes at most 70 bytes.
	reserved = 112
	// durationBytes is a Duration element: identifier, size, 64 bit float.
	durationBytes = 11
	// codecDelay is libopus' look-ahead at 48 kHz, in samples.
	codecDelay  = 312
	seekPreRoll = 80 * time.Millisecond
	app         = "tutti"
)

// info is Segment\Info with a place kept for the duration.
type info struct {
	TimecodeScale uint64    `ebml:"TimecodeScale"`
	MuxingApp     string    `ebml:"MuxingApp"`
	WritingApp    string    `ebml:"WritingApp"`
	Void          []byte    `ebml:"Void,omitempty"`
	DateUTC       time.Time `ebml:"DateUTC,omitempty"`
}

// header builds all that stands before the first cluster.
func header(cfg Config, seekable bool) ([]byte, landmarks, error) {
	var out bytes.Buffer
	var m landmarks
	docType := cfg.DocType
	if docType == "" {
		docType = WebM
	}
	head := *matroska.DefaultEBMLHeader
	head.DocType = docType
	if err := ebml.Marshal(&struct {
		EBML matroska.EBMLHeader `ebml:"EBML"`
	}{head}, &out); err != nil {
		return nil, m, fmt.Errorf("webm: build header: %w", err)
	}
	out.Write(binary.BigEndian.AppendUint32(nil, idSegment))
	m.segmentSize = int64(out.Len())
	out.Write(unknownSize())
	m.segment = int64(out.Len())
	in := info{TimecodeScale: uint64(time.Millisecond), MuxingApp: app, WritingApp: app, DateUTC: cfg.Date}
	if seekable {
		m.reserve = int64(out.Len())
		out.Write(void(reserved))
		in.Void = make([]byte, durationBytes-2)
	}
	m.info = int64(out.Len())
	if err := ebml.Marshal(&struct {
		Info info `ebml:"Info"`
	}{in}, &out); err != nil {
		return nil, m, fmt.Errorf("webm: build info: %w", err)
	}
	if seekable {
		i := bytes.Index(out.Bytes()[m.info:], void(durationBytes))
		m.duration = m.info + int64(i)
	}
	m.tracks = int64(out.Len())
	if err := ebml.Marshal(&struct {
		Tracks matroska.Tracks `ebml:"Tracks"`
	}{tracks(cfg)}, &out); err != nil {
		return nil, m, fmt.Errorf("webm: build tracks: %w", err)
	}
	return out.Bytes(), m, nil
}

func tracks(cfg Config) matroska.Tracks {
	var t matroska.Tracks
	if cfg.Width > 0 {
		t.TrackEntry = append(t.TrackEntry, matroska.TrackEntry{
			TrackNumber: videoTrack, TrackUID: videoTrack, TrackType: 1, CodecID: "V_VP8",
			Video: &matroska.Video{PixelWidth: uint64(cfg.Width), PixelHeight: uint64(cfg.Height)},
		})
	}
	channels := max(1, min(cfg.Channels, 2))
	t.TrackEntry = append(t.TrackEntry, matroska.TrackEntry{
		TrackNumber: audioTrack, TrackUID: audioTrack, TrackType: 2, CodecID: "A_OPUS",
		CodecPrivate: opusHead(channels),
		CodecDelay:   codecDelay * uint64(time.Second) / 48000,
		SeekPreRoll:  uint64(seekPreRoll),
		Audio:        &matroska.Audio{SamplingFrequency: 48000, Channels: uint64(channels)},
	})
	return t
}

// opusHead is the identification header of RFC 7845, section 5.1, for mapping
// family 0.
func opusHead(channels int) []byte {
	h := append([]byte("OpusHead"), 1, byte(channels))
	h = binary.LittleEndian.AppendUint16(h, codecDelay)
	h = binary.LittleEndian.AppendUint32(h, 48000)
	return append(h, 0, 0, 0) // output gain, mapping family
}

func marshalCues(cues []cue) ([]byte, error) {
	if len(cues) == 0 {
		return nil, nil
	}
	points := make([]matroska.CuePoint, len(cues))
	for i, c := range cues {
		points[i] = matroska.CuePoint{
			CueTime: uint64(c.at.Milliseconds()),
			CueTrackPositions: []matroska.CueTrackPosition{
				{CueTrack: uint64(c.track), CueClusterPosition: uint64(c.position)},
			},
		}
	}
	var out bytes.Buffer
	if err := ebml.Marshal(&struct {
		Cues matroska.Cues `ebml:"Cues"`
	}{matroska.Cues{CuePoint: points}}, &out); err != nil {
		return nil, fmt.Errorf("webm: build cues: %w", err)
	}
	return out.Bytes(), nil
}

// seekHead fills the reserve exactly; cues is their position from the start
// of the segment's content, 0 for none.
func seekHead(m landmarks, cues int64) ([]byte, error) {
	entries := []matroska.Seek{
		{SeekID: ebml.ElementInfo.Bytes(), SeekPosition: uint64(m.info - m.segment)},
		{SeekID: ebml.ElementTracks.Bytes(), SeekPosition: uint64(m.tracks - m.segment)},
	}
	if cues > 0 {
		entries = append(entries, matroska.Seek{SeekID: ebml.ElementCues.Bytes(), SeekPosition: uint64(cues)})
	}
	var out bytes.Buffer
	if err := ebml.Marshal(&struct {
		SeekHead matroska.SeekHead `ebml:"SeekHead"`
	}{matroska.SeekHead{Seek: entries}}, &out); err != nil {
		return nil, fmt.Errorf("webm: build seek head: %w", err)
	}
	out.Write(void(reserved - out.Len()))
	return out.Bytes(), nil
}

func durationElement(d time.Duration) ([]byte, error) {
	var out bytes.Buffer
	err := ebml.Marshal(&struct {
		Duration float64 `ebml:"Duration"`
	}{float64(d) / float64(time.Millisecond)}, &out)
	if err == nil && out.Len() != durationBytes {
		err = fmt.Errorf("webm: a duration has %d bytes", out.Len())
	}
	return out.Bytes(), err
}

// void is an element of n bytes, 2 to 128, that means nothing.
func void(n int) []byte {
	b := make([]byte, n)
	b[0], b[1] = idVoid, 0x80|byte(n-2)
	return b
}

// unknownSize is an element size of 8 bytes that says nothing (RFC 8794,
// section 6.2).
func unknownSize() []byte { return []byte{0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF} }

// size8 is an element size in 8 bytes, which hold 56 bits.
func size8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, 1<<56|n) }
