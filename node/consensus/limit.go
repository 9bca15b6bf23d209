package consensus

import (
	"context"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"
)

// NewSnapshotLimit returns a limit of bytes a second, for all groups of a process together, on the snapshots that they send. A rate of 0
// means no limit.
func NewSnapshotLimit(bytesPerSecond int) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), max(bytesPerSecond/4, 1))
}

// limitedSnapshots slows down the reading of snapshots to be sent. Others, which a member restores for itself, are read as fast as
// can be: the member is of no use until it has.
type limitedSnapshots struct {
	raft.SnapshotStore
	ctx     context.Context
	limit   *rate.Limiter
	sending func() bool
}

// Open implements raft.SnapshotStore.
func (s *limitedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	if err != nil || !s.sending() {
		return meta, r, err
	}
	return meta, &limitedReader{r, s.ctx, s.limit}, nil
}

type limitedReader struct {
	io.ReadCloser
	ctx   context.Context
	limit *rate.Limiter
}

// Read implements io.Reader.
func (r *limitedReader) Read(b []byte) (int, error) {
	if most := r.limit.Burst(); len(b) > most {
		b = b[:most]
	}
	n, err := r.ReadCloser.Read(b)
	if n > 0 {
		if waitErr := r.limit.WaitN(r.ctx, n); waitErr != nil {
			return 0, fmt.Errorf("send snapshot: %w", waitErr)
		}
	}
	return n, err
}
