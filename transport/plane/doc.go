// Package plane is the media plane: it carries RTP and RTCP between sockets and
// streams, under ICE and DTLS, which remain with pion.
//
// A packet takes one step: the goroutine that reads the socket decrypts it and
// hands it to the stream's taker, a jitter buffer for instance. What leaves is
// encrypted and sent by one goroutine per socket, in batches, for all sessions
// that have something to send.
//
//	socket ── STUN, DTLS ──> pion's mux (Socket.ReadFrom)
//	   │
//	   └── SRTP, SRTCP of a validated address ──> Session ──> Inbound.Take
//	                                                  │
//	Feeder ──> Writer ──> SRTP ──> sendmmsg           └──> reports, NACK, RTX
//
// What it promises:
//
//   - Datagrams are told apart by their first byte (RFC 7983). Nothing is taken
//     for media before the client's certificate matched its fingerprint, and from
//     an address that has passed no connectivity check only what is authentic.
//     Nothing but checks is sent to an address that ICE has not selected before
//     the client has answered one of ours there; ICE-lite trusts the client's.
//   - Everything that is encrypted with a session's keys leaves through the
//     session's one context. pion holds the same keys, so nothing may ever be
//     written through its tracks or its WriteRTCP: one SRTP index would be used
//     twice, which gives the plaintext away (RFC 3711, section 9.1).
//   - No packet is allocated for, in or out, and no queue is without a bound.
//   - A taker or feeder that panics ends its own session and no other.
//
// A Plane and a Session may be used from any goroutine. Takers are called one
// at a time per session, feeders one at a time per session; neither may call
// Session.Close, which waits for both.
//
// Standards: RTP and RTCP by RFC 3550, the profile AVPF by RFC 4585 and 5104,
// SRTP by RFC 3711 and 7714 with keys by RFC 5764, retransmission by RFC 4588,
// header extensions by RFC 8285, bundling by RFC 8843, rid by RFC 8852,
// transport-wide feedback by draft-holmer-rmcat-transport-wide-cc-extensions.
package plane
