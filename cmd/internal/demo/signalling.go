package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// signalling talks to the participants' door of one room.
type signalling struct {
	client            *http.Client
	base, room, token string
}

// errRefused is wrapped by a refusal that waiting does not change.
var errRefused = errors.New("the server refuses")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// join posts an offer and answers the SDP answer and where the session is.
func (s *signalling) join(ctx context.Context, name, offer string) (answer, location string, err error) {
	address := s.base + "/v1/rooms/" + url.PathEscape(s.room) + "/participants?name=" + url.QueryEscape(name)
	res, body, err := s.do(ctx, http.MethodPost, address, "application/sdp", offer)
	if err != nil {
		return "", "", fmt.Errorf("join: %w", err)
	}
	if res.StatusCode != http.StatusCreated {
		return "", "", fmt.Errorf("join: %w", refusal(res, body))
	}
	at, err := res.Request.URL.Parse(res.Header.Get("Location"))
	if err != nil || res.Header.Get("Location") == "" {
		return "", "", fmt.Errorf("join: the answer names no session: Location %q", res.Header.Get("Location"))
	}
	return string(body), at.String(), nil
}

// leave ends a session; that it has ended already is no error.
func (s *signalling) leave(ctx context.Context, location string) error {
	res, body, err := s.do(ctx, http.MethodDelete, location, "", "")
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if res.StatusCode/100 != 2 && res.StatusCode != http.StatusNotFound {
		return fmt.Errorf("leave: %w", refusal(res, body))
	}
	return nil
}

func (s *signalling) do(ctx context.Context, method, address, contentType, body string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res, read, err
}

// refusal answers what a problem document (RFC 9457) says.
func refusal(res *http.Response, body []byte) error {
	var problem struct{ Title, Detail, Code string }
	text := res.Status
	if json.NewDecoder(bytes.NewReader(body)).Decode(&problem) == nil && problem.Code != "" {
		text = fmt.Sprintf("%s: %s: %s", res.Status, problem.Code, problem.Detail)
	}
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return fmt.Errorf("%w: %s", errRefused, text)
	}
	return errors.New(text)
}

// backoff answers how long to wait before attempt n, from 1: doubling from half
// a second to ten, and for each person (by index) a little else, so that not all
// come back at once.
func backoff(n, index int) time.Duration {
	wait := min(500*time.Millisecond<<min(n-1, 10), 10*time.Second)
	return wait + wait*time.Duration(index%16)/32
}
