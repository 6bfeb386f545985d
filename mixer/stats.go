package mixer

import "sync/atomic"

// Stats counts what a room did since it began.
type Stats struct {
	Participants, Subscribers int // now
	// AudioBlocks counts the ticks of the audio loop, AudioBlocksLate those that
	// began over 5 ms after they were due, AudioBlocksSkipped the blocks jumped
	// over because the loop was far behind.
	AudioBlocks, AudioBlocksLate, AudioBlocksSkipped uint64
	AudioEncodes, VideoEncodes                       uint64
	// VideoFrames counts the composed canvases that differ from the one before,
	// VideoFramesSkipped those that met a busy encoder.
	VideoFrames, VideoFramesSkipped uint64
	// Pictures counts those of cameras that came onto the canvas.
	Pictures     uint64
	KeyFrames    uint64
	EncodeErrors uint64
	// Blocks counts participants' blocks by origin.
	Blocks [Origins]uint64
	// ActiveSpeaker is the participant who has the floor, or empty.
	ActiveSpeaker string
}

// add adds the counters of o.
func (s *Stats) add(o Stats) {
	s.Participants += o.Participants
	s.Subscribers += o.Subscribers
	s.AudioBlocks += o.AudioBlocks
	s.AudioBlocksLate += o.AudioBlocksLate
	s.AudioBlocksSkipped += o.AudioBlocksSkipped
	s.AudioEncodes += o.AudioEncodes
	s.VideoEncodes += o.VideoEncodes
	s.VideoFrames += o.VideoFrames
	s.VideoFramesSkipped += o.VideoFramesSkipped
	s.Pictures += o.Pictures
	s.KeyFrames += o.KeyFrames
	s.EncodeErrors += o.EncodeErrors
	for i := range s.Blocks {
		s.Blocks[i] += o.Blocks[i]
	}
}

// counters are what the loops write and Stats reads.
type counters struct {
	audioBlocks, audioLate, audioSkipped atomic.Uint64
	audioEncodes, videoEncodes           atomic.Uint64
	videoFrames, videoSkipped            atomic.Uint64
	pictures, keyFrames, encodeErrors    atomic.Uint64
	blocks                               [Origins]atomic.Uint64
}

func (c *counters) stats() Stats {
	s := Stats{
		AudioBlocks:        c.audioBlocks.Load(),
		AudioBlocksLate:    c.audioLate.Load(),
		AudioBlocksSkipped: c.audioSkipped.Load(),
		AudioEncodes:       c.audioEncodes.Load(),
		VideoEncodes:       c.videoEncodes.Load(),
		VideoFrames:        c.videoFrames.Load(),
		VideoFramesSkipped: c.videoSkipped.Load(),
		Pictures:           c.pictures.Load(),
		KeyFrames:          c.keyFrames.Load(),
		EncodeErrors:       c.encodeErrors.Load(),
	}
	for i := range s.Blocks {
		s.Blocks[i] = c.blocks[i].Load()
	}
	return s
}
