package plane

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	pionreport "github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

// pionEnd is one of pion's interceptors, from which a test reads what it sends.
type pionEnd struct {
	t        testing.TB
	icpt     interceptor.Interceptor
	read     interceptor.RTPReader
	readRTCP interceptor.RTCPReader
	next     []byte // what the readers answer
	sent     []rtcp.Packet
}

// newPionEnd binds an interceptor to a stream. It must be closed.
func newPionEnd(t testing.TB, f interceptor.Factory, err error, remote *interceptor.StreamInfo) *pionEnd {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p := &pionEnd{t: t}
	if p.icpt, err = f.NewInterceptor(""); err != nil {
		t.Fatal(err)
	}
	take := func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		return copy(b, p.next), a, nil
	}
	p.read = p.icpt.BindRemoteStream(remote, interceptor.RTPReaderFunc(take))
	p.readRTCP = p.icpt.BindRTCPReader(interceptor.RTCPReaderFunc(take))
	p.icpt.BindRTCPWriter(interceptor.RTCPWriterFunc(func(list []rtcp.Packet, _ interceptor.Attributes) (int, error) {
		p.sent = append(p.sent, list...)
		return 0, nil
	}))
	return p
}

// take has pion receive a packet.
func (p *pionEnd) take(packet *rtp.Packet) {
	p.t.Helper()
	b, err := packet.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	p.next = b
	if _, _, err := p.read.Read(make([]byte, maxDatagram), interceptor.Attributes{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pionEnd) takeRTCP(packets ...rtcp.Packet) {
	p.t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		p.t.Fatal(err)
	}
	p.next = b
	if _, _, err := p.readRTCP.Read(make([]byte, maxDatagram), interceptor.Attributes{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pionEnd) close() {
	if err := p.icpt.Close(); err != nil {
		p.t.Error(err)
	}
}

var nackFeedback = []interceptor.RTCPFeedback{{Type: "nack"}}

// A packet that is sent again is made as pion's responder makes it, but for two
// things: pion numbers the stream of repairs by what is sent, not by what is
// sent again, and keeps the old transport-wide sequence number.
func TestRepairEqualsPion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := picture()
		out.Sequence = 65520
		r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{out}}})
		f, err := nack.NewResponderInterceptor()
		p := newPionEnd(t, f, err, &interceptor.StreamInfo{})
		defer p.close()
		var again []*rtp.Packet
		w := p.icpt.BindLocalStream(&interceptor.StreamInfo{
			SSRC: out.SSRC, SSRCRetransmission: out.RTXSSRC, PayloadType: out.PT, PayloadTypeRetransmission: out.RTXPT,
			RTCPFeedback: nackFeedback,
		}, interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, _ interceptor.Attributes) (int, error) {
			if h.SSRC == out.RTXSSRC {
				again = append(again, &rtp.Packet{Header: h.Clone(), Payload: bytes.Clone(payload)})
			}
			return 0, nil
		}))
		for i := range 60 {
			payload := bytes.Repeat([]byte{byte(i)}, 1+i*20)
			h := rtp.Header{
				Version: 2, SSRC: out.SSRC, PayloadType: out.PT, SequenceNumber: out.Sequence + uint16(i), Marker: i%4 == 0,
				Timestamp: out.Base + uint32(i)*3000,
			}
			if _, err := w.Write(&h, payload, nil); err != nil {
				t.Fatal(err)
			}
			r.feed(epoch, func(w *Writer) { w.Packet(0, payload, time.Duration(i)*time.Second/30, i%4 == 0) })
		}
		ask := &rtcp.TransportLayerNack{MediaSSRC: out.SSRC, Nacks: []rtcp.NackPair{
			{PacketID: 65522, LostPackets: 0x8421}, {PacketID: 10, LostPackets: 1}, {PacketID: 2000},
		}}
		p.takeRTCP(ask)
		synctest.Wait()
		r.report(epoch, ask)
		got := r.turn(epoch)
		if len(got) != len(again) || len(got) != 7 {
			t.Fatalf("%d packets sent again, pion %d", len(got), len(again))
		}
		for i, b := range got {
			mine := r.client.open(b)
			want := again[i]
			if mine.SequenceNumber != out.Sequence^0x7fff+uint16(i) {
				t.Errorf("repair %d has sequence number %d", i, mine.SequenceNumber)
			}
			want.SequenceNumber = mine.SequenceNumber
			if a, b := marshal(t, mine), marshal(t, want); !bytes.Equal(a, b) {
				t.Errorf("repair %d:\n got %x\npion %x", i, a, b)
			}
		}
	})
}

func marshal(t testing.TB, p interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// After the same losses the same packets are asked for as pion's generator asks
// for.
func TestPropertyRequestsEqualPion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.Uint16().Draw(rt, "first")
		arrived := rapid.SliceOfN(rapid.SampledFrom([]bool{true, true, true, false}), 1, maxMissing).Draw(rt, "arrived")
		synctest.Test(t, func(t *testing.T) {
			f, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(askAgain))
			p := newPionEnd(t, f, err, &interceptor.StreamInfo{SSRC: voiceSSRC, RTCPFeedback: nackFeedback})
			defer p.close()
			r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}}})
			for i, ok := range append([]bool{true}, arrived...) {
				if ok {
					one := packet(voiceSSRC, opusPT, first+uint16(i), "x")
					p.take(one)
					r.send(time.Now(), one)
				}
			}
			r.turn(time.Now()) // those that were asked for at once, gap by gap
			time.Sleep(askAgain)
			synctest.Wait()
			r.session.tick(time.Now())
			got := r.control(time.Now())
			if len(got) == 0 && len(p.sent) == 0 {
				return
			}
			if len(got) != 1 || len(p.sent) != 1 {
				t.Fatalf("got %v, pion %v", got, p.sent)
			}
			mine, want := got[0].(*rtcp.TransportLayerNack), p.sent[0].(*rtcp.TransportLayerNack)
			want.SenderSSRC = mine.SenderSSRC
			if a, b := marshal(t, mine), marshal(t, want); !bytes.Equal(a, b) {
				t.Fatalf("got %x, pion %x", a, b)
			}
		})
	})
}

// Reception reports are those of pion's interceptor for the same arrivals.
// Packets come late by a few only within an interval and never twice: there pion
// keeps counting as lost what came after the report, and RFC 3550 does not
// (appendix A.3). The jitter is rounded at each packet here and at the end there.
func TestPropertyReportsEqualPion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first, base := rapid.Uint16().Draw(rt, "first"), rapid.Uint32Range(0, 1<<31).Draw(rt, "base")
		lost := rapid.SliceOfN(rapid.IntRange(0, 9), 400, 400).Draw(rt, "lost")
		delay := rapid.SliceOfN(rapid.IntRange(0, 15), 400, 400).Draw(rt, "delay")
		synctest.Test(t, func(t *testing.T) {
			f, err := pionreport.NewReceiverInterceptor(pionreport.ReceiverInterval(time.Second))
			p := newPionEnd(t, f, err, &interceptor.StreamInfo{SSRC: voiceSSRC, ClockRate: 48000})
			defer p.close()
			in := voice(nil)
			in.NACK = false
			r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
			synctest.Wait()
			begin := time.Now()
			for i := range 400 {
				n := i
				switch i % 10 { // a pair that changes places
				case 3:
					n++
				case 4:
					n--
				}
				one := packet(voiceSSRC, opusPT, first+uint16(n), "x")
				one.Timestamp = base + uint32(n)*960
				time.Sleep(time.Until(begin.Add(time.Duration(i)*20*time.Millisecond + time.Duration(1+delay[i])*time.Millisecond)))
				if i%50 == 7 {
					sr := &rtcp.SenderReport{SSRC: voiceSSRC, NTPTime: 0x1234567890abcdef + uint64(i)<<32}
					p.takeRTCP(sr)
					r.report(time.Now(), sr)
				}
				if lost[n] > 0 || i == 0 {
					p.take(one)
					r.send(time.Now(), one)
				}
				if i%50 == 49 {
					time.Sleep(time.Until(begin.Add(time.Duration(i/50+1) * time.Second)))
					synctest.Wait()
					compareReports(t, r, p)
				}
			}
		})
	})
}

func compareReports(t *testing.T, r *rig, p *pionEnd) {
	t.Helper()
	r.session.report = time.Now()
	r.session.tick(time.Now())
	got := r.control(time.Now())
	if len(got) != 2 || len(p.sent) != 1 {
		t.Fatalf("got %v, pion %v", got, p.sent)
	}
	mine, want := got[0].(*rtcp.ReceiverReport).Reports[0], p.sent[0].(*rtcp.ReceiverReport).Reports[0]
	p.sent = nil
	r.session.report = time.Unix(1<<40, 0)
	if d := int64(mine.Jitter) - int64(want.Jitter); d < -2 || d > 2 {
		t.Errorf("jitter %d, pion %d", mine.Jitter, want.Jitter)
	}
	want.Jitter = mine.Jitter
	if mine != want {
		t.Errorf("report\n got %+v\npion %+v", mine, want)
	}
}

// Transport-wide feedback is that of pion's interceptor for the same arrivals.
func TestPropertyFeedbackEqualsPion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seq := rapid.Uint16().Draw(rt, "first")
		steps := rapid.SliceOfN(rapid.IntRange(0, 12), 20, 200).Draw(rt, "steps")
		micros := rapid.SliceOfN(rapid.IntRange(0, 9000), len(steps), len(steps)).Draw(rt, "µs")
		synctest.Test(t, func(t *testing.T) {
			clock := time.Unix(0, 0)
			f, err := twcc.NewSenderInterceptor(twcc.SendInterval(feedbackEvery), twcc.SendNow(func() time.Time { return clock }))
			p := newPionEnd(t, f, err, &interceptor.StreamInfo{
				SSRC: voiceSSRC, RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{
					URI: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", ID: int(extIDs.TransportCC),
				}},
			})
			defer p.close()
			in := voice(nil)
			in.NACK = false
			r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
			r.session.feedback = time.Time{}
			due := time.Now().Add(feedbackEvery)
			var got []rtcp.Packet
			for i, step := range steps {
				time.Sleep(time.Duration(micros[i]) * time.Microsecond)
				synctest.Wait()
				clock = time.Now()
				if !clock.Before(due) {
					r.session.feedback = time.Time{}
					r.session.tick(clock)
					got = append(got, r.control(clock)...)
					due = due.Add(feedbackEvery)
				}
				one := with(t, packet(voiceSSRC, opusPT, uint16(i), "x"), extIDs.TransportCC, string(binary.BigEndian.AppendUint16(nil, seq)))
				p.take(one)
				r.send(clock, one)
				synctest.Wait()
				if i == 0 { // pion's clock begins with the first packet
					r.session.feedback, due = time.Unix(1<<40, 0), clock.Add(feedbackEvery)
				}
				r.session.feedback = time.Unix(1<<40, 0)
				seq += uint16(step)
			}
			if len(got) != len(p.sent) {
				t.Fatalf("%d reports, pion %d", len(got), len(p.sent))
			}
			for i := range got {
				mine, want := got[i].(*rtcp.TransportLayerCC), p.sent[i].(*rtcp.TransportLayerCC)
				want.SenderSSRC = mine.SenderSSRC
				if a, b := marshal(t, mine), marshal(t, want); !bytes.Equal(a, b) {
					t.Fatalf("feedback %d:\n got %x\npion %x", i, a, b)
				}
			}
		})
	})
}
