package etcd

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// known are etcd's warnings that tell nobody anything: that the store is slow or
// away, which the view and the agent say themselves, once and in words of their
// own; and what is chosen so, one port for all, and no users.
var known = map[string]bool{
	"retrying of unary invoker failed":                       true,
	"apply request took too long":                            true,
	"request stats":                                          true,
	"waiting for ReadIndex response took too long, retrying": true,
	"simple token is not cryptographically signed":           true,
	"Running http and grpc server on single port. This is not recommended for production.": true,
}

// zapLogger answers a logger for etcd that writes warnings and worse into log, as
// warnings: an error to who runs etcd is none of this program, which sees what
// fails by what its calls answer. Once closing is set, it writes only what ends the
// process: a connection that breaks then is meant to.
func zapLogger(log *slog.Logger, closing *atomic.Bool) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	return zap.New(&core{log, closing})
}

// core writes what etcd logs into a slog.Logger.
type core struct {
	log     *slog.Logger
	closing *atomic.Bool
}

// Enabled implements zapcore.LevelEnabler.
func (c *core) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{slog.New(c.log.Handler().WithAttrs(attributes(fields))), c.closing}
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if c.closing.Load() && e.Level < zapcore.PanicLevel {
		return nil
	}
	level := slog.LevelWarn
	if known[e.Message] {
		level = slog.LevelDebug
	}
	c.log.LogAttrs(context.Background(), level, "etcd: "+e.Message, attributes(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (c *core) Sync() error { return nil }

func attributes(fields []zapcore.Field) []slog.Attr {
	m := zapcore.NewMapObjectEncoder()
	attrs := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		f.AddTo(m)
		if value, ok := m.Fields[f.Key]; ok {
			attrs = append(attrs, slog.Any(f.Key, value))
		}
	}
	return attrs
}
