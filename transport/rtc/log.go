package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// levelTrace is below slog's Debug: pion's packet by packet talk.
const levelTrace = slog.LevelDebug - 4

// loggerFactory gives pion's scopes to slog. What pion calls a warning or an
// error is about one peer's packets, so it counts as debug here; a peer's
// failure is told by the peer itself.
type loggerFactory struct{ log *slog.Logger }

func (f loggerFactory) NewLogger(scope string) logging.LeveledLogger {
	return scopeLogger{f.log.With("scope", "pion/"+scope)}
}

type scopeLogger struct{ log *slog.Logger }

func (l scopeLogger) say(level slog.Level, msg string) {
	l.log.Log(context.Background(), level, msg)
}

func (l scopeLogger) sayf(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.say(level, fmt.Sprintf(format, args...))
	}
}

func (l scopeLogger) Trace(msg string)                  { l.say(levelTrace, msg) }
func (l scopeLogger) Tracef(format string, args ...any) { l.sayf(levelTrace, format, args) }
func (l scopeLogger) Debug(msg string)                  { l.say(levelTrace, msg) }
func (l scopeLogger) Debugf(format string, args ...any) { l.sayf(levelTrace, format, args) }
func (l scopeLogger) Info(msg string)                   { l.say(levelTrace, msg) }
func (l scopeLogger) Infof(format string, args ...any)  { l.sayf(levelTrace, format, args) }
func (l scopeLogger) Warn(msg string)                   { l.say(slog.LevelDebug, msg) }
func (l scopeLogger) Warnf(format string, args ...any)  { l.sayf(slog.LevelDebug, format, args) }
func (l scopeLogger) Error(msg string)                  { l.say(slog.LevelDebug, msg) }
func (l scopeLogger) Errorf(format string, args ...any) { l.sayf(slog.LevelDebug, format, args) }
