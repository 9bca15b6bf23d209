package coordinator

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
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
	remembers := func(ctx context.Context) error { return c.require(ctx, erasedLevel, "a receipt that lasts") }
	e := &eraser{router: c.router, remembers: remembers, partitions: partitions, request: &kithv1.ApplyErasureRequest{
		HashKey: secrets.HashKey, TimeUnixMs: c.cfg.Now().UnixMilli(), AllowAgain: req.AllowAgain,
	}}
	done, err := e.erase(ctx, req.User, "", id)
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
	keys := e.keys(done)
	r.Purged, r.Waiting = c.purge(ctx, append(keys, erasedKey{req.User, stays(p, done)}))
	for _, key := range keys {
		r.Joined = append(r.Joined, erasure.Joined{
			UserHash: hex.EncodeToString(key.UserHash), Partition: key.Partition, LogIndex: key.Index,
			Removed: erasure.Removed{Events: key.Events, Profile: key.Profile},
		})
	}
	r.Versions, r.CleanAfter = c.State().learnedBefore(p, done.Index)
	key := ed25519.NewKeyFromSeed(secrets.SigningSeed)
	receipt, signature, err := erasure.Sign(key, r)
	if err != nil {
		return nil, err
	}
	return &kithv1.EraseUserResponse{Receipt: receipt, Signature: signature, PublicKey: key.Public().(ed25519.PublicKey)}, nil
}

// errJoinedElsewhere refuses to erase a key that is joined to another than was said.
var errJoinedElsewhere = fmt.Errorf("%w", wire.ErrInvalid)

// eraser erases a user with the keys that are joined to it.
type eraser struct {
	router     *Router
	remembers  func(context.Context) error // an error that matches wire.ErrUpgrade if not all servers can remember keys that were erased
	partitions int
	request    *kithv1.ApplyErasureRequest // what is the same of all keys
	joined     []erasedKey                 // those that this request has erased
	drop       bool                        // some servers cannot remember keys that were erased
}

// erasedKey is a key that was erased; user is empty if that is all that is known of it.
type erasedKey struct {
	user string
	*kithv1.ErasedKey
}

// stays is what stays of a key that was erased.
func stays(p partition.ID, done *kithv1.ApplyErasureResponse) *kithv1.ErasedKey {
	return &kithv1.ErasedKey{UserHash: done.UserHash, Partition: uint32(p), Index: done.Index, Events: done.Events, Profile: done.Profile}
}

// keys returns the keys that were joined to the user: those that were erased now, and those that its tombstone has of earlier requests.
func (e *eraser) keys(done *kithv1.ApplyErasureResponse) []erasedKey {
	out := slices.Clone(e.joined)
	for _, old := range done.Erased {
		if !slices.ContainsFunc(e.joined, func(k erasedKey) bool { return bytes.Equal(k.UserHash, old.UserHash) }) {
			out = append(out, erasedKey{"", old})
		}
	}
	return out
}

// erase erases a key, which may be joined to an account, with the id of the request.
func (e *eraser) erase(ctx context.Context, user, account string, id []byte) (*kithv1.ApplyErasureResponse, error) {
	p := partition.Of(user, e.partitions)
	for {
		var done *kithv1.ApplyErasureResponse
		err := e.router.onPartition(ctx, p, false, func(ctx context.Context, client kithv1.PartitionServiceClient, epoch uint64) (err error) {
			r := e.request
			done, err = client.ApplyErasure(ctx, &kithv1.ApplyErasureRequest{
				Partition: uint32(p), Epoch: epoch, User: user, Account: account, RequestId: id, HashKey: r.HashKey, TimeUnixMs: r.TimeUnixMs, AllowAgain: r.AllowAgain,
			})
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case done.JoinedTo != "":
			return nil, fmt.Errorf("%w: %q is joined to %q; erase that, and all keys of the person with it", errJoinedElsewhere, user, done.JoinedTo)
		case len(done.Joined) == 0:
			return done, nil
		}
		if err := e.remembers(ctx); errors.Is(err, wire.ErrUpgrade) {
			e.drop = true
		} else if err != nil {
			return nil, err
		}
		for _, key := range done.Joined { // none of them may be left behind, so they come first
			of, err := e.erase(ctx, key.User, user, ofJoin(key, user))
			step := &kithv1.StepJoinRequest{Step: stepDrop, From: key.User, To: user, Id: key.Id}
			switch {
			case errors.Is(err, errJoinedElsewhere): // it is not joined to the user, or no longer
			case err != nil:
				return nil, err
			default:
				k := stays(partition.Of(key.User, e.partitions), of)
				e.joined = append(e.joined, erasedKey{key.User, k})
				if !e.drop {
					step.Step, step.Erased = stepErased, append(of.Erased, k)
				}
			}
			if _, err := e.router.step(ctx, user, step); err != nil {
				return nil, err
			}
		}
	}
}

// ofJoin returns the id of the request by which a key is erased that is joined to a user: the same in all erasures of that user, so that one that is repeated learns what an earlier one has removed,
// and another one for a later join of the key, behind which there is more to remove.
func ofJoin(key *kithv1.UserState, user string) []byte {
	b := binary.BigEndian.AppendUint64([]byte("erase joined\x00"), key.Id)
	b = append(append(append(b, user...), 0), key.User...)
	sum := sha256.Sum256(b)
	return sum[:requestBytes]
}

// purge returns which replicas of the partitions of some keys have done all of their erasures, and rewritten their files, and which have not said so.
func (c *Coordinator) purge(ctx context.Context, keys []erasedKey) (purged, waiting []string) {
	ctx, cancel := context.WithTimeout(ctx, min(purgePatience, share(ctx, 2)))
	defer cancel()
	state := c.State()
	done := map[string]bool{} // by node, whether it has said so of all
	var mu sync.Mutex
	type part struct { // all keys that are not known are one part
		partition uint32
		user      string
	}
	parts := map[part]uint64{} // with the index of the last erasure
	for _, key := range keys {
		p := part{key.Partition, key.user}
		parts[p] = max(parts[p], key.Index)
	}
	var g errgroup.Group
	g.SetLimit(concurrentCalls)
	for p, index := range parts {
		for _, node := range state.Replicas[p.partition] {
			g.Go(func() error {
				err := c.router.try(ctx, node, false, func(ctx context.Context, conn grpc.ClientConnInterface) error {
					_, err := kithv1.NewPartitionServiceClient(conn).PurgeUser(ctx, &kithv1.PurgeUserRequest{
						Partition: p.partition, Epoch: state.Epoch, User: p.user, Index: index,
					})
					return err
				})
				if err != nil {
					c.cfg.Logger.WarnContext(ctx, "replica has not confirmed an erasure", "partition", p.partition, "node", node, "index", index, "err", err)
				}
				mu.Lock()
				defer mu.Unlock()
				before, asked := done[node]
				done[node] = err == nil && (before || !asked)
				return nil
			})
		}
	}
	_ = g.Wait() // of no error
	purged, waiting = []string{}, []string{}
	for _, node := range slices.Sorted(maps.Keys(done)) {
		if done[node] {
			purged = append(purged, node)
		} else {
			waiting = append(waiting, node)
		}
	}
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
