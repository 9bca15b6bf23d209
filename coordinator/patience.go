package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/kith-io/kith/node/wire"
)

// sleep returns true after d, and false at once when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// share returns tryTimeout, or an nth part of the time that is left to ctx if that is less, so that there is time for others.
func share(ctx context.Context, n time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(tryTimeout, time.Until(deadline)/n)
	}
	return tryTimeout
}

// passing reports whether an error of one node may be none at another, or in a moment.
func passing(err error) bool {
	return wire.Retryable(err) || errors.Is(err, context.DeadlineExceeded)
}
