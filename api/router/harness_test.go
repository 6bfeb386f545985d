package router

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/api/cluster"
	"tutti/api/metrics"
	"tutti/api/router/rules"
	"tutti/mixer"
)

const testKey = "the key of the cluster"

// world is a router with a store in memory and nodes that are functions. All of
// it lives in the virtual time of a test.
type world struct {
	t      *testing.T
	store  *cluster.Memory
	view   *cluster.View
	agent  *fakeAgent
	router *Router
	log    *lockedBuffer
	began  time.Time
	token  auth.Key

	mu    sync.Mutex
	nodes map[string]*fakeNode
}

// inWorld runs a test in virtual time, with a router whose drivers run if run is set.
func inWorld(t *testing.T, run bool, change func(*Config), nodes []string, test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: cluster.NewMemory(), nodes: map[string]*fakeNode{}, log: &lockedBuffer{}, began: time.Now()}
		now := func() time.Duration { return time.Since(w.began) + time.Hour }
		log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		w.store = cluster.NewMemoryAt(now)
		w.view = cluster.NewViewAt(w.store, log, now)
		w.agent = &fakeAgent{w: w}
		var err error
		if w.token, err = auth.NewHMAC("k1", []byte("a secret that is long enough for HS256")); err != nil {
			t.Fatal(err)
		}
		verifier, err := auth.NewVerifier(w.token)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{
			Name: "router-1", View: w.view, Store: w.store, Agent: w.agent, Key: testKey, Auth: verifier, Dev: true,
			Transport: w, Dial: w.dial, Metrics: metrics.New(nil, "test"), Log: log, Boottime: now, Version: "test",
		}
		if change != nil {
			change(&cfg)
		}
		if w.router, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		for _, name := range nodes {
			w.join(name)
		}
		w.enter("router-1", cluster.RouterRole, "r1")
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.view.Run(ctx) }) // it ends with ctx, and says so
		if run {
			running.Go(func() { _ = w.router.Run(ctx) })
		}
		<-w.view.Ready()
		synctest.Wait()
		defer func() {
			w.router.Close()
			cancel()
			w.mu.Lock()
			for _, n := range w.nodes {
				n.kill()
			}
			w.mu.Unlock()
			running.Wait()
			time.Sleep(10 * time.Second) // what the test began ends
			_ = w.store.Close()
			if t.Failed() {
				t.Log(w.log.String())
			}
		}()
		test(w)
	})
}

// put writes a record into the store.
func (w *world) put(key string, record any) {
	w.t.Helper()
	value, err := json.Marshal(record)
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit(cluster.Write{Key: key, Value: value})
}

func (w *world) commit(writes ...cluster.Write) {
	w.t.Helper()
	if _, err := w.store.Commit(w.t.Context(), nil, writes); err != nil {
		w.t.Error(err)
	}
	time.Sleep(time.Nanosecond) // until everybody has heard of it: unlike Wait, several goroutines may
}

// join adds a node that lives.
func (w *world) join(name string) *fakeNode {
	n := &fakeNode{w: w, name: name, run: cluster.Incarnation(name + "-1"), rooms: map[string]cluster.Epoch{}, dead: make(chan struct{})}
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	n.register()
	return n
}

func (n *fakeNode) register() { n.w.enter(n.name, cluster.NodeRole, n.run) }

// enter writes both entries of a member that lives, in one commit as it does.
func (w *world) enter(name string, role cluster.Role, i cluster.Incarnation) {
	w.t.Helper()
	address := "http://" + name + ".test:80"
	var writes []cluster.Write
	for key, record := range map[string]any{
		cluster.MemberKey(name): cluster.Member{Name: name, Role: role, Address: address, Since: w.began, Incarnation: i},
		cluster.LiveKey(name): cluster.Live{
			Name: name, Role: role, Incarnation: i, Address: address, State: cluster.Active, Since: w.began, Labels: map[string]string{"name": name},
		},
	} {
		value, err := json.Marshal(record)
		if err != nil {
			w.t.Fatal(err)
		}
		writes = append(writes, cluster.Write{Key: key, Value: value})
	}
	w.commit(writes...)
}

// own puts a room on a node, in the directory and there.
func (w *world) own(room, node string) cluster.Epoch { return w.ownBy(room, node, "") }

// ownBy says by which rule, too.
func (w *world) ownBy(room, node, rule string) cluster.Epoch {
	n := w.node(node)
	n.mu.Lock()
	epoch := cluster.Epoch(2 * (len(n.rooms) + 1))
	n.rooms[room] = epoch
	n.mu.Unlock()
	w.put(cluster.RoomKey(room), cluster.Room{
		ID: room, Owner: cluster.Owner{Node: node, Incarnation: n.run, Epoch: epoch},
		Settings: mixer.DefaultSettings(), Rule: rule, CreatedAt: w.began,
	})
	return epoch
}

func (w *world) node(name string) *fakeNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[name]
}

// leaseEnds takes away a node's live entry, as the end of its lease does.
func (w *world) leaseEnds(name string) { w.commit(cluster.Write{Key: cluster.LiveKey(name)}) }

// fakeNode is a node: it knows its rooms and answers for them.
type fakeNode struct {
	w    *world
	name string
	run  cluster.Incarnation

	mu     sync.Mutex
	rooms  map[string]cluster.Epoch
	seen   []*http.Request // with their bodies
	bodies []string
	down   bool // its port refuses
	stands bool // it answers nothing
	dead   chan struct{}
	// answer goes before all the rest where it is set; false: the rest
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// kill ends a node's process: its port refuses, its connections break.
func (n *fakeNode) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.down {
		n.down = true
		close(n.dead)
	}
}

// last answers the newest request that the node got under /v1.
func (n *fakeNode) last() *http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) == 0 {
		return nil
	}
	return n.seen[len(n.seen)-1]
}

// does lets something of the node go otherwise while others ask it.
func (n *fakeNode) does(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *fakeNode) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen)
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(headerKey) != testKey {
		problem(w, 403, "forbidden")
		return
	}
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		n.seen, n.bodies = append(n.seen, r), append(n.bodies, string(body))
	}
	answer, stands := n.answer, n.stands
	n.mu.Unlock()
	if stands {
		<-r.Context().Done()
		return
	}
	if answer != nil && answer(w, r) {
		return
	}
	switch {
	case r.URL.Path == alivePath:
		w.WriteHeader(200)
		select {
		case <-r.Context().Done():
		case <-n.dead:
			panic(http.ErrAbortHandler)
		}
	case strings.HasSuffix(r.URL.Path, "/take"):
		n.take(w, strings.Split(r.URL.Path, "/")[4], body)
	case strings.HasPrefix(r.URL.Path, roomsPath) || r.URL.Path == "/v1/rooms":
		n.room(w, r)
	default:
		w.WriteHeader(200)
	}
}

// room answers for one room; a new one is made and entered in the directory by
// the node itself.
func (n *fakeNode) room(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(headerRoom)
	n.mu.Lock()
	_, has := n.rooms[id]
	n.mu.Unlock()
	if !has {
		if r.Method != http.MethodPut && r.Method != http.MethodPost {
			problem(w, 404, "room_not_found")
			return
		}
		n.w.ownBy(id, n.name, r.Header.Get(headerRule))
		w.Header().Set("Location", roomsPath+id)
		w.WriteHeader(201)
	}
	fmt.Fprintf(w, "%s on %s", id, n.name)
}

func (n *fakeNode) take(w http.ResponseWriter, id string, body []byte) {
	var q struct {
		From    cluster.Owner
		Planned bool
	}
	if err := json.Unmarshal(body, &q); err != nil {
		problem(w, 400, "invalid_json")
		return
	}
	e, ok := n.w.view.Room(id)
	if !ok || e.Owner != q.From {
		problem(w, 409, "conflict")
		return
	}
	next := e.Room
	next.Owner = cluster.Owner{Node: n.name, Incarnation: n.run, Epoch: e.Epoch + 2}
	if q.Planned {
		next.Previous = &e.Owner
	}
	n.mu.Lock()
	n.rooms[id] = next.Epoch
	n.mu.Unlock()
	value, _ := json.Marshal(next)
	if _, err := n.w.store.Commit(context.Background(), []cluster.Condition{{Key: cluster.RoomKey(id), Modified: e.Modified}}, []cluster.Write{{Key: cluster.RoomKey(id), Value: value}}); err != nil {
		problem(w, 409, "conflict")
		return
	}
	fmt.Fprintf(w, `{"epoch":%d}`, next.Epoch)
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"code":%q}`, status, code)
}

// RoundTrip carries a request to a node, in this process.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(r.URL.Host, ".")
	n := w.node(name)
	if _, err := w.dial(r.Context(), "tcp", r.URL.Host); err != nil {
		return nil, err
	}
	return carry(n, r, n.dead)
}

// dial tries a node's port.
func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ".")
	n := w.node(name)
	if n == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	a, b := net.Pipe()
	_ = b.Close() // nobody speaks on it
	return a, nil
}

// carry lets a handler answer a request, piece by piece, until it is done, the
// request ends or dead is closed. A handler that panics breaks the connection.
func carry(h http.Handler, r *http.Request, dead <-chan struct{}) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	if in.RemoteAddr == "" {
		in.RemoteAddr = "127.0.0.1:999"
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	read, write := io.Pipe()
	rw := &pipeWriter{header: http.Header{}, out: write, begun: make(chan *http.Response, 1), broken: make(chan struct{}), body: read}
	go func() {
		defer cancel()
		defer func() {
			if recover() != nil {
				close(rw.broken)
				_ = write.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			rw.WriteHeader(200)
			_ = write.Close()
		}()
		h.ServeHTTP(rw, in)
	}()
	go func() {
		select {
		case <-ctx.Done():
		case <-dead:
		}
		cancel()
		if ctx.Err() != nil && r.Context().Err() != nil {
			_ = read.CloseWithError(r.Context().Err())
		}
	}()
	select {
	case res := <-rw.begun:
		res.Request = r
		return res, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-dead:
		return nil, io.ErrUnexpectedEOF
	case <-rw.broken:
	}
	select {
	case res := <-rw.begun: // it broke in the middle
		res.Request = r
		return res, nil
	default:
		return nil, io.ErrUnexpectedEOF
	}
}

// pipeWriter is a response whose body is a pipe.
type pipeWriter struct {
	header http.Header
	out    *io.PipeWriter
	body   *io.PipeReader
	once   sync.Once
	begun  chan *http.Response
	broken chan struct{}
}

func (p *pipeWriter) Header() http.Header { return p.header }
func (p *pipeWriter) Flush()              { p.WriteHeader(200) }

func (p *pipeWriter) WriteHeader(status int) {
	p.once.Do(func() {
		p.begun <- &http.Response{StatusCode: status, Status: http.StatusText(status), Header: p.header.Clone(), Body: p.body, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	})
}

func (p *pipeWriter) Write(b []byte) (int, error) {
	p.WriteHeader(200)
	return p.out.Write(b)
}

// fakeAgent certifies whatever it is told to, but by grants only what is away.
type fakeAgent struct {
	w *world

	mu    sync.Mutex
	no    error // it does not certify
	asked []string
}

func (a *fakeAgent) Certify(ctx context.Context, node string, e cluster.Evidence) error {
	a.mu.Lock()
	a.asked = append(a.asked, node+" "+string(e))
	no := a.no
	a.mu.Unlock()
	if no != nil {
		return no
	}
	n, ok := a.w.view.Member(node)
	if !ok {
		return cluster.ErrNoMember
	}
	if e == cluster.Granted && n.Live != nil {
		return cluster.ErrNotProven
	}
	death, err := json.Marshal(cluster.Death{Node: node, Incarnation: n.Member.Incarnation, Evidence: e, By: "router-1", At: time.Now()})
	if err != nil {
		return err
	}
	_, err = a.w.store.Commit(ctx, nil, []cluster.Write{
		{Key: cluster.DeathKey(node, n.Member.Incarnation), Value: death}, {Key: cluster.MemberKey(node)}, {Key: cluster.LiveKey(node)},
	})
	return err
}

func (a *fakeAgent) had(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.asked, what)
}

// all answers what deaths it was asked to certify.
func (a *fakeAgent) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// says lets it certify nothing for a reason, or with nil what it is asked.
func (a *fakeAgent) says(no error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.no = no
}

// answered is what a client got.
type answered struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request to the router as a client of this machine.
func (w *world) do(method, path, body string, headers ...string) *answered {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.router.Handler().ServeHTTP(rec, r.WithContext(w.t.Context()))
	return &answered{w.t, rec.Code, rec.Header(), rec.Body.String()}
}

func (a *answered) is(status int) *answered {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (a *answered) problem(status int, code string) *answered {
	a.t.Helper()
	a.is(status)
	if got := codeOf([]byte(a.body)); got != code || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("code %q (%s), want %q", got, a.header.Get("Content-Type"), code)
	}
	return a
}

func (a *answered) says(text string) *answered {
	a.t.Helper()
	if !strings.Contains(a.body, text) {
		a.t.Fatalf("%q lacks %q", a.body, text)
	}
	return a
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// putReal writes a record where no virtual time runs.
func (w *world) putReal(key string, record any) {
	w.t.Helper()
	value, err := json.Marshal(record)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Commit(w.t.Context(), nil, []cluster.Write{{Key: key, Value: value}}); err != nil {
		w.t.Fatal(err)
	}
}

// realConfig is that of a router with real connections.
func realConfig(t *testing.T, store cluster.Store) Config {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	return Config{
		Name: "router-1", View: cluster.NewView(store, log), Store: store, Agent: &fakeAgent{}, Key: testKey, Dev: true,
		Metrics: metrics.New(nil, "test"), Log: log,
	}
}

func mustRules(t *testing.T, text string) *rules.Rules {
	t.Helper()
	r, err := rules.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
