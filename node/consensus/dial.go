package consensus

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	// refusedWait is how long a dial waits for a member whose machine says that nobody listens: it may be about to start.
	refusedWait = 2 * time.Second
	// refusedRetry is the pause between two tries. Each group dials for itself.
	refusedRetry = 200 * time.Millisecond
)

// dialPatiently connects to an address within timeout, and tries again for refusedWait while the connection is refused.
//
// A leader of hashicorp/raft doubles its pause with every call to a follower that fails, up to ten seconds, and only a call
// that succeeds ends that. Refusals fail at once, so a follower that was down for four seconds was sent nothing for another
// six. Failing slowly makes the pauses of a short absence short.
func dialPatiently(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var d net.Dialer
	ticker := time.NewTicker(refusedRetry)
	defer ticker.Stop()
	var refused error
	for began := time.Now(); ; {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil && ctx.Err() != nil && refused != nil {
			return nil, refused // which says more than that the time is over
		}
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) >= refusedWait {
			return conn, err
		}
		refused = err
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, refused
		}
	}
}
