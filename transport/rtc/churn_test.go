package rtc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/transport/v5/stdnet"

	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/transport/transporttest"
)

// visit is one way to come and go. It ends when the client has gone; the session
// may last longer.
type visit struct {
	name string
	run  func(c *churn, luck *rand.Rand, id string) error
}

var visits = []visit{
	{"gone after the offer", goneAfterOffer},
	{"gone after ICE", goneAfterICE},
	{"gone after DTLS", goneAfterDTLS},
	{"gone while media flows", goneInMedia},
	{"hangs up", hangsUp},
	{"is removed at any time", isRemoved},
	{"over TCP", overTCP},
	{"refused", refused},
}

// churn is a gateway that clients come to and leave.
type churn struct {
	gateway *Gateway
	rooms   [3]*endlessRoom
	done    [16]atomic.Int64 // by visit
}

// endlessRoom forgets its seats; its subscribers get a packet when they come.
type endlessRoom struct{ id string }

func (r *endlessRoom) ID() string           { return r.id }
func (r *endlessRoom) CreatedAt() time.Time { return time.Now() }

func (r *endlessRoom) Settings() (mixer.Settings, uint64) { return mixer.DefaultSettings(), 1 }

func (r *endlessRoom) Join(c mixer.JoinConfig) (seat, error) {
	if c.Video != nil {
		c.Video.Show(32, 24, i420.Cover)
	}
	return &fakeSeat{cfg: c, left: make(chan string, 1)}, nil
}

func (r *endlessRoom) Subscribe(c mixer.SubscribeConfig) (subscription, error) {
	c.Sink.WriteAudio(audioPacket(0, 20, 1))
	c.Sink.WriteVideo(videoPacket(0, true, keyFrame(1)))
	return &fakeSub{cfg: c}, nil
}

// guest is a client on a network that may die.
type guest struct {
	*transporttest.Client
	net  *nat
	peer *Peer
}

// come opens a session for a new client, whose answer is left to the caller.
func (c *churn) come(luck *rand.Rand, id string, cfg transporttest.ClientConfig) (*guest, error) {
	host, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	g := &guest{net: newNAT(host)}
	cfg.Net, cfg.Loopback, cfg.Audio, cfg.Video = g.net, true, sendRecv, sendRecv
	if g.Client, err = transporttest.NewClient(cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offer, err := g.Offer(ctx)
	if err == nil {
		g.peer, err = c.gateway.open(ctx, c.rooms[luck.IntN(len(c.rooms))], Request{ID: id, Role: mixer.Both, Offer: offer})
	}
	if err != nil {
		_ = g.Close()
		return nil, err
	}
	return g, nil
}

// early makes a client ready to go before media flows. Where the first packet of
// a stream meets the end of the connection, pion's client waits for ever: its SRTP
// session for who takes new streams, who takes them for a lock, and who holds the
// lock for the SRTP session.
func (g *guest) early() { g.net.deafen() }

// vanish ends the client without a word to the gateway.
func (g *guest) vanish() error {
	g.net.filter(nothing)
	return g.Close()
}

// connect takes the answer and waits until media may flow.
func (g *guest) connect() error {
	if err := g.Answer(g.peer.Answer()); err != nil {
		return err
	}
	select {
	case <-g.Connected():
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("not connected in 20 s")
	}
}

// talk sends a little and waits until something was heard.
func (g *guest) talk() error {
	for i := range 10 {
		err := g.SendAudio([]byte{20, byte(i)}, 960, -30)
		if i%5 == 0 {
			err = errors.Join(err, g.SendVideo(keyFrame(byte(i)), 40*time.Millisecond))
		}
		if err != nil {
			return err
		}
	}
	return until("sound and picture were heard", func() bool {
		c := g.Counts()
		return c.AudioPackets > 0 && c.VideoPackets > 0
	})
}

// until waits in real time.
func until(what string, ok func() bool) error {
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("20 s passed and not: %s", what)
		}
	}
	return nil
}

func goneAfterOffer(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	return g.vanish()
}

func goneAfterICE(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	g.early()
	g.net.filter(onlyChecks)
	err = g.Answer(g.peer.Answer())
	session := g.peer.way().(*planeMedia).session
	if err == nil {
		err = until("ICE has a path", func() bool {
			select {
			case <-g.peer.Done(): // a busy machine took longer than JoinTimeout
				return true
			default:
				return session.Path().IsValid()
			}
		})
	}
	return errors.Join(err, g.vanish())
}

func goneAfterDTLS(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	g.early()
	return errors.Join(g.connect(), g.vanish())
}

func goneInMedia(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	if err = g.connect(); err == nil {
		err = g.talk()
	}
	return errors.Join(err, g.vanish())
}

func hangsUp(c *churn, luck *rand.Rand, id string) error {
	return stays(c, luck, id, transporttest.ClientConfig{})
}

func overTCP(c *churn, luck *rand.Rand, id string) error {
	return stays(c, luck, id, transporttest.ClientConfig{OnlyTCP: true})
}

func stays(c *churn, luck *rand.Rand, id string, cfg transporttest.ClientConfig) error {
	g, err := c.come(luck, id, cfg)
	if err != nil {
		return err
	}
	if err = g.connect(); err == nil {
		err = g.talk()
	}
	return errors.Join(err, g.Close())
}

func isRemoved(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	g.early()
	err = g.Answer(g.peer.Answer())
	time.Sleep(time.Duration(luck.IntN(30)) * time.Millisecond)
	g.peer.leave("removed")
	<-g.peer.Done()
	return errors.Join(err, g.Close())
}

func refused(c *churn, luck *rand.Rand, id string) error {
	g, err := c.come(luck, id, transporttest.ClientConfig{})
	if err != nil {
		return err
	}
	defer g.peer.leave("removed")
	r := &endlessRoom{g.peer.key.room}
	_, err = c.gateway.open(context.Background(), r, Request{ID: id, Role: mixer.Both, Offer: sampleOffer})
	if !errors.Is(err, mixer.ErrParticipantExists) {
		return errors.Join(fmt.Errorf("a second %s: %w", id, err), g.Close())
	}
	return g.Close()
}

// left is what sessions leave behind if something leaks.
type left struct {
	goroutines, files int
	// After a collection, bytes: what is alive, and the spans that hold it, which
	// the busiest moment has left full of holes.
	alive, spans uint64
}

// settle waits until every session has ended, checks that the gateway keeps
// nothing of any, and answers what is in use.
func (c *churn) settle(t *testing.T, goroutines int) left {
	t.Helper()
	within(t, 20*time.Second, "every session has ended", func() bool {
		return c.gateway.Sessions() == 0 && c.gateway.Media().Sessions == 0
	})
	within(t, 20*time.Second, "the goroutines have ended", func() bool {
		return goroutines == 0 || runtime.NumGoroutine() <= goroutines
	})
	c.gateway.mu.Lock()
	if n := len(c.gateway.fans) + len(c.gateway.peers); n > 0 {
		t.Errorf("%d fan-outs and peers are left", n)
	}
	c.gateway.mu.Unlock()
	within(t, 10*time.Second, "the media plane's maps are empty", func() bool {
		c.gateway.Media() // takes the plane's lock
		return entries(c.gateway.plane) == 0
	})
	if n := c.gateway.cfg.Pool.Live(); n != 0 {
		t.Errorf("%d pictures are still held", n)
	}
	for range 3 { // pools are given up by the second collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	return left{runtime.NumGoroutine(), len(open), m.HeapAlloc, m.HeapInuse}
}

// entries counts those of all maps of a struct.
func entries(of any) (n int) {
	v := reflect.ValueOf(of).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Map {
			n += f.Len()
		}
	}
	return n
}

// How much more may be alive after the second half than after the first, and how
// many more bytes the spans may have: of the thousands of sessions of 15 s less
// than half a kilobyte each.
const (
	aliveGrowth = 2 << 20
	spansGrowth = 8 << 20
)

// TestChurn lets clients come and go in every way there is, as fast as the
// machine can for 30 s, and holds what is left against what was there before.
func TestChurn(t *testing.T) {
	c := &churn{gateway: realGateway(t, func(c *Config) {
		c.JoinTimeout, c.DisconnectedTimeout, c.FailedTimeout = time.Second, 500*time.Millisecond, 500*time.Millisecond
	})}
	for i := range c.rooms {
		c.rooms[i] = &endlessRoom{fmt.Sprintf("r%d", i)}
	}
	for i, v := range visits { // what is made once is there now
		if err := v.run(c, rand.New(rand.NewPCG(1, 1)), fmt.Sprintf("first%d", i)); err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
	}
	before := c.settle(t, 0)
	lasts := 30 * time.Second
	if testing.Short() {
		lasts = 3 * time.Second
	}
	c.crowd(t, 1, lasts/2)
	half := c.settle(t, before.goroutines)
	c.crowd(t, 2, lasts/2)
	after := c.settle(t, before.goroutines)
	for i, v := range visits {
		t.Logf("%4d %s", c.done[i].Load(), v.name)
	}
	t.Logf("before %+v, half way %+v, after %+v", before, half, after)
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Error("goroutines or files are left")
	}
	if after.alive > half.alive+aliveGrowth || after.spans > half.spans+spansGrowth {
		t.Error("the memory has grown")
	}
	if n := c.gateway.Panics(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

// crowd has four at a time come and go.
func (c *churn) crowd(t *testing.T, seed uint64, lasts time.Duration) {
	end := time.Now().Add(lasts)
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			luck := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				i := luck.IntN(len(visits))
				if err := visits[i].run(c, luck, fmt.Sprintf("w%dn%d", w, n)); err != nil {
					t.Errorf("%s: %v", visits[i].name, err)
				}
				c.done[i].Add(1)
			}
		})
	}
	work.Wait()
}
