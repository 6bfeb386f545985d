package plane

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"tutti/transport/rtptime"
)

// checked is told of every connectivity check that the client has passed: its
// message integrity is that of the session (RFC 8445, section 7.3). The answer
// has ICE select the pair: a client nominates another when it has moved
// (RFC 8445, section 12.1.1, lets the controlled side send on any valid pair).
// A check is no proof of its address, since whoever has overheard one can repeat
// it from anywhere: that is a check of ours that is answered there.
func (s *Session) checked(m *stun.Message, local, remote ice.Candidate, _ *ice.CandidatePair) bool {
	addr, ok := candidateAddr(remote)
	if !ok {
		return false
	}
	now := time.Now()
	s.heard.Store(now.UnixNano())
	r := s.admitRoute(addr, local.NetworkType().IsTCP())
	if r == nil {
		return false
	}
	current := s.path.Load()
	if current == nil {
		s.follow(r)
		return false // ICE selects the first by its own rules
	}
	if current == r { // ICE follows to where media has led
		selected := s.selected.Load()
		return selected != nil && selected != r && s.isProven(r) && s.selected.CompareAndSwap(selected, r)
	}
	nominated := m.Contains(stun.AttrUseCandidate)
	if !nominated || time.Duration(now.UnixNano()-current.heard.Load()) < switchAfter {
		return false
	}
	if !s.followProven(r) {
		return false
	}
	s.selected.Store(r)
	return true
}

// receive takes a datagram that came by a route.
func (s *Session) receive(r *route, d *inDatagram, kind class) {
	defer s.guard()
	s.rxMu.Lock()
	defer s.rxMu.Unlock()
	if s.broken.Load() {
		return
	}
	if s.rx == nil {
		s.keepEarly(d)
		return
	}
	if !s.take(d, kind) {
		return
	}
	at := d.at.UnixNano()
	s.heard.Store(at)
	r.heard.Store(at)
	if current := s.path.Load(); current != r && (current == nil || at-current.heard.Load() > int64(switchAfter)) {
		s.followProven(r)
	}
}

// take decrypts a datagram and hands it on; false where it is not the client's.
func (s *Session) take(d *inDatagram, kind class) bool {
	if kind == report {
		return s.receiveReports(d)
	}
	return s.receiveMedia(d)
}

// keepEarly keeps what comes before Start, as far as it is little.
func (s *Session) keepEarly(d *inDatagram) {
	if s.started || len(s.early) >= maxEarly { // started: it is closed
		s.plane.counts.early.Add(1)
		return
	}
	s.early = append(s.early, slices.Clone(d.data))
}

// receiveMedia decrypts a packet and hands it to its taker; false where it is
// not the client's.
func (s *Session) receiveMedia(d *inDatagram) bool {
	c := &s.plane.counts
	p := &s.packet
	if !s.sources.admit(binary.BigEndian.Uint32(d.data[8:])) {
		c.undeclared.Add(1)
		return false
	}
	plain, err := s.rx.DecryptRTP(d.data[:0], d.data, &p.Header)
	if err != nil {
		s.refused(media, d.data, err)
		return false
	}
	s.sources.add(p.SSRC)
	body, ok := payload(plain, &p.Header)
	if !ok {
		c.malformed.Add(1)
		return true
	}
	p.Payload, p.At, p.Size, p.Again = body, d.at, len(d.data), false
	in, repair := s.find(p)
	if in == nil {
		c.undeclared.Add(1)
		return true
	}
	p.Ext.parse(&p.Header, &in.Ext)
	if p.Ext.HasTransportSeq && s.arrivals != nil {
		s.arrivals.Record(p.SSRC, p.Ext.TransportSeq, d.at.UnixMicro())
		if s.arrived++; s.arrived == 1 {
			s.arrivedAt = d.at
		}
	}
	s.flowed.Add(1)
	agreed := in.takes(p.PayloadType, repair)
	if repair {
		in.repair.take(d.at, p.SequenceNumber, p.Timestamp)
		if agreed && !in.unwrap(p) {
			return true
		}
	}
	if agreed || !repair { // another codec's number is not missing either
		s.account(in, d.at, p, repair)
	}
	if !agreed {
		c.undeclared.Add(1)
		return true
	}
	if in.Take != nil {
		in.Take(p)
	}
	c.observe(time.Since(d.at))
	return true
}

// account keeps the books of a stream and asks at once for what is missing.
func (s *Session) account(in *inStream, at time.Time, p *Packet, repair bool) {
	var n int64
	if repair {
		n = in.received.seq.Unwrap(p.SequenceNumber)
	} else {
		n = in.received.take(at, p.SequenceNumber, p.Timestamp)
	}
	if in.NACK && in.missing.take(at, n) {
		s.ask(at, in)
		s.plane.soon()
	}
}

// ask requests what is missing of a stream and due.
func (s *Session) ask(now time.Time, in *inStream) bool {
	var list [maxMissing]uint16
	due := in.missing.due(now, time.Duration(s.roundTrip.Load()), list[:0])
	if len(due) == 0 {
		return false
	}
	s.plane.counts.asked.Add(uint64(len(due)))
	s.post.send(&rtcp.TransportLayerNack{
		SenderSSRC: s.ssrc, MediaSSRC: in.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(slices.Clone(due)),
	})
	s.Ready()
	return true
}

// refused counts a datagram that was not decrypted, by its reason.
func (s *Session) refused(kind class, data []byte, err error) {
	c := &s.plane.counts
	switch {
	case errors.Is(err, srtp.ErrFailedToVerifyAuthTag):
		c.forged.Add(1)
	case s.isCut(kind, data):
		c.malformed.Add(1)
	default:
		c.replayed.Add(1)
	}
}

// isCut reports whether a datagram is shorter than its header and its tag.
func (s *Session) isCut(kind class, data []byte) bool {
	if kind == report {
		return len(data) < 8+4+s.tagSize
	}
	var h rtp.Header
	_, err := h.Unmarshal(data)
	return err != nil || len(data) < headerSize(data)+s.tagSize
}

// find answers the stream of an authentic packet, and whether it is one sent
// again. An SSRC that was not declared is bound by MID and RID, else by payload
// type (RFC 8843, section 9.2; RFC 8852, section 3).
func (s *Session) find(p *Packet) (in *inStream, repair bool) {
	for _, x := range s.in {
		if x.bound && x.SSRC == p.SSRC {
			return x, false
		}
		if x.boundRTX && x.RTXSSRC == p.SSRC {
			return x, true
		}
	}
	if s.rebinds >= maxRebinds {
		return nil, false
	}
	for _, x := range s.in {
		p.Ext.parse(&p.Header, &x.Ext)
		if x.names(p) {
			s.rebinds++
			return s.bind(x, p)
		}
	}
	return nil, false
}

// names reports whether a packet of an unknown SSRC says that it is of this
// stream.
func (s *inStream) names(p *Packet) bool {
	repair := s.RTXPT != 0 && p.PayloadType == s.RTXPT
	if !repair && !s.takes(p.PayloadType, false) {
		return false
	}
	rid := p.Ext.RID
	if repair {
		rid = p.Ext.RepairedRID
	}
	return (p.Ext.MID == nil || string(p.Ext.MID) == s.MID) && (rid == nil || string(rid) == s.RID)
}

func (s *Session) bind(in *inStream, p *Packet) (*inStream, bool) {
	if in.RTXPT != 0 && p.PayloadType == in.RTXPT {
		in.RTXSSRC, in.boundRTX = p.SSRC, true
		in.repair = reception{clock: in.Clock}
		return in, true
	}
	in.rebind(p.SSRC)
	s.plane.claim(s, p.SSRC)
	if in.camera != nil {
		s.post.bind(in.camera, p.SSRC)
	}
	return in, false
}

// receiveReports takes a compound of the client; false where it is not the
// client's.
func (s *Session) receiveReports(d *inDatagram) bool {
	sender := binary.BigEndian.Uint32(d.data[4:])
	if !s.reporters.admit(sender) {
		s.plane.counts.undeclared.Add(1)
		return false
	}
	plain, err := s.rx.DecryptRTCP(d.data[:0], d.data, nil)
	if err != nil {
		s.refused(report, d.data, err)
		return false
	}
	if !slices.Contains(s.reporters, sender) {
		s.reporters.add(sender)
		s.plane.claim(s, sender)
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		s.plane.counts.malformed.Add(1)
		return true
	}
	for _, p := range packets {
		s.receiveReport(d.at, p)
	}
	return true
}

func (s *Session) receiveReport(at time.Time, packet rtcp.Packet) {
	switch r := packet.(type) {
	case *rtcp.SenderReport:
		for _, in := range s.in {
			if in.bound && in.SSRC == r.SSRC {
				in.senderReport(at, r)
			}
		}
		s.reception(at, r.Reports)
	case *rtcp.ReceiverReport:
		s.reception(at, r.Reports)
	case *rtcp.TransportLayerNack:
		s.post.nack(r)
		s.Ready()
	case *rtcp.TransportLayerCC:
		if s.cfg.Events.Acknowledged != nil {
			s.post.acknowledge(r)
			s.Ready()
		}
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		if s.cfg.Events.KeyFrameRequested != nil {
			s.cfg.Events.KeyFrameRequested()
		}
	case *rtcp.Goodbye:
		s.goodbyeOf(r.Sources)
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		s.remb.Store(uint64(max(0, r.Bitrate)))
	}
}

// goodbyeOf ends streams (RFC 3550, section 6.6): nothing of them is asked for
// any more, and the next that is named as they were takes their place.
func (s *Session) goodbyeOf(sources []uint32) {
	for _, in := range s.in {
		if in.bound && slices.Contains(sources, in.SSRC) {
			in.bound, in.missing = false, missing{}
		}
		if in.boundRTX && slices.Contains(sources, in.RTXSSRC) {
			in.boundRTX = false
		}
	}
}

// maxRoundTrip is beyond what any path takes: more is a report that is wrong.
const maxRoundTrip = 10 * time.Second

// reception takes the round trip: what is left of the time since our report
// when its stay with the receiver is taken off (RFC 3550, section 6.4.1).
func (s *Session) reception(at time.Time, reports []rtcp.ReceptionReport) {
	for _, r := range reports {
		s.tellReception(at, r)
		if r.LastSenderReport == 0 {
			continue
		}
		rtt := rtptime.MiddleNTP(rtptime.NTP(at)) - r.LastSenderReport - r.Delay
		if d := rtptime.FromMiddle(rtt); d <= maxRoundTrip {
			s.roundTrip.Store(int64(d))
		}
	}
}

// collect puts what is due into the post, and reports whether anything is.
func (s *Session) collect(now time.Time) (due bool) {
	for _, in := range s.in {
		if in.missing.n > 0 && s.ask(now, in) {
			due = true
		}
	}
	if s.arrived > 0 && now.After(s.feedback) && (s.arrived >= feedbackAfter || now.Sub(s.arrivedAt) >= feedbackAtLast) {
		s.feedback, s.arrived = now.Add(feedbackEvery), 0
		if packets := s.arrivals.BuildFeedbackPacket(); len(packets) > 0 {
			s.post.send(packets...)
			due = true
		}
	}
	if now.Before(s.report) {
		return due
	}
	s.report = now.Add(reportEvery)
	flowed := s.flowed.Load()
	quiet := flowed-s.counted < quietPackets
	s.counted = flowed
	if s.skipped++; quiet && s.skipped < quietReports {
		return due
	}
	s.skipped = 0
	var blocks [8]rtcp.ReceptionReport
	list := blocks[:0]
	for _, in := range s.in {
		if in.received.started && len(list) < len(blocks) {
			list = append(list, in.received.block(now, in.SSRC))
		}
		if in.repair.started && len(list) < len(blocks) {
			list = append(list, in.repair.block(now, in.RTXSSRC))
		}
	}
	s.post.report(list)
	return true
}
