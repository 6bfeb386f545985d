package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm"
	"tutti/transport/webm/webmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRoom hands packets to one sink as a room would.
type fakeRoom struct {
	done chan struct{}

	mu       sync.Mutex
	cfg      mixer.SubscribeConfig
	sink     mixer.Sink
	keys     int
	refusing error
}

func newRoom() *fakeRoom { return &fakeRoom{done: make(chan struct{})} }

func (r *fakeRoom) Done() <-chan struct{} { return r.done }
func (r *fakeRoom) Settings() (mixer.Settings, uint64) {
	return mixer.DefaultSettings(), 1
}

func (r *fakeRoom) subscribe(c mixer.SubscribeConfig) (subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusing != nil {
		return nil, r.refusing
	}
	r.cfg, r.sink = c, c.Sink
	return r, nil
}

func (r *fakeRoom) RequestKeyFrame() {
	r.mu.Lock()
	r.keys++
	r.mu.Unlock()
}

func (r *fakeRoom) Close() {
	r.mu.Lock()
	r.sink = nil
	r.mu.Unlock()
}

func (r *fakeRoom) send(packets ...*codec.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range packets {
		switch {
		case r.sink == nil:
		case p.Kind == codec.Audio:
			r.sink.WriteAudio(p)
		default:
			r.sink.WriteVideo(p)
		}
	}
}

func (r *fakeRoom) subscribed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sink != nil
}

func (r *fakeRoom) keysAsked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// eventually waits for another goroutine to come to something.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

var film = webmtest.Film{
	Width: 320, Height: 180, FPS: 15, Length: 5 * time.Second,
	From: time.Hour, KeyEvery: 2 * time.Second, VideoLate: 40 * time.Millisecond,
}

// serve streams a room over real HTTP and answers the address and the end.
func serve(t *testing.T, s *Streams, r *fakeRoom) (url string, ended <-chan error) {
	ch := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ch <- s.stream(req.Context(), r, w, func() { _ = http.NewResponseController(w).Flush() })
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ch
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func save(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "live.webm")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestStreamPlaysUntilTheRoomCloses(t *testing.T) {
	r := newRoom()
	url, ended := serve(t, New(Config{}), r)
	packets := film.Make(t)
	go func() {
		eventually(t, r.subscribed)
		r.send(packets[5:]...) // the first key frame is missed
		close(r.done)
	}()
	data, err := io.ReadAll(get(t, url).Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Stream: %v", err)
	}
	name := save(t, data)
	first := slices.IndexFunc(packets[5:], func(p *codec.Packet) bool { return p.Kind == codec.Video && p.KeyFrame })
	sent := map[string]int{}
	for _, p := range packets {
		if p.PTS >= packets[5+first].PTS {
			sent[string(p.Codec)]++
		}
	}
	for _, s := range webmtest.Check(t, name, 320, 180, 0).Streams {
		if s.Frames != strconv.Itoa(sent[s.Codec]) {
			t.Errorf("%s packets of %s, want %d", s.Frames, s.Codec, sent[s.Codec])
		}
	}
	for _, d := range webmtest.Sync(t, name) {
		if d.Abs() > 20*time.Millisecond {
			t.Errorf("sound is %v from its picture", d)
		}
	}
	if r.subscribed() || !r.cfg.Continuous {
		t.Errorf("subscribed %v with %+v", r.subscribed(), r.cfg)
	}
}

func TestClustersComeWhileTheRoomGoesOn(t *testing.T) {
	r := newRoom()
	url, ended := serve(t, New(Config{}), r)
	packets := film.Make(t)
	go func() { eventually(t, r.subscribed); r.send(packets[:60]...) }()
	body := bufio.NewReader(get(t, url).Body)
	got := 0
	for got < 3 { // three clusters are there although nothing has ended
		if b, err := body.ReadByte(); err != nil {
			t.Fatal(err)
		} else if b == 0x1F {
			if next, _ := body.Peek(3); bytes.Equal(next, []byte{0x43, 0xB6, 0x75}) {
				got++
			}
		}
	}
	close(r.done)
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestReaderGoesAway(t *testing.T) {
	r := newRoom()
	url, ended := serve(t, New(Config{}), r)
	packets := film.Make(t)
	go func() { eventually(t, r.subscribed); r.send(packets[:40]...) }()
	res := get(t, url)
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("Stream ended without an error")
	}
	if r.subscribed() {
		t.Error("still subscribed")
	}
}

// slowWriter takes nothing while it is held.
type slowWriter struct {
	held chan struct{}
	buf  bytes.Buffer
}

func (w *slowWriter) Write(b []byte) (int, error) {
	<-w.held
	return w.buf.Write(b)
}

func TestSlowReaderGoesOnAtThePresent(t *testing.T) {
	r := newRoom()
	w := &slowWriter{held: make(chan struct{})}
	ended := make(chan error, 1)
	s := New(Config{QueueBytes: 20_000})
	go func() { ended <- s.stream(context.Background(), r, w, nil) }()
	eventually(t, r.subscribed)
	long := film
	long.Length = 20 * time.Second
	packets := long.Make(t)
	half := slices.IndexFunc(packets, func(p *codec.Packet) bool { return p.PTS >= film.From+13*time.Second })
	r.send(packets[:half]...) // far more than the queue takes; the room does not wait
	close(w.held)
	for _, p := range packets[half:] {
		r.send(p)
		q := r.queue()
		eventually(t, func() bool { return q.Bytes() == 0 })
	}
	close(r.done)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	name := save(t, w.buf.Bytes())
	webmtest.Check(t, name, 320, 180, 0)
	syncs := webmtest.Sync(t, name)
	for _, d := range syncs {
		if d.Abs() > 20*time.Millisecond {
			t.Errorf("sound is %v from its picture", d)
		}
	}
	if len(syncs) > 15 || len(syncs) < 5 {
		t.Errorf("%d of 20 seconds were seen", len(syncs))
	}
}

func TestWhatASlowReaderMissedIsCutOut(t *testing.T) {
	r := newRoom()
	s := &stream{line: webm.NewTimeline(true, window), queue: webm.NewQueue(1<<20, true, webm.DropAll), sub: r}
	s.out = &patient{w: io.Discard}
	packets := film.Make(t)
	take := func(from, to time.Duration) {
		for _, p := range packets {
			if p.PTS >= film.From+from && p.PTS < film.From+to {
				if err := s.take(webm.Entry{Packet: p}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	take(0, time.Second)
	if err := s.take(webm.Entry{Mark: webm.Cleared}); err != nil {
		t.Fatal(err)
	}
	take(4*time.Second, 5*time.Second)
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	if d := s.w.Duration() - 2*time.Second; d.Abs() > 100*time.Millisecond {
		t.Errorf("one second and another last %v", s.w.Duration())
	}
}

func (r *fakeRoom) queue() interface{ Bytes() int } {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sink.(interface{ Bytes() int })
}

func TestReaderThatStandsStillIsEnded(t *testing.T) {
	r := newRoom()
	url, ended := serve(t, New(Config{StallTimeout: 300 * time.Millisecond}), r)
	conn, err := net.Dial("tcp", url[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, r.subscribed)
	// Big pictures fill the socket's buffers at once; nobody reads.
	for n := 0; ; n++ {
		r.send(&codec.Packet{
			Kind: codec.Video, Codec: codec.VP8, KeyFrame: true, Data: make([]byte, 200_000),
			PTS: time.Duration(n) * 40 * time.Millisecond, Duration: 40 * time.Millisecond, Width: 320, Height: 180,
		})
		select {
		case err := <-ended:
			if !errors.Is(err, ErrStalled) {
				t.Errorf("Stream: %v", err)
			}
			if r.subscribed() {
				t.Error("still subscribed")
			}
			return
		case <-time.After(time.Millisecond):
		}
		if n > 10000 {
			t.Fatal("was not ended")
		}
	}
}

func TestContextAndRefusal(t *testing.T) {
	r := newRoom()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { eventually(t, r.subscribed); cancel() }()
	if err := New(Config{}).stream(ctx, r, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Stream: %v", err)
	}
	r.refusing = mixer.ErrRoomClosed
	if err := New(Config{}).stream(context.Background(), r, io.Discard, nil); !errors.Is(err, mixer.ErrRoomClosed) {
		t.Errorf("Stream: %v", err)
	}
}

func TestKeyFrameIsAskedForWhileNoneCame(t *testing.T) {
	r := newRoom()
	ended := make(chan error, 1)
	go func() { ended <- New(Config{}).stream(context.Background(), r, io.Discard, nil) }()
	eventually(t, r.subscribed)
	r.send(webmtest.Film{Length: 3 * time.Second}.Make(t)...)
	eventually(t, func() bool { return r.keysAsked() >= 2 })
	close(r.done)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
