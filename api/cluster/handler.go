package cluster

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"tutti/mixer"
)

// TakeRequest is the body of POST /cluster/v1/rooms/{room}/take.
type TakeRequest struct {
	From    Owner `json:"from"`
	Planned bool  `json:"planned"`
}

// TakeAnswer is what it answers with 200.
type TakeAnswer struct {
	Epoch Epoch `json:"epoch"`
}

// Problem is what the cluster's handler answers where it refuses.
type Problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Owner  *Owner `json:"owner,omitempty"` // of the room, with conflict
}

// takeTime bounds a take: the store and the host have to answer.
const takeTime = 10 * time.Second

var (
	errForbidden = &refusal{"forbidden", "the cluster's key is missing or wrong"}
	errMalformed = &refusal{"invalid_json", "the body is no such question"}
)

// statuses are those of the codes that this handler answers.
var statuses = map[string]int{
	"forbidden": http.StatusForbidden, "invalid_json": http.StatusBadRequest, "invalid_id": http.StatusBadRequest,
	"conflict": http.StatusConflict, "room_not_found": http.StatusNotFound,
}

// Handler answers the other members under /cluster/v1/: away, grant, hold,
// rooms/{room}/take and alive. Each request needs the cluster's key.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, kind := range []ask{askAway, askGrant, askHold} {
		mux.HandleFunc("POST /cluster/v1/"+string(kind), func(w http.ResponseWriter, r *http.Request) { a.serveAsk(w, r, kind) })
	}
	mux.HandleFunc("POST /cluster/v1/rooms/{room}/take", a.serveTake)
	mux.HandleFunc("GET /cluster/v1/alive", a.serveAlive)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.trusts(r) {
			answerProblem(w, errForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// trusts reports whether a request comes from a member.
func (a *Agent) trusts(r *http.Request) bool {
	given := r.Header.Get(KeyHeader)
	if a.cfg.Key == "" {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		ip := net.ParseIP(host)
		return a.cfg.Dev && err == nil && ip != nil && ip.IsLoopback() && given == ""
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(a.cfg.Key)) == 1
}

func (a *Agent) serveAsk(w http.ResponseWriter, r *http.Request, kind ask) {
	q, err := parseQuestion(http.MaxBytesReader(w, r.Body, maxAnswer), kind)
	if err != nil {
		answerProblem(w, err)
		return
	}
	answerJSON(w, http.StatusOK, a.answer(kind, q))
}

// parseQuestion reads a question of a kind.
func parseQuestion(body io.Reader, kind ask) (Question, error) {
	var q Question
	if err := json.NewDecoder(body).Decode(&q); err != nil {
		return q, errMalformed
	}
	if !validIDs(q.Node, string(q.Incarnation)) || kind == askHold && !mixer.ValidID(q.Room) {
		return q, errMalformed
	}
	return q, nil
}

func (a *Agent) serveTake(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	var q TakeRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnswer)).Decode(&q); err != nil ||
		!validIDs(room, q.From.Node, string(q.From.Incarnation)) {
		answerProblem(w, errMalformed)
		return
	}
	// A router that has gone does not undo what the directory says already.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), takeTime)
	defer cancel()
	epoch, err := a.Take(ctx, room, q.From, q.Planned)
	if err != nil {
		answerProblem(w, err)
		return
	}
	answerJSON(w, http.StatusOK, TakeAnswer{epoch})
}

// serveAlive answers who is here, and ends when the process does: whoever asked
// sees at once that it has.
func (a *Agent) serveAlive(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(memberHeader, a.cfg.Name)
	w.Header().Set(incarnationHeader, string(a.State().Incarnation))
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	if rc.Flush() != nil {
		return
	}
	_ = rc.SetWriteDeadline(time.Time{}) // a server's bound on answers is not for this one
	select {
	case <-r.Context().Done():
	case <-a.ended:
	}
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(body))
}

// answerProblem answers an error. What has no code is a store that did not answer.
func answerProblem(w http.ResponseWriter, err error) {
	p := Problem{Code: "internal", Detail: err.Error()}
	var (
		coded     interface{ Code() string }
		elsewhere *ElsewhereError
	)
	switch {
	case errors.As(err, &elsewhere):
		p.Code, p.Owner = "conflict", &elsewhere.Owner
	case errors.As(err, &coded):
		p.Code = coded.Code()
	}
	status, ok := statuses[p.Code]
	if !ok {
		status = http.StatusServiceUnavailable
	}
	answerJSON(w, status, p)
}
