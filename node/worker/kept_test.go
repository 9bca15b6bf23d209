package worker_test

import (
	"errors"
	"testing"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// noBase is a version without anything.
type noBase struct{}

func (noBase) Dictionary() (*artifact.Dictionary, error) { return nil, nil }
func (noBase) Lists(uint32) (*artifact.Lists, error)     { return nil, wire.ErrNotReady }
func (noBase) Release()                                  {}
func openNoBase(uint64) (worker.Base, error)             { return noBase{}, nil }

// TestFollowKept: who says that changes are kept must not send some, and they must be there.
func TestFollowKept(t *testing.T) {
	n := startWith(t, worker.Config{NodeID: "a", Base: openNoBase}, worker.TableSource(table(10, 5), partitions), peers{})
	head := &kithv1.FollowHead{Job: job, Base: 3, Spec: spec(), FirstUser: []uint32{0, 5, 10}, Kept: true}
	for name, c := range map[string]struct {
		rows          []*kithv1.ChangedRow
		invalid, lost bool
	}{
		"changes beside those that are kept": {rows: []*kithv1.ChangedRow{{NewItems: []uint32{1}}}, invalid: true},
		"none are kept":                      {lost: true},
	} {
		stream, err := n.client.Follow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&kithv1.FollowRequest{Head: head, Rows: c.rows}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.CloseAndRecv()
		if invalid, lost := errors.Is(err, wire.ErrInvalid), errors.Is(err, wire.ErrBuildLost); invalid != c.invalid || lost != c.lost {
			t.Errorf("%s: error %v; want invalid %v, lost %v", name, err, c.invalid, c.lost)
		}
	}
}
