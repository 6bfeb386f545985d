package etcd

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// take answers what was logged since it was asked last.
func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestLevels holds that nothing of etcd is logged above WARN, and that what is only
// slow is DEBUG.
func TestLevels(t *testing.T) {
	var out logged
	var closing atomic.Bool
	z := zapLogger(out.logger(), &closing)
	for _, c := range []struct {
		log     func(string, ...zap.Field)
		message string
		level   string // "": nothing is logged
	}{
		{z.Info, "ready to serve", ""},
		{z.Warn, "failed to reach the peer", "WARN"},
		{z.Error, "failed to serve", "WARN"},
		{z.With(zap.String("a", "b")).Error, "failed to serve", "WARN"},
		{z.Warn, "retrying of unary invoker failed", "DEBUG"},
		{z.With(zap.String("a", "b")).Warn, "apply request took too long", "DEBUG"},
		{z.Warn, "request stats", "DEBUG"},
		{z.Warn, "waiting for ReadIndex response took too long, retrying", "DEBUG"},
		{z.Warn, "retrying of unary invoker failed to fetch new auth token", "WARN"},
	} {
		c.log(c.message)
		got := out.take()
		if (c.level == "") != (got == "") || !strings.Contains(got, "level="+c.level) && c.level != "" {
			t.Errorf("%q: logged %q, want level %q", c.message, got, c.level)
		}
	}
	closing.Store(true)
	z.Error("failed to serve")
	z.With(zap.String("a", "b")).Warn("lost")
	if got := out.take(); got != "" {
		t.Errorf("logged when it is closing: %q", got)
	}
}

// TestSilentWhenClosed holds that neither the member nor its clients log once they
// are being closed.
func TestSilentWhenClosed(t *testing.T) {
	var ofServer, ofStore logged
	urls := ports(t, 2)
	server, err := Embed(EmbedConfig{Name: "alone", Dir: t.TempDir(), ClientURLs: urls[:1], PeerURLs: urls[1:], Log: ofServer.logger()})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready")
	}
	store, err := Dial(Config{Endpoints: server.Endpoints(), Log: ofStore.logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := store.Read(ctx, "/"); err != nil {
		t.Error(err)
	}
	server.etcd.GetLogger().Error("before")
	store.clients[0].GetLogger().Error("before")
	if !strings.Contains(ofServer.take(), "before") || !strings.Contains(ofStore.take(), "before") {
		t.Error("errors are not logged at all")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := store.Read(ctx, "/"); err == nil {
		t.Error("read from a member that is closed")
	}
	if got := ofStore.take(); strings.Contains(got, "level=ERROR") || strings.Contains(got, "level=WARN") {
		t.Errorf("of a store that is away it is said %q", got)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	server.etcd.GetLogger().Error("after")
	store.clients[0].GetLogger().Error("after")
	if a, b := ofServer.take(), ofStore.take(); a+b != "" {
		t.Errorf("logged once closed: %q, %q", a, b)
	}
}
