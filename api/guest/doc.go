// Package guest is a client of one room over HTTP: it joins and leaves by a
// [Door], reads the room's events, and keeps its place when the room moves to
// another node or its node is lost ([Stay]).
//
// WebRTC is not in here. Whoever stays in a room makes the sessions, as
// [Session], and is told which of them is to be played. When to open, to play and
// to leave one is decided by a [Course], which takes the time as an argument. The
// page's client does the same by the same times.
package guest
