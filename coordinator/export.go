package coordinator

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// exportPage is the number of users whose answers are made before they are handed on.
	exportPage = 100
	// exportTimeout bounds the answer for one user.
	exportTimeout = 30 * time.Second
)

// UserAnswer is the answer for a user, or why there is none.
type UserAnswer struct {
	User   string
	Answer *Answer
	Err    error
}

// Export answers q, which has no subject, for each user with events in a partition, behind a user (for all, if it is empty): some at a time, ascending by
// user, so many at once as atOnce says. Errors match
// wire.ErrInvalid, for a partition that there is not, those of reading users, and what yield returns.
//
// Cost: that of Recommend for each user. Histories are read where this node has the partition's leader without a call, so an export is best made by the
// nodes that lead.
func (r *Router) Export(ctx context.Context, p partition.ID, after string, q Query, atOnce int, yield func([]UserAnswer) error) error {
	if q.User != "" || len(q.Basket) > 0 {
		return fmt.Errorf("%w: answers for all users, and for one", wire.ErrInvalid)
	}
	partitions, err := r.partitions()
	if err != nil {
		return err
	}
	if int(p) >= partitions {
		return fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, partitions)
	}
	for {
		users, err := r.usersBehind(ctx, p, after, exportPage, q.Stale)
		if err != nil || len(users) == 0 {
			return err
		}
		answers := make([]UserAnswer, len(users))
		var g errgroup.Group
		g.SetLimit(max(1, atOnce))
		for i, user := range users {
			g.Go(func() error {
				answers[i] = r.answerFor(ctx, q, user)
				return nil
			})
		}
		_ = g.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(answers); err != nil {
			return err
		}
		after = users[len(users)-1]
	}
}

// usersBehind returns at most n users of a partition behind one.
func (r *Router) usersBehind(ctx context.Context, p partition.ID, after string, n uint32, stale bool) (users []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	err = r.onPartition(ctx, p, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		resp, err := c.ScanUsers(ctx, &kithv1.ScanUsersRequest{Partition: uint32(p), Epoch: epoch, AfterUser: after, N: n, Stale: stale})
		users = resp.GetUsers()
		return err
	})
	return users, err
}

func (r *Router) answerFor(ctx context.Context, q Query, user string) UserAnswer {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	q.User = user
	a, err := r.Recommend(ctx, q)
	return UserAnswer{user, a, err}
}
