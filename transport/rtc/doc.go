// Package rtc carries participants over WebRTC: it answers an SDP offer,
// admits the participant to its room, hands the room what comes in as
// mixer.AudioIn and mixer.VideoIn, and sends what the room makes as exactly one
// Opus and one VP8 track.
//
// What it promises:
//
//   - An offer is checked as text before anything is built for it; one that is
//     refused leaves no goroutine, socket or seat behind.
//   - No call from a room's loops blocks: sound is pulled from a jitter buffer,
//     pictures come through a mailbox of the newest, and what leaves goes into a
//     bounded queue per peer that drops pictures until the next key frame.
//   - Whoever dies without a word is gone after DisconnectedTimeout plus
//     FailedTimeout without anything authentic from it; whoever never connects,
//     after JoinTimeout.
//   - A panic in one peer's goroutine ends that peer alone and is counted.
//   - Gateway.Close waits until every goroutine and socket is gone.
//
// Who may call from where: Gateway and Peer from any goroutine; the inputs of a
// participant only as package mixer says. pion negotiates and has ICE and DTLS;
// packets take package plane's way (media.go). Tests put pion's own path in its
// place, slow and obviously right.
//
// Standards: SDP offer/answer by RFC 9429, WHIP by RFC 9725, trickle ICE
// fragments by RFC 8840, Opus by RFC 7587, VP8 by RFC 7741, audio levels by
// RFC 6464.
package rtc
