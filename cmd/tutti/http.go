package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// serveHTTP serves until the server is shut down, which is no error.
func serveHTTP(s *http.Server, l net.Listener, t *tls.Config) error {
	idle := &silent{conns: map[net.Conn]struct{}{}}
	s.ConnState = idle.note
	s.RegisterOnShutdown(idle.close)
	var err error
	if t == nil {
		err = s.Serve(l)
	} else {
		s.TLSConfig = t
		err = s.ServeTLS(l, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

// silent are the connections that have not asked for anything yet. Shutdown would
// wait for them for seconds, and clients keep some in store.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (s *silent) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.conns[c] = struct{}{}
	} else {
		delete(s.conns, c)
	}
}

func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // nobody has been promised anything
	}
}
