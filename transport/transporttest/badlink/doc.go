// Package badlink says what a bad link does to datagrams: a bottleneck with a
// bounded queue, loss, delay, jitter, reordering and duplication, and how these
// change over time.
//
// It has no clock, no goroutine and no socket. A Pipe is one direction of a
// link; it takes the time as an argument and says when each datagram leaves.
// What moves real packets (bench/link) and what moves those of a virtual network
// (transporttest.Network) use the same Pipe, so that a link is as bad in both.
//
// A datagram goes through these, in this order:
//
//	bottleneck   RateBPS, and a queue before it that is QueueBytes or QueueTime
//	             long; what does not fit is dropped. One that is longer than MTU
//	             vanishes here.
//	loss         Loss for each by itself, and Burst for losses in a row. What is
//	             lost has used the bottleneck.
//	delay        Delay and Jitter; in order, unless Scatter.
//	reordering   the share Reorder is held back by ReorderDelay, and overtaken.
//	duplication  the share Duplicate leaves twice.
//
// # Repeatable
//
// All luck comes from a seed. Whether the nth datagram is lost, held back or
// doubled depends on the seed, on n and on the shares alone: not on when it
// comes, and not on the other conditions. Jitter in order depends on the seed
// and the time since the pipe's start; scattered jitter on the seed and n.
//
// # Traces
//
// A Trace says at which time which conditions begin. In a file each line is a
// step; # begins a comment:
//
//	at 0s        delay=20ms loss=1%         # both directions
//	at 10s up    rate=300kbit/s queue=200ms # only from the client to the server
//	at 15s up    loss=0%                    # the rate stays
//	at 20s down  clear loss=5%              # from the server: nothing but 5 % loss
//	at 30s repeat                           # from here as at 0s
//
// Times are since the trace began and do not decrease. A step changes what it
// names and leaves the rest; clear, if it is there, comes first and sets all to
// nothing. What was in force before the trace began counts for nothing: the
// first step of a direction starts from a perfect link. Without a word "repeat"
// the last conditions stay.
//
//	delay=20ms           one way
//	jitter=30ms          up to that much more
//	scatter=yes          jitter changes the order (yes or no)
//	loss=2%              a share: 2% or 0.02
//	burst=1%,25%         Gilbert-Elliott: chances from good to bad and from bad to
//	                     good, and, if wanted, the loss in bad (1) and in good (0)
//	reorder=5%           held back
//	late=40ms            by how much (25 ms if not said)
//	duplicate=1%
//	rate=300kbit/s       also bit/s, Mbit/s, Gbit/s; 0bit/s: no bottleneck
//	queue=200ms          or 64kB (also B, MB), or both: 200ms,64kB (100ms if not said)
//	mtu=1280             longest packet in bytes; 0: any
package badlink
