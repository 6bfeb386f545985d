package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Headers between members.
const (
	KeyHeader         = "Tutti-Cluster-Key"
	memberHeader      = "Tutti-Member"
	incarnationHeader = "Tutti-Incarnation"
)

const (
	peerTime  = 250 * time.Millisecond // for a member to answer a question
	dials     = 3                      // that must be refused before a process counts as gone
	dialPause = 30 * time.Millisecond  // between two of them
	maxAnswer = 64 << 10               // bytes of a question or an answer
)

// Question is what one member asks another, about an incarnation.
type Question struct {
	Node        string      `json:"node"`
	Incarnation Incarnation `json:"incarnation"`
	// Room is what is to be held; only for a hold.
	Room string `json:"room,omitempty"`
}

// Answer is a member's word. Who counts it must see that Name is whom it asked:
// an address may have passed to another member.
type Answer struct {
	Name string `json:"name"`
	Yes  bool   `json:"yes"`
	// Live is the revision of the answering member's live entry: a grant holds
	// for as long as the store has it.
	Live int64 `json:"live,omitempty"`
}

// ask is a kind of question: the last part of its path.
type ask string

const (
	askAway  ask = "away"
	askGrant ask = "grant"
	askHold  ask = "hold"
)

// peers is how a member reaches the others. The simulation has its own.
type peers interface {
	// Ask puts a question to the member at an address.
	Ask(ctx context.Context, address string, kind ask, q Question) (Answer, error)
	// Alive answers who is at an address.
	Alive(ctx context.Context, address string) (name string, i Incarnation, err error)
	// Refuses reports whether nobody listens at an address: the process is gone.
	Refuses(ctx context.Context, address string) bool
}

// httpPeers reaches members by HTTP with the cluster's key.
type httpPeers struct {
	key    string
	client *http.Client
}

func newHTTPPeers(key string) *httpPeers {
	return &httpPeers{key: key, client: &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: peerTime}).DialContext,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
	}}}
}

// Ask implements peers.
func (p *httpPeers) Ask(ctx context.Context, address string, kind ask, q Question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	resp, err := p.do(ctx, http.MethodPost, address+"/cluster/v1/"+string(kind), bytes.NewReader(encode(q)))
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	var answer Answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return Answer{}, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return answer, nil
}

// Alive implements peers. The request ends with the answer's headers.
func (p *httpPeers) Alive(ctx context.Context, address string) (string, Incarnation, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	resp, err := p.do(ctx, http.MethodGet, address+"/cluster/v1/alive", nil)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	return resp.Header.Get(memberHeader), Incarnation(resp.Header.Get(incarnationHeader)), nil
}

func (p *httpPeers) do(ctx context.Context, method, target string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set(KeyHeader, p.key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answers %s", target, resp.Status)
	}
	return resp, nil
}

// Refuses implements peers.
func (p *httpPeers) Refuses(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	for i := range dials {
		if i > 0 {
			time.Sleep(dialPause)
		}
		conn, err := (&net.Dialer{Timeout: peerTime}).DialContext(ctx, "tcp", host)
		if err == nil {
			conn.Close()
			return false
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
	}
	return true
}
