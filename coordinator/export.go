package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// usersPage is the number of users that are listed at a time.
	usersPage = 100
	// usersTimeout bounds the call for a page with its tries.
	usersTimeout = 30 * time.Second
)

// EachUsers calls yield with the users with events in a partition that are behind one (with all, if it is empty), ascending, some at a time. With stale they are those
// that some replica knows. An error of yield ends it; others match wire.ErrInvalid, for a partition that there is not, and those of reading users.
func (r *Router) EachUsers(ctx context.Context, p partition.ID, after string, stale bool, yield func(users []string) error) error {
	partitions, err := r.partitions()
	if err != nil {
		return err
	}
	if int(p) >= partitions {
		return fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, partitions)
	}
	for {
		users, err := r.usersBehind(ctx, p, after, stale)
		if err != nil || len(users) == 0 {
			return err
		}
		if err := yield(users); err != nil {
			return err
		}
		after = users[len(users)-1]
	}
}

func (r *Router) usersBehind(ctx context.Context, p partition.ID, after string, stale bool) (users []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, usersTimeout)
	defer cancel()
	err = r.onPartition(ctx, p, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		resp, err := c.ScanUsers(ctx, &kithv1.ScanUsersRequest{Partition: uint32(p), Epoch: epoch, AfterUser: after, N: usersPage, Stale: stale})
		users = resp.GetUsers()
		return err
	})
	return users, err
}
