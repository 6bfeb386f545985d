// Package webm turns what leaves a room into WebM (VP8 and Opus).
//
// The chain, each link usable by itself:
//
//	Queue     a mixer.Sink with a bound in bytes; never blocks, drops to the next key frame
//	Timeline  one clock for sound and picture: begins with a key frame, sorts by time, cuts out pauses
//	Writer    clusters of known size, each written in one piece, so that a file that was cut off
//	          plays up to its last cluster
//	Repair    completes such a file in place: cuts a torn tail off, adds cues, duration and size
//
// Queue may be written to from any goroutine and is read by one; Timeline and
// Writer belong to one goroutine and read no clock. Packets are immutable and
// are not copied until their cluster is built.
//
// The format is Matroska (RFC 9559) within the WebM guidelines; Opus is mapped
// as the Matroska codec specification says: CodecPrivate is OpusHead
// (RFC 7845, section 5.1), CodecDelay is the encoder's look-ahead, SeekPreRoll
// 80 ms.
package webm
