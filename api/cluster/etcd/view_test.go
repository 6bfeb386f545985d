package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"tutti/api/cluster"
)

// TestViewOverEtcd lets a view read 2,000 rooms, outlast a restart of the store and
// learn what was written after.
func TestViewOverEtcd(t *testing.T) {
	dir, urls := t.TempDir(), ports(t, 2)
	first := alone(t, dir, urls)
	s := dial(t, urls[0])
	write := func(ids ...string) {
		var writes []cluster.Write
		for _, id := range ids {
			r, err := json.Marshal(cluster.Room{ID: id, Owner: cluster.Owner{Node: "a", Incarnation: "i", Epoch: 2}})
			if err != nil {
				t.Fatal(err)
			}
			writes = append(writes, cluster.Write{Key: cluster.RoomKey(id), Value: r})
		}
		if _, err := s.Commit(t.Context(), nil, writes); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		var ids []string
		for n := range 500 {
			ids = append(ids, fmt.Sprint("room-", i, "-", n))
		}
		write(ids...)
	}
	v := cluster.NewView(dial(t, urls[0]), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-v.Ready()
	if n := len(v.Rooms()); n != 2000 {
		t.Fatalf("%d rooms", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(v.Rooms()); n != 2000 {
		t.Fatalf("%d rooms without the store", n)
	}
	alone(t, dir, urls)
	eventually(t, patience, func() error {
		_, _, err := s.Read(t.Context(), "/none")
		return err
	})
	write("late")
	t.Logf("seen after %v", eventually(t, patience, func() error {
		if _, ok := v.Room("late"); !ok {
			return fmt.Errorf("late is not there")
		}
		return nil
	}))
	if ago := cluster.Boottime() - v.Contact(); ago > 5*time.Second {
		t.Errorf("the last contact was %v ago", ago)
	}
}
