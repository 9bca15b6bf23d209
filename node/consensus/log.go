package consensus

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// newHCLogger returns a logger for hashicorp's libraries that writes to log.
func newHCLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(logSink{log})
	return l
}

// logSink passes messages on one level lower than they come: raft reports
// each election and each refused connection as a warning or an error, and heals itself.
type logSink struct{ log *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s logSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	var to slog.Level
	switch {
	case level >= hclog.Error:
		to = slog.LevelWarn
	case level == hclog.Warn:
		to = slog.LevelInfo
	case level == hclog.Info:
		to = slog.LevelDebug
	default:
		return
	}
	s.log.Log(context.Background(), to, msg, args...) //nolint:sloglint // passes on the messages of others
}
