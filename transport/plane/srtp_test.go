package plane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"tutti/transport/rtptime"
)

// many packets go twice around the sequence numbers, so that the rollover
// counter counts, but with the race detector, which takes its time.
func many() int {
	if raceDetector {
		return 10_000
	}
	return 140_000
}

// reference is the server's end as pion has it.
func reference(t testing.TB, profile srtp.ProtectionProfile, opts ...srtp.ContextOption) *srtp.Context {
	t.Helper()
	keys := clientKeys(t, profile).Keys
	c, err := srtp.CreateContext(keys.RemoteMasterKey, keys.RemoteMasterSalt, profile, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expected is a packet as pion marshals and encrypts it.
func expected(t testing.TB, c *srtp.Context, h *rtp.Header, payload []byte) []byte {
	t.Helper()
	plain, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.EncryptRTP(nil, append(plain, payload...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What a feeder writes is, byte for byte, what pion makes of the same fields.
func TestSentEqualsPion(t *testing.T) {
	for _, c := range profileCases {
		for _, ext := range []uint8{0, 3} {
			for _, cryptex := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s ext %d cryptex %v", c.name, ext, cryptex), func(t *testing.T) {
					n := 3000
					if c.profile == srtp.ProtectionProfileAeadAes128Gcm || !cryptex && ext != 0 {
						n = many()
					}
					sentEqualsPion(t, c.profile, ext, cryptex, n)
				})
			}
		}
	}
}

func sentEqualsPion(t *testing.T, profile srtp.ProtectionProfile, ext uint8, cryptex bool, n int) {
	out := picture()
	out.Ext.TransportCC, out.Sequence = ext, 65500
	r := newRig(t, rigConfig{profile: profile, terms: Terms{Epoch: epoch, Cryptex: cryptex, Outbound: []Outbound{out}}})
	r.session.transport = 65000
	mode := srtp.CryptexModeDisabled
	if cryptex {
		mode = srtp.CryptexModeEnabled
	}
	pion := reference(t, profile, srtp.Cryptex(mode))
	h := rtp.Header{Version: 2, SSRC: out.SSRC, PayloadType: out.PT, SequenceNumber: out.Sequence}
	body := make([]byte, 64)
	payloads := map[int][]byte{}
	const turn = 50
	for i := 0; i < n; i += turn {
		got := r.feed(epoch, func(w *Writer) {
			for k := i; k < i+turn; k++ {
				p := append([]byte(nil), body[:1+k%63]...)
				binary.BigEndian.PutUint32(append(p[:0], make([]byte, 4)...), uint32(k))
				payloads[k%turn] = p
				w.Packet(0, p, time.Duration(k)*time.Second/90, k%3 == 0)
			}
		})
		if len(got) != turn {
			t.Fatalf("%d datagrams of %d packets", len(got), turn)
		}
		for k := i; k < i+turn; k++ {
			h.Marker, h.Timestamp = k%3 == 0, out.Base+uint32(k)*1000
			if ext != 0 {
				tcc := binary.BigEndian.AppendUint16(nil, uint16(65000+k))
				if err := h.SetExtension(ext, tcc); err != nil {
					t.Fatal(err)
				}
			}
			if want := expected(t, pion, &h, payloads[k%turn]); !bytes.Equal(got[k-i], want) {
				t.Fatalf("packet %d of sequence number %d:\n got %x\nwant %x", k, h.SequenceNumber, got[k-i], want)
			}
			h.SequenceNumber++
		}
	}
}

// What pion sends is taken with the fields that it had, around the wrap of the
// sequence numbers, with a packet lost here and there.
func TestTakenEqualsPion(t *testing.T) {
	for _, c := range profileCases {
		t.Run(c.name, func(t *testing.T) {
			var last Packet
			var payload []byte
			r := newRig(t, rigConfig{profile: c.profile, terms: Terms{Inbound: []Inbound{voice(func(p *Packet) {
				last = *p
				payload = append(payload[:0], p.Payload...)
			})}}})
			at := epoch
			for i := range many() {
				p := packet(voiceSSRC, opusPT, uint16(65500+i), fmt.Sprint("payload ", i))
				p.Marker = i%5 == 0
				data := r.client.seal(p)
				if i%97 == 3 {
					continue // lost
				}
				at = at.Add(time.Millisecond)
				r.from(clientAddr, at, data)
				if last.SequenceNumber != p.SequenceNumber || last.Timestamp != p.Timestamp || last.Marker != p.Marker ||
					last.Size != len(data) || !last.At.Equal(at) || !bytes.Equal(payload, p.Payload) {
					t.Fatalf("packet %d: sent %v, taken %v %q", i, p, last.Packet, payload)
				}
			}
			if s := r.counts(); s.Forged+s.Replayed+s.Malformed+s.Undeclared != 0 {
				t.Errorf("counts %+v", s)
			}
		})
	}
}

// indexes remembers which plaintext went with which index of SRTP and SRTCP.
type indexes struct {
	client  *client
	tag     int // bytes behind an SRTCP index
	roc     map[uint32]*rtptime.Sequence
	packets map[[2]int64]string
	reports map[[2]uint32]bool
}

func newIndexes(c *client, profile srtp.ProtectionProfile) *indexes {
	x := &indexes{client: c, roc: map[uint32]*rtptime.Sequence{}, packets: map[[2]int64]string{}, reports: map[[2]uint32]bool{}}
	if profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		x.tag = 10
	}
	return x
}

// add takes a datagram that was sent, and answers what is wrong with it.
func (x *indexes) add(data []byte) error {
	if classify(data) == report {
		key := [2]uint32{binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[len(data)-x.tag-4:])}
		if x.reports[key] {
			return fmt.Errorf("SRTCP index %#x of SSRC %#x comes twice", key[1], key[0])
		}
		x.reports[key] = true
		if _, err := x.client.in.DecryptRTCP(nil, data, nil); err != nil {
			return fmt.Errorf("decrypt RTCP: %w", err)
		}
		return nil
	}
	var h rtp.Header
	plain, err := x.client.in.DecryptRTP(nil, data, &h)
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	if x.roc[h.SSRC] == nil {
		x.roc[h.SSRC] = &rtptime.Sequence{}
	}
	key := [2]int64{int64(h.SSRC), x.roc[h.SSRC].Unwrap(h.SequenceNumber)}
	if before, ok := x.packets[key]; ok && before != string(plain) {
		return fmt.Errorf("index %d of SSRC %#x has two plaintexts, of %d and %d bytes", key[1], key[0], len(before), len(plain))
	}
	x.packets[key] = string(plain)
	return nil
}
