package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// ErrRefused is wrapped by a refusal that waiting does not change, such as that
// of a token.
var ErrRefused = errors.New("the server refuses")

// Bounds of a request.
const (
	maxAnswer = 1 << 20          // bytes that are read of an answer
	patience  = 15 * time.Second // for an answer
)

// Door is the way into one room, and all that is asked there. Its methods may be
// called from any goroutine.
type Door struct {
	// Client makes the requests; it must have no time limit of its own, as a stream
	// of events has none. nil for http.DefaultClient.
	Client *http.Client
	// Base is the server's address, such as http://127.0.0.1:8080.
	Base string
	// Room is the room's identifier, Token the bearer token or nothing.
	Room, Token string
	// Entrance is the resource that sessions are made at; nothing for participants,
	// who send and receive.
	Entrance string
}

// Offer is what a session is asked for with.
type Offer struct {
	SDP  string
	Name string
	// Resumes is the participant whose place this one takes, or nothing.
	Resumes string
}

// Place is a session on the server.
type Place struct {
	Participant string // its identifier
	Location    string // its absolute address
	Answer      string // SDP
}

// Refusal is an answer that is no success (RFC 9457).
type Refusal struct {
	Status     int
	Code       string        // stable word; empty where the answer was no problem document
	Detail     string        // in plain words
	RetryAfter time.Duration // what the server asks to wait; 0 for nothing
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))
	if r.Code != "" {
		text += ": " + r.Code + ": " + r.Detail
	}
	return text
}

// Is reports whether the refusal is one of those that waiting does not change.
func (r *Refusal) Is(target error) bool {
	if target != ErrRefused {
		return false
	}
	switch r.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}

// Join takes an offer to the room; what it answers is to be left.
func (d *Door) Join(ctx context.Context, o Offer) (Place, error) {
	query := url.Values{}
	if o.Name != "" {
		query.Set("name", o.Name)
	}
	if o.Resumes != "" {
		query.Set("resumes", o.Resumes)
	}
	entrance := d.Entrance
	if entrance == "" {
		entrance = "participants"
	}
	address := d.at(entrance)
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	res, body, err := d.ask(ctx, http.MethodPost, address, o.SDP)
	if err != nil {
		return Place{}, fmt.Errorf("join: %w", err)
	}
	at, err := res.Request.URL.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusCreated || res.Header.Get("Location") == "" {
		return Place{}, fmt.Errorf("join: the answer names no session: %s, Location %q", res.Status, res.Header.Get("Location"))
	}
	return Place{Participant: path.Base(at.Path), Location: at.String(), Answer: string(body)}, nil
}

// Leave ends a session; that it has ended already is no error.
func (d *Door) Leave(ctx context.Context, location string) error {
	_, _, err := d.ask(ctx, http.MethodDelete, location, "")
	if refusal, ok := errors.AsType[*Refusal](err); err == nil || ok && refusal.Status == http.StatusNotFound {
		return nil
	}
	return fmt.Errorf("leave: %w", err)
}

// Look answers nil where the server knows the session.
func (d *Door) Look(ctx context.Context, location string) error {
	if _, _, err := d.ask(ctx, http.MethodGet, location, ""); err != nil {
		return fmt.Errorf("look for the session: %w", err)
	}
	return nil
}

// at answers the address of a resource of the room.
func (d *Door) at(resource string) string {
	return strings.TrimRight(d.Base, "/") + "/v1/rooms/" + url.PathEscape(d.Room) + "/" + resource
}

// ask makes a request with an SDP as its body, or none, and reads the answer. What is no success is
// a *Refusal.
func (d *Door) ask(ctx context.Context, method, address, offer string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := d.request(ctx, method, address, offer)
	if err != nil {
		return nil, nil, err
	}
	res, err := d.client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, nil, refusal(res, body)
	}
	return res, body, nil
}

func (d *Door) request(ctx context.Context, method, address, offer string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(offer))
	if err != nil {
		return nil, err
	}
	if offer != "" {
		req.Header.Set("Content-Type", "application/sdp")
	}
	if d.Token != "" {
		req.Header.Set("Authorization", "Bearer "+d.Token)
	}
	return req, nil
}

func (d *Door) client() *http.Client {
	if d.Client == nil {
		return http.DefaultClient
	}
	return d.Client
}

// refusal reads what is no success. A body that is no problem document, as of a
// proxy in between, leaves the status to speak.
func refusal(res *http.Response, body []byte) *Refusal {
	r := &Refusal{Status: res.StatusCode, RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	var problem struct{ Code, Detail string }
	if json.NewDecoder(bytes.NewReader(body)).Decode(&problem) == nil {
		r.Code, r.Detail = problem.Code, problem.Detail
	}
	return r
}

// longestRetryAfter bounds what a server may ask to wait.
const longestRetryAfter = time.Hour

// retryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3); 0 for
// what is neither.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, longestRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), longestRetryAfter)
	}
	return 0
}
