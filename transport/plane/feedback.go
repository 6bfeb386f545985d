package plane

import (
	"time"

	"github.com/pion/rtcp"
)

// sentLogSize is how many packets a feedback may look back: several seconds of
// 1.5 Mbit/s. A power of two.
const sentLogSize = 1024

// Acknowledgement is what a client says of one packet that was sent to it
// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
type Acknowledgement struct {
	// Sent is when the packet was given to the socket; Size is that of its datagram,
	// in bytes.
	Sent time.Time
	Size int
	// Arrived tells a packet that came from one that has not. At is the time of its
	// arrival on the client's clock, whose beginning is unknown: only differences
	// count.
	Arrived bool
	At      time.Duration
}

// sentLog remembers when each transport-wide sequence number was sent. It
// belongs to the session's tx lock.
type sentLog struct {
	ring []sentEntry // nil until the first packet that is counted
	list []Acknowledgement
}

type sentEntry struct {
	seq  uint16
	size uint16
	at   time.Time
}

func (l *sentLog) add(seq uint16, at time.Time, size int) {
	if l.ring == nil {
		l.ring = make([]sentEntry, sentLogSize)
	}
	l.ring[seq&(sentLogSize-1)] = sentEntry{seq, uint16(size), at}
}

// resolve answers what a feedback says, in the order of sending; packets that
// are not remembered are left out. The answer is good until the next call.
func (l *sentLog) resolve(f *rtcp.TransportLayerCC) []Acknowledgement {
	l.list = l.list[:0]
	if l.ring == nil {
		return nil
	}
	// The reference time is 24 bits, signed, in units of 64 ms.
	at := time.Duration(int32(f.ReferenceTime<<8)>>8) * 64 * time.Millisecond
	seq, left, deltas := f.BaseSequenceNumber, int(f.PacketStatusCount), f.RecvDeltas
	status := func(symbol uint16) {
		if left == 0 {
			return
		}
		left--
		arrived := symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta
		if arrived {
			if len(deltas) == 0 {
				left = 0 // it promised more
				return
			}
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		if e := l.ring[seq&(sentLogSize-1)]; e.seq == seq && !e.at.IsZero() {
			l.list = append(l.list, Acknowledgement{Sent: e.at, Size: int(e.size), Arrived: arrived, At: at})
		}
		seq++
	}
	for _, chunk := range f.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				status(c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range c.SymbolList {
				status(symbol)
			}
		}
	}
	return l.list
}
