package coordinator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/erasure"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// requestBytes is the length of the id of a request.
	requestBytes = 16
	// purgePatience is how long an erasure waits for each replica to have done it. Those that are away do it when they are back.
	purgePatience = 5 * time.Second
)

// EraseUser removes what there is of a user, as ErasureService describes, and returns a signed receipt. It may be repeated with the same
// request id, which has no or 16 bytes.
func (c *Coordinator) EraseUser(ctx context.Context, req *kithv1.EraseUserRequest) (*kithv1.EraseUserResponse, error) {
	if err := catalog.CheckKey(req.User); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	id := req.RequestId
	switch len(id) {
	case 0:
		id = make([]byte, requestBytes)
		_, _ = rand.Read(id) // never fails
	case requestBytes:
	default:
		return nil, fmt.Errorf("%w: request id of %d bytes; want %d or none", wire.ErrInvalid, len(id), requestBytes)
	}
	secrets, err := c.secrets(ctx)
	if err != nil {
		return nil, err
	}
	partitions, err := c.router.partitions()
	if err != nil {
		return nil, err
	}
	p := partition.Of(req.User, partitions)
	apply := &kithv1.ApplyErasureRequest{
		Partition: uint32(p), User: req.User, HashKey: secrets.HashKey, TimeUnixMs: c.cfg.Now().UnixMilli(), RequestId: id, AllowAgain: req.AllowAgain,
	}
	var done *kithv1.ApplyErasureResponse
	err = c.router.onPartition(ctx, p, false, func(ctx context.Context, client kithv1.PartitionServiceClient, epoch uint64) (err error) {
		apply.Epoch = epoch
		done, err = client.ApplyErasure(ctx, apply)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	// Builds that are not known by now have cuts behind the erasure.
	if err := c.Confirm(ctx); err != nil {
		return nil, fmt.Errorf("the user is erased; for a receipt, erase again: %w", err)
	}
	r := &erasure.Receipt{
		Format: erasure.Format, Cluster: c.State().Cluster.GetClusterId(), UserHash: hex.EncodeToString(done.UserHash),
		Time: time.UnixMilli(done.TimeUnixMs).UTC().Format(time.RFC3339Nano), Partition: uint32(p), LogIndex: done.Index,
		MayReturn: req.AllowAgain, Removed: erasure.Removed{Events: done.Events, Profile: done.Profile},
	}
	r.Purged, r.Waiting = c.purge(ctx, p, req.User, done.Index)
	r.Versions, r.CleanAfter = c.State().learnedBefore(p, done.Index)
	key := ed25519.NewKeyFromSeed(secrets.SigningSeed)
	receipt, signature, err := erasure.Sign(key, r)
	if err != nil {
		return nil, err
	}
	return &kithv1.EraseUserResponse{Receipt: receipt, Signature: signature, PublicKey: key.Public().(ed25519.PublicKey)}, nil
}

// purge returns which replicas of a partition have done an erasure, and rewritten their files, and which have not said so.
func (c *Coordinator) purge(ctx context.Context, p partition.ID, user string, index uint64) (purged, waiting []string) {
	ctx, cancel := context.WithTimeout(ctx, min(purgePatience, share(ctx, 2)))
	defer cancel()
	state := c.State()
	purged, waiting = []string{}, []string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, node := range state.Replicas[p] {
		wg.Go(func() {
			err := c.router.try(ctx, node, false, func(ctx context.Context, conn grpc.ClientConnInterface) error {
				_, err := kithv1.NewPartitionServiceClient(conn).PurgeUser(ctx, &kithv1.PurgeUserRequest{
					Partition: uint32(p), Epoch: state.Epoch, User: user, Index: index,
				})
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.cfg.Logger.WarnContext(ctx, "replica has not confirmed an erasure", "partition", p, "node", node, "index", index, "err", err)
				waiting = append(waiting, node)
				return
			}
			purged = append(purged, node)
		})
	}
	wg.Wait()
	slices.Sort(purged)
	slices.Sort(waiting)
	return purged, waiting
}

// learnedBefore returns the versions that may have seen what was in a partition before an index of its log, and the highest number of
// them or of a build that runs.
func (s *State) learnedBefore(p partition.ID, index uint64) (versions []uint64, last uint64) {
	versions = []uint64{}
	before := func(j *kithv1.JobRecord) bool { return j == nil || int64(p) >= int64(len(j.Cut)) || j.Cut[p] < index }
	for _, v := range s.Versions {
		if number := v.Version.Version; before(s.Job(number)) {
			versions = append(versions, number)
			last = max(last, number)
		}
	}
	if j := s.Running(); j != nil && before(j) {
		last = max(last, j.Job.Id)
	}
	return versions, last
}
