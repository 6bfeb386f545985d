package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/assets/speech"
)

// Kind is what a stream carries.
type Kind int

// The kinds of streams that are counted.
const (
	Sound   Kind = iota // Opus
	Picture             // VP8
	again               // packets sent again, counted apart
	unknown
	kinds = again // that are counted as streams
)

// clockRate is in Hz.
func (k Kind) clockRate() int {
	if k == Sound {
		return 48000
	}
	return 90000
}

// Config says what the clients of a load are; the zero value makes clients that
// nothing is offered for.
type Config struct {
	// Local is the address of this host, IPv4, that both the clients and the server
	// are on; the zero value stands for 127.0.0.1.
	Local netip.Addr
	// Voice is what the i-th client says, a packet each Interval, again and again
	// from its beginning; nil, or an answer without packets, for a client that sends
	// nothing. A packet without Opus is a pause: its time passes, nothing is sent, as
	// by a client with discontinuous transmission.
	Voice func(i int) []speech.Packet
	// Listen and Watch let the clients receive sound and picture.
	Listen, Watch bool
	// Feedback offers transport-wide feedback for what is sent, as browsers do
	// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
	Feedback bool
	// Late is how much later than the fastest of its stream a packet may come before
	// it counts as late; 0 stands for 100 ms.
	Late time.Duration
	// Joining is how many clients join at the same time; 0 stands for 8.
	Joining int
	// OnSound is told every packet of sound that the i-th client receives, decrypted,
	// by the thread that reads: it may not keep it, take its time nor call the load.
	// May be nil.
	OnSound func(i int, at time.Time, payload []byte)
	// OnSaid is told every packet of sound that the i-th client says, before its link
	// (SetUp), on the same terms as OnSent. May be nil.
	OnSaid func(i int, at time.Time, payload []byte)
	// OnSent is told every protected datagram that the i-th client sends after the
	// handshake, by the thread that sends: it may not keep it, take its time nor call
	// the load. May be nil.
	OnSent func(i int, datagram []byte)
}

// Interval is the time between two packets that a client sends.
const Interval = 20 * time.Millisecond

// Join takes a client's offer to a server: it answers the server's answer and
// what ends the session there, which may be nil.
type Join func(ctx context.Context, i int, offer string) (answer string, leave func(context.Context), err error)

// Load is a crowd of clients.
type Load struct {
	cfg    Config
	cert   webrtc.Certificate // of all clients: a key for each would cost more than the rest
	loop   *loop
	sender *sender

	began  time.Time
	life   context.Context // of those who follow their rooms
	end    context.CancelFunc
	guests sync.WaitGroup

	mu      sync.Mutex
	clients []*Client
}

// New answers a load without clients; Close ends it.
func New(cfg Config) (*Load, error) {
	if cfg.Late == 0 {
		cfg.Late = 100 * time.Millisecond
	}
	if cfg.Joining == 0 {
		cfg.Joining = 8
	}
	if !cfg.Local.IsValid() {
		cfg.Local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("load: make key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("load: make certificate: %w", err)
	}
	l := &Load{cfg: cfg, cert: *cert, began: time.Now()}
	l.life, l.end = context.WithCancel(context.Background())
	if l.loop, err = newLoop(); err != nil {
		return nil, err
	}
	l.sender = newSender()
	return l, nil
}

// Add joins n more clients and returns when media may flow for all of them.
// Clients that have joined stay when another fails.
func (l *Load) Add(ctx context.Context, n int, join Join) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	first := len(l.clients)
	l.clients = append(l.clients, make([]*Client, n)...)
	l.mu.Unlock()
	next := make(chan int)
	var work sync.WaitGroup
	var failed sync.Once
	var why error
	for range min(l.cfg.Joining, n) {
		work.Go(func() {
			for i := range next {
				c, err := l.join(ctx, i, join)
				if err != nil {
					failed.Do(func() { why = fmt.Errorf("client %d: %w", i, err) })
					cancel()
					continue
				}
				l.mu.Lock()
				l.clients[i] = c
				l.mu.Unlock()
			}
		})
	}
	for i := first; i < first+n; i++ {
		next <- i
	}
	close(next)
	work.Wait()
	return why
}

// all answers the clients that have joined.
func (l *Load) all() []*Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*Client
	for _, c := range l.clients {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

// Client answers the i-th client, or nil where it has not joined.
func (l *Load) Client(i int) *Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < 0 || i >= len(l.clients) {
		return nil
	}
	return l.clients[i]
}

// Close lets all clients leave and waits until nothing of them is left.
func (l *Load) Close() error {
	l.mu.Lock()
	l.end()
	l.mu.Unlock()
	l.guests.Wait()
	l.sender.close()
	clients := l.all()
	errs := make([]error, len(clients))
	var work sync.WaitGroup
	turn := make(chan struct{}, l.cfg.Joining)
	for i, c := range clients {
		work.Go(func() {
			turn <- struct{}{}
			errs[i] = c.close()
			<-turn
		})
	}
	work.Wait()
	l.mu.Lock()
	l.clients = nil
	l.mu.Unlock()
	return errors.Join(append(errs, l.loop.close())...)
}
