package plane

import (
	"time"

	"github.com/pion/rtcp"
)

// flush sends what the session has, in the turn of a sender: what was asked for
// again, what the feeder has, reports.
func (s *Session) flush(w *Writer) (again time.Duration) {
	s.queued.Store(false)
	defer s.guard()
	s.txMu.Lock()
	defer s.txMu.Unlock()
	r := s.path.Load()
	if s.tx == nil || s.broken.Load() || r == nil {
		return 0
	}
	if out := r.out(); out != w.sender { // the client has moved meanwhile
		s.Ready()
		return 0
	}
	w.session, w.to = s, r.to
	s.post.collect(w.now, &s.mail, s.ssrc)
	for _, n := range s.mail.nacks {
		s.wanted(n)
	}
	for _, f := range s.mail.feedback {
		s.cfg.Events.Acknowledged(s.sentLog.resolve(f))
	}
	for _, out := range s.out {
		s.resend(w, out)
	}
	if s.cfg.Feeder != nil {
		again = s.cfg.Feeder.Feed(w)
	}
	s.sendReports(w)
	s.mail.reset()
	return again
}

// wanted takes a client's request.
func (s *Session) wanted(n *rtcp.TransportLayerNack) {
	for _, out := range s.out {
		if out.SSRC == n.MediaSSRC {
			out.want(n.Nacks)
		}
	}
}

// resend sends the packets again that the client asked for (RFC 4588, section
// 4): in a stream of their own where that was agreed on, as they were
// otherwise, with the same index and hence the same bytes.
func (s *Session) resend(w *Writer, out *outStream) {
	if len(out.wanted) == 0 {
		return
	}
	roundTrip := time.Duration(s.roundTrip.Load())
	for _, seq := range out.wanted {
		p := out.again(w.now, seq, roundTrip)
		if p == nil {
			s.plane.counts.refusal.Add(1)
			continue
		}
		s.plane.counts.resent.Add(1)
		b := w.slot()
		if out.RTXPT == 0 {
			n := out.header(b, p.pt, out.SSRC, p.seq, p)
			n += copy(b[n:], p.payload)
			s.encrypt(w, b, n)
			continue
		}
		copied := *p
		copied.transport = s.nextTransport(out)
		n := out.header(b, out.RTXPT, out.RTXSSRC, out.rtxSeq, &copied)
		b[n], b[n+1] = byte(p.seq>>8), byte(p.seq)
		n += 2
		n += copy(b[n:], p.payload)
		out.rtxSeq++
		s.sendMedia(w, out, b, n, copied.transport)
	}
	out.wanted = out.wanted[:0]
}

// nextTransport answers the transport-wide sequence number of the next packet.
func (s *Session) nextTransport(out *outStream) uint16 {
	if out.Ext.TransportCC == 0 {
		return 0
	}
	s.transport++
	return s.transport - 1
}

// Packet sends a packet of the session's outbound stream with that index in
// Terms.Outbound. pts is the moment of the payload since the epoch. The payload
// is kept to be sent again and never written; one of more than maxPayload bytes
// is refused, since what is cut off differently when it is sent again would be
// a second plaintext for its SRTP index.
func (w *Writer) Packet(stream int, payload []byte, pts time.Duration, marker bool) {
	w.packet(w.session.out[stream], w.session.out[stream].PT, payload, pts, marker)
}

// Redundant is Packet for a payload that carries earlier ones once more (RFC
// 2198): it goes under the stream's Outbound.REDPT.
func (w *Writer) Redundant(stream int, payload []byte, pts time.Duration, marker bool) {
	w.packet(w.session.out[stream], w.session.out[stream].REDPT, payload, pts, marker)
}

func (w *Writer) packet(out *outStream, pt uint8, payload []byte, pts time.Duration, marker bool) {
	s := w.session
	if len(payload) > maxPayload {
		s.plane.counts.refused.Add(1)
		return
	}
	p := sentPacket{
		payload: payload, timestamp: out.timestamp(pts), seq: out.seq, transport: s.nextTransport(out), pt: pt, marker: marker,
	}
	out.seq++
	b := w.slot()
	n := out.header(b, pt, out.SSRC, p.seq, &p)
	n += copy(b[n:], payload)
	out.sent(p)
	s.sendMedia(w, out, b, n, p.transport)
}

// sendMedia sends a packet that has not been sent before.
func (s *Session) sendMedia(w *Writer, out *outStream, b []byte, n int, transport uint16) {
	s.flowed.Add(1)
	if size := s.encrypt(w, b, n); out.Ext.TransportCC != 0 && s.cfg.Events.Acknowledged != nil {
		s.sentLog.add(transport, w.now, size)
	}
}

// Begun reports whether a stream has sent anything.
func (w *Writer) Begun(stream int) bool { return w.session.out[stream].packets > 0 }

const (
	// overhead is what SRTP and SRTCP add at most, in bytes.
	overhead = 32
	// maxPayload fits a datagram with header, extension and the sequence number of
	// a retransmission.
	maxPayload = maxDatagram - overhead - 20 - 2
)

// encrypt makes the n bytes in the slot an SRTP packet, sends it, and answers
// its size.
func (s *Session) encrypt(w *Writer, b []byte, n int) int {
	data, err := s.tx.EncryptRTP(b[:0], b[:n], &s.txHeader)
	if err != nil { // the keys are used up (RFC 3711, section 9.2)
		s.plane.counts.refused.Add(1)
		return 0
	}
	w.commit(data)
	return len(data)
}

// Report has the session's reports sent in this turn: receivers play sound and
// picture in step only once they have them.
func (w *Writer) Report() { w.session.mail.reportDue = true }

// sendReports sends what the post brought, as one compound (RFC 3550, section
// 6.1; RFC 5506 lets feedback go alone).
func (s *Session) sendReports(w *Writer) {
	var compound []rtcp.Packet
	if s.mail.reportDue {
		compound = s.compound(w.now)
	}
	compound = append(compound, s.mail.packets...)
	for len(compound) > 0 {
		n, data := fitting(compound)
		compound = compound[n:]
		if data == nil {
			s.plane.counts.malformed.Add(1)
			continue
		}
		b := w.slot()
		m := copy(b, data)
		if data, err := s.tx.EncryptRTCP(b[:0], b[:m], nil); err == nil {
			w.commit(data)
		}
	}
}

// maxCompound fits every path, in bytes, as the largest packets of media do.
const maxCompound = 1200

// fitting marshals as many packets as a datagram takes, at least one.
func fitting(packets []rtcp.Packet) (int, []byte) {
	for n := len(packets); n > 0; n-- {
		data, err := rtcp.Marshal(packets[:n])
		if err == nil && len(data) <= maxCompound {
			return n, data
		}
	}
	return 1, nil
}

// compound answers a sender report for each stream that has begun, the first
// with what is said of the client's streams, or a receiver report.
func (s *Session) compound(now time.Time) []rtcp.Packet {
	var list []rtcp.Packet
	var names []rtcp.SourceDescriptionChunk
	for _, out := range s.out {
		if out.packets == 0 {
			continue
		}
		list = append(list, out.senderReport(now, s.epoch))
		names = append(names, rtcp.SourceDescriptionChunk{
			Source: out.SSRC, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.cname}},
		})
	}
	if len(list) > 0 {
		list[0].(*rtcp.SenderReport).Reports = append([]rtcp.ReceptionReport(nil), s.mail.blocks...)
		return append(list, &rtcp.SourceDescription{Chunks: names})
	}
	return []rtcp.Packet{
		&rtcp.ReceiverReport{SSRC: s.ssrc, Reports: append([]rtcp.ReceptionReport(nil), s.mail.blocks...)},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: s.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.cname}},
		}}},
	}
}

// goodbye tells the client at once that the streams end. It holds the tx lock.
func (s *Session) goodbye() {
	r := s.path.Load()
	if s.tx == nil || r == nil {
		return
	}
	var sources []uint32
	for _, out := range s.out {
		if out.packets > 0 {
			sources = append(sources, out.SSRC)
		}
	}
	if len(sources) == 0 {
		return
	}
	list := append(s.compound(time.Now()), &rtcp.Goodbye{Sources: sources})
	data, err := rtcp.Marshal(list)
	if err != nil {
		return
	}
	if data, err = s.tx.EncryptRTCP(nil, data, nil); err == nil {
		r.writeNow(data)
	}
}
