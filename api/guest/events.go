package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Event is what of a room's event concerns a guest.
type Event struct {
	Type        string `json:"type"`
	Participant struct {
		ID string `json:"id"`
	} `json:"participant"`
	Reason string `json:"reason"`
	Move   Move   `json:"move"` // of a room_moved
}

// Move is what a room that goes to another node asks of its guests, in
// milliseconds from the event.
type Move struct {
	// JoinWithinMS is the time in which they open their new sessions, each at a
	// random moment.
	JoinWithinMS int `json:"join_within_ms"`
	// LeaveAfterMS is when they leave the old ones, if the new ones are there.
	LeaveAfterMS int `json:"leave_after_ms"`
}

// idle is how long a stream may be without a line; the server says that it is
// there every 15 s.
const idle = time.Minute

// maxLine is the longest line of a stream, in bytes.
const maxLine = 1 << 20

// Events reads the room's events, those after the one that has the identifier
// after if one is given, and tells each with its own, until ctx ends or the stream
// does. It answers why, never nil; a *Refusal where the server will not have it.
func (d *Door) Events(ctx context.Context, after string, tell func(id string, e Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(idle, cancel)
	defer watchdog.Stop()
	req, err := d.request(ctx, http.MethodGet, d.at("events"), "")
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := d.client().Do(req)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // the status says enough
		return fmt.Errorf("read events: %w", refusal(res, body))
	}
	err = readEvents(res.Body, func() { watchdog.Reset(idle) }, tell)
	return fmt.Errorf("read events: %w", err)
}

// readEvents reads a stream of server-sent events (WHATWG HTML, section 9.2.6)
// whose lines end with LF or CR LF. alive is called for each line. What is no JSON
// object is passed over.
func readEvents(r io.Reader, alive func(), tell func(id string, e Event)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	var id string
	var data []string
	for lines.Scan() {
		alive()
		line := lines.Text()
		if line == "" {
			var e Event
			if data != nil && json.Unmarshal([]byte(strings.Join(data, "\n")), &e) == nil {
				tell(id, e)
			}
			data = nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "data":
			data = append(data, value)
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}
