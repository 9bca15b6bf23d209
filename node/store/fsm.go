package store

import (
	"context"
	"io"
)

// FSM fits a Store to the state machine of a raft group (consensus.FSM). The results of
// Apply are of type Result.
type FSM struct{ *Store }

// Apply is Store.Apply.
func (f FSM) Apply(index uint64, data []byte) (any, error) {
	result, err := f.Store.Apply(index, data)
	return result, err
}

// Snapshot is Store.Snapshot.
func (f FSM) Snapshot() (interface {
	WriteTo(ctx context.Context, w io.Writer) error
	Release()
}, error,
) {
	p, err := f.Store.Snapshot()
	if err != nil {
		return nil, err // not an interface that holds a nil pointer
	}
	return p, nil
}
