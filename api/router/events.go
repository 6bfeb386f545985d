package router

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/mixer"
)

// Bounds of the merged stream.
const (
	maxLine     = 64 << 10 // bytes of a line of one event of a node
	maxPosition = 16 << 10 // bytes of a Last-Event-ID
	eventsAgain = 300 * time.Millisecond
	// shortRun is how much of an incarnation stands in a position: enough to tell
	// two runs of one node apart.
	shortRun = 8
)

// place is how far the events of one run of a node have been read.
type place struct {
	run   string // the beginning of the incarnation
	total uint64
}

// position is how far the events of all nodes have been read. As text it is the
// id of an event: node.run.number, with commas between.
type position map[string]place

func (p position) String() string {
	var b strings.Builder
	for _, node := range slices.Sorted(maps.Keys(p)) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s.%s.%d", node, p[node].run, p[node].total)
	}
	return b.String()
}

var errPosition = errors.New("router: it is no id of an event")

// parsePosition reads the id of an event of the merged stream.
func parsePosition(text string) (position, error) {
	p := position{}
	if len(text) > maxPosition {
		return nil, errPosition
	}
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(part, ".")
		if len(fields) != 3 || !mixer.ValidID(fields[0]) || len(fields[1]) > shortRun || fields[1] != "" && !mixer.ValidID(fields[1]) {
			return nil, errPosition
		}
		n, err := strconv.ParseUint(fields[2], 10, 64)
		if _, twice := p[fields[0]]; err != nil || twice {
			return nil, errPosition
		}
		p[fields[0]] = place{fields[1], n}
	}
	return p, nil
}

func runOf(t target) string { return string(t.incarnation[:min(shortRun, len(t.incarnation))]) }

// resumeAfter answers how far the reader has read; resumed is false for one who
// begins with what happens next.
func resumeAfter(c echo.Context) (p position, resumed bool, err error) {
	if text := c.Request().Header.Get("Last-Event-ID"); text != "" {
		if p, err = parsePosition(text); err != nil {
			return nil, false, api.Blame("invalid_field", "Last-Event-ID", "Last-Event-ID must be the id of an event")
		}
		return p, true, nil
	}
	if !c.QueryParams().Has("after") {
		return position{}, false, nil
	}
	if p, err = parsePosition(c.QueryParam("after")); err != nil {
		return nil, false, api.Blame("invalid_query", "after", "after must be the id of an event")
	}
	return p, true, nil
}

// event is one event of a node.
type event struct {
	node, run  string
	total      uint64
	kind, data string
}

// events answers GET /v1/events: the streams of all nodes, merged as they come.
// Each event's id says how far the reader is with every node.
func (r *Router) events(c echo.Context) error {
	at, resumed, err := resumeAfter(c)
	if err != nil {
		return err
	}
	ctx, cancel := r.gate.StreamContext(c)
	defer cancel()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events back
	w := newPieces(c.Response(), r.cfg.WriteTimeout)
	w.WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	if _, err := io.WriteString(w, "retry: 1000\n\n"); err != nil {
		return nil
	}
	w.Flush()
	m := &merge{r: r, c: c, from: maps.Clone(at), resumed: resumed, out: make(chan event)}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel() // before it is waited
	readers.Go(func() { m.follow(ctx) })
	m.write(ctx, w, at)
	return nil
}

// merge reads the events of all nodes for one reader.
type merge struct {
	r       *Router
	c       echo.Context
	from    position // where the reader began; not written
	resumed bool
	out     chan event // unbuffered: who reads slowly slows the nodes' streams alone
}

// write sends events to the reader until ctx ends or the reader is gone.
func (m *merge) write(ctx context.Context, w *pieces, at position) {
	beat := time.NewTicker(m.r.cfg.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e := <-m.out:
			at[e.node] = place{e.run, e.total}
			if e.kind == "" {
				continue
			}
			_, err = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", at, e.kind, e.data)
		case <-beat.C:
			_, err = io.WriteString(w, ": alive\n\n")
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		w.Flush()
	}
}

// follow reads every node that lives, also those that come later.
func (m *merge) follow(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	known := map[tenureOf]bool{}
	for first := true; ctx.Err() == nil; first = false {
		next := m.r.changed.next()
		for _, to := range m.r.alive() {
			k := tenureOf{to.node, to.incarnation}
			if known[k] {
				continue
			}
			known[k] = true
			after := place{run: runOf(to)}
			begin := !first || m.resumed // of a node that has come since, everything is new
			if was, ok := m.from[to.node]; ok && was.run == after.run {
				after.total = was.total
			}
			readers.Go(func() { m.read(ctx, to, after.total, begin) })
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}

// read reads one run of a node, again and again where the stream breaks. begin:
// what happened after number after is wanted, not only what happens next.
func (m *merge) read(ctx context.Context, to target, after uint64, begin bool) {
	for ctx.Err() == nil && !m.r.gone(to) {
		last, err := m.stream(ctx, to, after, begin)
		if last > after {
			after, begin = last, true
		}
		m.r.log.Debug("events of a node have ended", "node", to.node, "error", err)
		pause(ctx, eventsAgain)
	}
}

// stream reads one stream of a node's events, and answers the number of the last.
func (m *merge) stream(ctx context.Context, to target, after uint64, begin bool) (last uint64, err error) {
	last = after
	path := "/v1/events"
	if begin {
		path += "?after=" + strconv.FormatUint(after, 10)
	}
	ctx, release := m.r.during(ctx, to)
	defer release()
	req, err := m.r.inNameOf(ctx, m.c, to, path)
	if err != nil {
		return last, err
	}
	res, err := m.r.cfg.Transport.RoundTrip(req)
	if err != nil {
		return last, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return last, fmt.Errorf("router: events of %s: status %d", to.node, res.StatusCode)
	}
	if n, err := strconv.ParseUint(res.Header.Get(headerEvent), 10, 64); err == nil && !begin {
		last = n
		select { // so that who comes back goes on from here
		case m.out <- event{node: to.node, run: runOf(to), total: n}:
		case <-ctx.Done():
		}
	}
	lines := bufio.NewReaderSize(res.Body, maxLine)
	for {
		e, err := readEvent(lines)
		if err != nil {
			return last, err
		}
		last = e.total
		e.node, e.run = to.node, runOf(to)
		select {
		case m.out <- e:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// readEvent reads the next event that has a number (WHATWG HTML, 9.2.6).
func readEvent(lines *bufio.Reader) (e event, err error) {
	has := false
	for {
		line, err := lines.ReadSlice('\n') // fails where it is too long
		if err != nil {
			return e, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case text == "":
			if has && e.kind != "" && e.data != "" {
				return e, nil
			}
			e, has = event{}, false
		case name == "id":
			e.total, err = strconv.ParseUint(value, 10, 64)
			has = err == nil
		case name == "event":
			e.kind = value
		case name == "data":
			e.data = value // ours have one line
		}
	}
}
