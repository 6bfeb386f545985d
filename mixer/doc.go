// Package mixer turns the sound and pictures of many participants into one
// stream per room.
//
// A room has two clocks, the audio block (20 ms, hard) and the video frame
// (1/fps, soft), hence two loops, each the owner of all it touches. Between
// control and loops stands one immutable scene: control swaps a pointer, the
// loops read it at each tick, and no lock is held while media is touched.
//
// Sound is pulled: the audio loop asks each seat for the block that is due,
// and only then is it decoded or concealed, so that only who is heard is
// decoded. Pictures are pushed: each visible camera decodes at its own pace,
// straight to its tile's size, and the video loop takes the newest; it waits
// for nobody.
//
// Whatever leaves a room is an immutable codec.Packet, made once and given to
// every Sink. Without subscribers nothing is encoded, and a room that nobody
// is in costs no CPU at all.
//
// Threads: the methods of Rooms, Room, Participant and Subscription may be
// called from any goroutine, but not from within a Sink's Write, an AudioIn or
// a VideoIn (only RequestKeyFrame may). Leave and Close are fences: when they
// return, no loop touches what was given to Join or Subscribe.
package mixer
