package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tutti/api/cluster"
)

// watchOrder watches while others write.
func (s *suite) watchOrder() {
	const many = 200
	start := s.put("/start", "0", 0)
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for i := range many {
			if _, err := s.commit(nil, cluster.Write{Key: fmt.Sprint("/w/", i%7), Value: fmt.Append(nil, i)}); err != nil {
				s.Error(err)
			}
		}
	})
	told, _ := s.watch("/w/", start, many)
	if len(told) != many {
		s.Fatalf("told %d changes", len(told))
	}
	for i, e := range told {
		if string(e.Value) != fmt.Sprint(i) || e.Modified != start+1+int64(i) {
			s.Fatalf("change %d is %s of revision %d", i, e.Value, e.Modified)
		}
	}
}

func (s *suite) watchResumes() {
	start := s.put("/a", "1", 0)
	s.put("/a", "2", 0)
	s.remove("/a")
	last := s.put("/a", "4", 0)
	told, revision := s.watch("/", start-1, 4)
	s.expect(told, revision, "/a=1 /a=2 /a /a=4", last)
	for i, e := range told {
		told, _ := s.watch("/", e.Modified, len(told)-1-i)
		if len(told) < 3-i {
			s.Errorf("after %d: %d changes", e.Modified, len(told))
		}
	}
}

func (s *suite) watchPrefix() {
	start := s.put("/start", "", 0)
	s.put("/a0", "no", 0)
	s.put("/b", "no", 0)
	last := s.put("/a/x", "1", 0)
	told, revision := s.watch("/a/", start, 1)
	s.expect(told, revision, "/a/x=1", last)
}

// watchIdle sees that a watch says that the store is there, and up to where.
func (s *suite) watchIdle() {
	at := s.put("/elsewhere", "1", 0)
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	signs := 0
	start := time.Now()
	_ = s.store.Watch(ctx, "/here", at-1, func(u cluster.Update) bool {
		if len(u.Changes) != 0 {
			s.Errorf("told %v", u.Changes)
		}
		if u.Revision == at {
			signs++
		}
		return signs < 10
	})
	if took := time.Since(start); signs < 10 || took > 6*time.Second {
		s.Errorf("%d signs of life in %v", signs, took)
	}
}

func (s *suite) watchEnds() {
	ctx, cancel := context.WithCancel(s.Context())
	err := s.store.Watch(ctx, "/", 0, func(cluster.Update) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) {
		s.Errorf("ended with %v when its context did", err)
	}
	told := 0
	err = s.store.Watch(s.Context(), "/", 0, func(cluster.Update) bool { told++; return false })
	if err == nil || told != 1 {
		s.Errorf("ended with %v after %d calls when nobody listened any more", err, told)
	}
}

// contexts sees that no method does anything with a context that has ended.
func (s *suite) contexts() {
	l := s.grant(time.Minute)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, _, read := s.store.Read(ctx, "/")
	_, commit := s.store.Commit(ctx, nil, []cluster.Write{{Key: "/a", Value: []byte("1")}})
	_, grant := s.store.Grant(ctx, time.Second)
	watch := s.store.Watch(ctx, "/", 0, func(cluster.Update) bool { s.Error("told"); return true })
	for name, err := range map[string]error{
		"read": read, "commit": commit, "grant": grant, "watch": watch, "renew": s.store.Renew(ctx, l), "revoke": s.store.Revoke(ctx, l),
	} {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v", name, err)
		}
	}
	if text := s.text("/"); text != "" {
		s.Errorf("%q was written", text)
	}
}

func (s *suite) close() {
	watching, ended := make(chan struct{}), make(chan error, 1)
	s.put("/a", "1", 0)
	go func() {
		told := false
		ended <- s.store.Watch(s.Context(), "/", 0, func(cluster.Update) bool {
			if !told {
				told = true
				close(watching)
			}
			return true
		})
	}()
	<-watching
	for range 2 {
		if err := s.store.Close(); err != nil {
			s.Error(err)
		}
	}
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, context.Canceled) {
			s.Errorf("the watch ended with %v", err)
		}
	case <-time.After(patience):
		s.Error("the watch did not end")
	}
	_, _, read := s.store.Read(s.Context(), "/")
	_, commit := s.store.Commit(s.Context(), nil, nil)
	for name, err := range map[string]error{"read": read, "commit": commit, "renew": s.store.Renew(s.Context(), 1)} {
		if err == nil || errors.Is(err, cluster.ErrLeaseLost) {
			s.Errorf("%s after the end: %v", name, err)
		}
	}
}
