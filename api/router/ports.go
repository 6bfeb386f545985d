package router

import (
	"context"
	"time"

	"tutti/api/cluster"
)

// What the router needs from others, declared here and fitted in cmd/tutti.

// Directory is the watched copy of the store; *cluster.View is one. What it
// answers is not to be written.
type Directory interface {
	// Ready is closed after the first whole read.
	Ready() <-chan struct{}
	// Contact answers when the store gave its last sign of life, by the clock that
	// cluster.Boottime reads.
	Contact() time.Duration
	Room(id string) (*cluster.RoomEntry, bool)
	// Rooms answers all rooms by identifier, Nodes all nodes by name, Members the
	// routers too.
	Rooms() []*cluster.RoomEntry
	Nodes() []*cluster.Node
	Member(name string) (*cluster.Node, bool)
	Members() []*cluster.Node
	// Death answers the certificate of an incarnation's death, or nil.
	Death(node string, i cluster.Incarnation) (*cluster.Death, int64)
	// Learn takes what was read otherwise; newer wins.
	Learn(e cluster.Entry)
	// Subscribe is called once, before the directory runs; told must not block.
	Subscribe(told func(cluster.Change))
}

// Member is this router as a member of the cluster; *cluster.Agent is one.
type Member interface {
	// Certify writes down that the present incarnation of a member, node or router,
	// is dead, where the evidence is good.
	Certify(ctx context.Context, name string, e cluster.Evidence) error
}
