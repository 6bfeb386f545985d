package router

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tutti/api/cluster"
)

// deathsAt is where certificates of death lie.
const deathsAt = cluster.Prefix + "deaths/"

// How long certificates of death are kept, which is for people to read in the
// store, and how often old ones are looked for.
const (
	deathKept   = 24 * time.Hour
	forgetEvery = 10 * time.Minute
	storeIn     = 2 * time.Second // for a call of the store
	roomsIn     = time.Minute     // for all rooms, which are read in pages
)

// forgetDeaths removes old certificates of death now and then until ctx ends. Of
// several routers one does it.
func (r *Router) forgetDeaths(ctx context.Context) {
	for pause(ctx, forgetEvery) {
		if r.storeless() || r.rank("deaths") != 0 {
			continue
		}
		forgotten, err := r.forgetOld(ctx)
		if err != nil {
			r.log.Debug("old deaths not all removed", "removed", forgotten, "error", err)
		} else if forgotten > 0 {
			r.log.Info("old deaths removed", "removed", forgotten)
		}
	}
}

// forgetOld removes the certificates that are old and that no room needs to be
// brought back by. An incarnation that is dead becomes no room's owner any more,
// nor its former owner without having been the owner: the rooms that are read
// after its certificate are all that ever name it.
func (r *Router) forgetOld(ctx context.Context) (forgotten int, err error) {
	old, err := r.oldDeaths(ctx)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	named, err := r.namedByRooms(ctx)
	if err != nil {
		return 0, err
	}
	for who, modified := range old {
		if named[who] {
			continue
		}
		key := cluster.DeathKey(who.node, who.incarnation)
		within, cancel := context.WithTimeout(ctx, storeIn)
		_, err := r.cfg.Store.Commit(within, []cluster.Condition{{Key: key, Modified: modified}}, []cluster.Write{{Key: key}})
		cancel()
		if err != nil {
			return forgotten, fmt.Errorf("router: remove %s: %w", key, err)
		}
		forgotten++
	}
	return forgotten, nil
}

// oldDeaths reads the certificates that are old enough to go, and the revisions
// that wrote them.
func (r *Router) oldDeaths(ctx context.Context) (map[tenureOf]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	entries, _, err := r.cfg.Store.Read(ctx, deathsAt)
	if err != nil {
		return nil, fmt.Errorf("router: read deaths: %w", err)
	}
	now, old := r.cfg.Now(), map[tenureOf]int64{}
	for _, e := range entries {
		var d cluster.Death
		if json.Unmarshal(e.Value, &d) != nil || e.Key != cluster.DeathKey(d.Node, d.Incarnation) {
			continue // none of this program's
		}
		if now.Sub(d.At) > deathKept {
			old[tenureOf{d.Node, d.Incarnation}] = e.Modified
		}
	}
	return old, nil
}

// namedByRooms reads which incarnations rooms name as their owner or the one
// before. A room that cannot be read may name any.
func (r *Router) namedByRooms(ctx context.Context) (map[tenureOf]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, roomsIn)
	defer cancel()
	entries, _, err := r.cfg.Store.Read(ctx, cluster.RoomKey(""))
	if err != nil {
		return nil, fmt.Errorf("router: read rooms: %w", err)
	}
	named := map[tenureOf]bool{}
	for _, e := range entries {
		var room struct {
			cluster.Owner
			Previous *cluster.Owner `json:"previous"`
		}
		if err := json.Unmarshal(e.Value, &room); err != nil {
			return nil, fmt.Errorf("router: read %s: %w", e.Key, err)
		}
		named[tenureOf{room.Node, room.Incarnation}] = true
		if p := room.Previous; p != nil {
			named[tenureOf{p.Node, p.Incarnation}] = true
		}
	}
	return named, nil
}
