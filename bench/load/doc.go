// Package load puts many WebRTC clients into a server from one small process.
//
// A client of pion costs 30 to 60 µs a packet, so that a few hundred of them
// would need more than the machine that is to be measured. A client of this package
// is a pion client as far as offer, answer, ICE and DTLS go: the server cannot
// tell the difference. Then it takes RTP off the socket before pion: one thread
// waits for the sockets of all clients and reads each in batches, one thread
// sends what is due. That leaves what the kernel takes for a datagram on
// loopback: about 10 µs for one that comes, 20 for one that goes.
//
// Each client has a UDP socket, hence an port, of its own. It
// authenticates and decrypts every packet, counts losses by sequence numbers
// (RFC 3550, appendix A.3) and delays by timestamps (RFC 5481, section 4.2),
// sends Opus packets with their levels (RFC 6464), and a report each second. It
// asks for nothing again and for no key frame, and decodes nothing.
//
// A client that follows its room ([Load.Follow]) is one that goes along when the
// room moves to another node and comes back when its node is lost, as the page's
// client does.
//
// It needs Linux (epoll, recvmmsg). All methods may be called from any
// goroutine.
package load
