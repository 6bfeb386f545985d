package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/codec/pcm"
	"tutti/transport/plane"
)

// measurePath compares the media plane with pion's own path: two programs that
// do nothing but take every participant's packets and send each of them 50
// packets a second of Opus' size.
func measurePath(ctx context.Context, o options) error {
	var ours, theirs []window
	var delays []string
	for range o.runs {
		w, delay, err := pathOnce(ctx, o, "plane")
		if err != nil {
			return fmt.Errorf("media plane: %w", err)
		}
		ours, delays = append(ours, w), append(delays, delay)
		if w, _, err = pathOnce(ctx, o, "pion"); err != nil {
			return fmt.Errorf("pion: %w", err)
		}
		theirs = append(theirs, w)
	}
	fmt.Fprintf(o.out, "%d participants, 50 packets/s each way, each at times of its own; no codec, no mixer: a program that counts what comes and sends %d bytes to each every 20 ms.\n", assembly, pathPayload)
	fmt.Fprintf(o.out, "By turns on the media plane and on pion's path with its interceptors for reports alone, %v each.\n\n", o.seconds)
	fmt.Fprintln(o.out, "| path | CPU a participant, % of a core | memory a participant, KiB | packets/s at each | least at one | lost | sent over 10 ms late by the clients | CPU of all clients, cores |")
	fmt.Fprintln(o.out, "|---|---|---|---|---|---|---|---|")
	showWindows(o, "media plane", ours)
	showWindows(o, "pion", theirs)
	var r series
	for i := range ours {
		r = append(r, ours[i].cpu/theirs[i].cpu)
	}
	fmt.Fprintf(o.out, "\nRatio of CPU, turn by turn: %s.\n", r.show(3))
	fmt.Fprintf(o.out, "From socket to taker on the media plane, by the kernel's time of arrival: %s.\n", strings.Join(delays, "; "))
	return nil
}

// pathOnce measures one of the programs, and answers what it says of its delays.
func pathOnce(ctx context.Context, o options, path string) (window, string, error) {
	self, err := os.Executable()
	if err != nil {
		return window{}, "", err
	}
	cmd := exec.CommandContext(ctx, self, "-path", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return window{}, "", err
	}
	if err := cmd.Start(); err != nil {
		return window{}, "", err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return window{}, "", errors.New("the program did not start")
	}
	url := "http://" + strings.TrimSpace(line)
	join := func(ctx context.Context, _ int, offer string) (string, func(context.Context), error) {
		b, _, err := roundTrip(ctx, http.MethodPost, url+"/join", "application/sdp", []byte(offer))
		return string(b), nil, err
	}
	w, err := meeting{people: assembly, pid: cmd.Process.Pid, at: netip.AddrFrom4([4]byte{127, 0, 0, 1}), join: join}.hold(ctx, o)
	if err != nil {
		return w, "", err
	}
	delay, _, err := roundTrip(ctx, http.MethodPost, url+"/delay", "", nil)
	return w, string(delay), err
}

// pathPayload is the size of what is sent, in bytes: 20 ms of Opus at 32 kbit/s.
const pathPayload = 80

// pathProgram is what both programs share.
type pathProgram struct {
	engine   *webrtc.MediaEngine
	settings webrtc.SettingEngine
	registry *interceptor.Registry
	taken    atomic.Uint64

	mu    sync.Mutex
	sinks []func(n int, payload []byte)
}

// servePath is the program under measurement: it answers offers until ctx ends.
func servePath(ctx context.Context, path string) error {
	p := &pathProgram{engine: &webrtc.MediaEngine{}, registry: &interceptor.Registry{}}
	if err := p.engine.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: codec.AudioClockRate, Channels: 2,
	}}, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	p.settings = webrtc.SettingEngine{LoggerFactory: logs}
	p.settings.SetIncludeLoopbackCandidate(true)
	p.settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	p.settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	media := plane.New()
	defer func() { _ = media.Close() }()
	conns, err := plane.Listen(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, 1)
	if err != nil {
		return err
	}
	conn := conns[0]
	join := p.joinPion
	if path == "plane" {
		if conn, err = media.Adopt(conns, nil); err != nil {
			return err
		}
		join = func(offer string) (string, error) { return p.joinPlane(media, offer) }
	} else if err := webrtc.ConfigureRTCPReports(p.registry); err != nil {
		return err
	}
	p.settings.SetICEUDPMux(ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: logs.NewLogger("ice")}))
	handler := http.NewServeMux()
	handler.HandleFunc("/join", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		answer, err := join(string(b))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, answer)
	})
	handler.HandleFunc("/delay", func(w http.ResponseWriter, _ *http.Request) {
		h := media.Stats().HandOver
		fmt.Fprintf(w, "99 %% within %v, 99.9 %% within %v", h.Quantile(.99), h.Quantile(.999))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	payload := make([]byte, pathPayload)
	every(ctx, pcm.Duration, 0, func(n int) {
		p.mu.Lock()
		sinks := p.sinks
		p.mu.Unlock()
		for _, send := range sinks {
			send(n, payload)
		}
	})
	return nil
}

// connect answers an offer; connected is called when media may flow.
func (p *pathProgram) connect(offer string, settings webrtc.SettingEngine, track webrtc.TrackLocal,
	onTrack func(*webrtc.TrackRemote, *webrtc.RTPReceiver), prepare func(*webrtc.PeerConnection, *webrtc.RTPSender), connected func(),
) (string, error) {
	api := webrtc.NewAPI(webrtc.WithMediaEngine(p.engine), webrtc.WithInterceptorRegistry(p.registry), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	sender, err := pc.AddTrack(track)
	if err != nil {
		return "", err
	}
	if onTrack != nil {
		pc.OnTrack(onTrack)
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			connected()
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	prepare(pc, sender)
	return pc.LocalDescription().SDP, nil
}

func (p *pathProgram) sink(send func(n int, payload []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sinks = append(p.sinks, send)
}
