package forward

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// listenAgain is how long a socket rests that fails otherwise than by a refusal.
const listenAgain = 100 * time.Millisecond

// hear reads what the receiver sends to a socket until that is closed, and calls
// ask for each request for a key frame of the stream ssrc.
func (f *forwarder) hear(conn *net.UDPConn, open *srtp.Context, ssrc uint32, ask func()) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNREFUSED): // an ICMP message for what was sent
			f.refused()
			continue
		default:
			select {
			case <-time.After(listenAgain):
				continue
			case <-f.stop:
				return
			}
		}
		if asksKeyFrame(buf[:n], open, ssrc) {
			ask()
		}
	}
}

// asksKeyFrame reports whether a datagram is RTCP that asks for a key frame of the
// stream: a PLI (RFC 4585, section 6.3.1) or a FIR (RFC 5104, section 4.3.1).
func asksKeyFrame(datagram []byte, open *srtp.Context, ssrc uint32) bool {
	if len(datagram) < 8 || datagram[1] < 192 || datagram[1] > 223 { // RFC 5761, section 4
		return false
	}
	if open != nil {
		var err error
		if datagram, err = open.DecryptRTCP(nil, datagram, nil); err != nil {
			return false // nobody's who has the key
		}
	}
	list, err := rtcp.Unmarshal(datagram)
	if err != nil {
		return false
	}
	for _, p := range list {
		switch p := p.(type) {
		case *rtcp.PictureLossIndication:
			if p.MediaSSRC == ssrc {
				return true
			}
		case *rtcp.FullIntraRequest:
			for _, e := range p.FIR {
				if e.SSRC == ssrc {
					return true
				}
			}
		}
	}
	return false
}
