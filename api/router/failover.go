package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"tutti/api/cluster"
	"tutti/api/router/placement"
)

// How rooms are brought back.
const (
	rescuesAtOnce = 16
	rescueAgain   = 500 * time.Millisecond // also how far routers stand back for each other
	takeIn        = 5 * time.Second
)

// rescueAll brings back every room whose owner was certified dead, for as long
// as ctx lasts: what happens, and what was there when the router started.
func (r *Router) rescueAll(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, rescuesAtOnce)
	tick := time.NewTicker(rescueAgain)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, e := range r.cfg.View.Rooms() {
			if !r.orphaned(e) || !r.seize(e.ID) {
				continue
			}
			began := r.cfg.Now()
			running.Go(func() {
				defer r.moves.Delete(e.ID)
				if !pause(ctx, time.Duration(r.rank(e.ID))*rescueAgain) {
					return
				}
				slots <- struct{}{}
				defer func() { <-slots }()
				r.rescue(ctx, e.ID, began)
			})
		}
		select {
		case <-r.deaths:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// orphaned reports whether a room's owner was certified dead.
func (r *Router) orphaned(e *cluster.RoomEntry) bool {
	d, _ := r.cfg.View.Death(e.Node, e.Incarnation)
	return d != nil
}

// seize takes a room for one driver of this router; it is given back by
// moves.Delete.
func (r *Router) seize(room string) bool {
	_, others := r.moves.LoadOrStore(room, true)
	return !others
}

// rank answers how many other routers are to go before this one with a matter.
func (r *Router) rank(matter string) int {
	var seats []placement.Seat
	for _, m := range r.cfg.View.Members() {
		if m.Member.Role == cluster.RouterRole && m.Live != nil && !m.Dead {
			seats = append(seats, placement.NewSeat(m.Member.Name, 1))
		}
	}
	for i, ranked := range placement.Order(nil, hashOf("", matter), seats) {
		if seats[ranked.Seat].Name == r.cfg.Name {
			return i
		}
	}
	return len(seats) // not known to live: after all who are
}

// rescue has a room taken by the first node that accepts, until somebody has it.
func (r *Router) rescue(ctx context.Context, room string, began time.Time) {
	var exclude []string
	told := false
	for ctx.Err() == nil {
		e, ok := r.cfg.View.Room(room)
		if !ok || !r.orphaned(e) {
			return
		}
		q := queryOf(&e.Room)
		to, pool, ok := r.choose(&q, exclude, true)
		if !ok {
			exclude = nil
			if !told {
				r.log.Warn("no node takes a room whose node is dead; it is offered until one does", "room", room)
				told = true
			}
			pause(ctx, rescueAgain)
			continue
		}
		epoch, err := r.take(ctx, to, e, false)
		if err == nil {
			took := r.cfg.Now().Sub(began)
			r.planner.charge(&q, pool, to.node)
			r.figures.moved("failover")
			r.figures.rescued(took)
			r.log.Info("room brought back", "room", room, "node", to.node, "epoch", epoch, "from", e.Node, "took", took)
			r.refresh(ctx, room)
			return
		}
		exclude = r.notTaken(ctx, e, to, err, exclude)
	}
}

// notTaken notes why a node did not take a room, and answers whom not to ask
// next.
func (r *Router) notTaken(ctx context.Context, e *cluster.RoomEntry, to target, err error, exclude []string) []string {
	r.log.Info("room not taken", "room", e.ID, "node", to.node, "epoch", e.Epoch, "error", err)
	var no *declined
	switch {
	case errors.As(err, &no) && no.code == "conflict": // somebody was faster
		r.figures.refused()
		if !r.refresh(ctx, e.ID) {
			pause(ctx, rescueAgain/5)
		}
		return exclude
	case errors.As(err, &no):
		q := queryOf(&e.Room)
		r.planner.refused(&q, to.node)
	case unsent(err):
		r.suspect(to, err)
	}
	return append(exclude, to.node)
}

// declined is a node's answer that it does not take a room.
type declined struct {
	status int
	code   string
}

func (d *declined) Error() string { return fmt.Sprintf("router: node answers %d %s", d.status, d.code) }

// take asks a node to take a room over from its owner. It may be asked again.
func (r *Router) take(ctx context.Context, to target, e *cluster.RoomEntry, planned bool) (cluster.Epoch, error) {
	body, err := json.Marshal(struct {
		From    cluster.Owner `json:"from"`
		Planned bool          `json:"planned"`
	}{e.Owner, planned})
	if err != nil {
		return 0, fmt.Errorf("router: take: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, takeIn)
	defer cancel()
	ctx, release := r.during(ctx, to)
	defer release()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.address+"/cluster/v1/rooms/"+e.ID+"/take", bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("router: take: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(headerKey, r.cfg.Key)
	res, err := r.cfg.Transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("router: take: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil {
		return 0, fmt.Errorf("router: take: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return 0, &declined{res.StatusCode, codeOf(answer)}
	}
	var taken struct {
		Epoch cluster.Epoch `json:"epoch"`
	}
	if err := json.Unmarshal(answer, &taken); err != nil {
		return 0, fmt.Errorf("router: take: %w", err)
	}
	return taken.Epoch, nil
}
