package node

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// maxPendingJoins bounds an answer.
const maxPendingJoins = 100

// own returns an error if what was read of a user before is not all that there is, as the user is joined to another.
func (r *replica) own(user string, stale bool) error {
	u, err := r.store.Alias(user)
	switch {
	case err != nil:
		return err
	case u.State == store.JoinSettled:
		return &wire.MovedError{To: u.To}
	case u.State == store.JoinPending && !stale:
		return fmt.Errorf("%.80q: %w: %.80q", user, wire.ErrJoining, u.To)
	}
	return nil
}

// joining is HistoryOf for who copies the events of a user for a join. Errors match wire.ErrMoved if it has been settled, and wire.ErrErased if it is there no more.
func (n *Node) joining(id uint64) func(context.Context, partition.ID, uint64, string, bool) ([]fusion.Event, error) {
	return func(ctx context.Context, p partition.ID, epoch uint64, user string, _ bool) ([]fusion.Event, error) {
		r, err := n.fresh(ctx, uint32(p), epoch, false)
		if err != nil {
			return nil, err
		}
		events, err := r.store.History(ctx, user)
		if err != nil {
			return nil, n.troubled(r, err)
		}
		switch u, err := r.store.Alias(user); {
		case err != nil:
			return nil, n.troubled(r, err)
		case u.ID != id:
			return nil, fmt.Errorf("%w: its join %d is there no more", wire.ErrErased, id)
		case u.State == store.JoinSettled:
			return nil, &wire.MovedError{To: u.To}
		}
		return events, nil
	}
}

// StepJoin implements kithv1.PartitionServiceServer.
func (n *Node) StepJoin(ctx context.Context, req *kithv1.StepJoinRequest) (*kithv1.StepJoinResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	j := store.Join{Step: store.JoinStep(req.Step), From: req.From, To: req.To, ID: req.Id}
	var command []byte
	switch req.Step {
	case kithv1.JoinStep_JOIN_STEP_COPY:
		events := wire.EventsFromProto(req.Events)
		for i := range events {
			if err := store.Check(&events[i]); err != nil {
				return nil, fmt.Errorf("%w: event %d: %w", wire.ErrInvalid, i, err)
			}
			if events[i].User != req.To {
				return nil, fmt.Errorf("%w: event %d is of %.80q, not %.80q", wire.ErrInvalid, i, events[i].User, req.To)
			}
		}
		command = store.EncodeCopies(nil, req.From, req.To, req.Id, events)
	case kithv1.JoinStep_JOIN_STEP_ERASED:
		keys, err := erasedFromProto(req.Erased)
		if err != nil {
			return nil, err
		}
		command = store.EncodeErased(nil, req.From, req.To, req.Id, keys)
	case kithv1.JoinStep_JOIN_STEP_BEGIN, kithv1.JoinStep_JOIN_STEP_ADOPT, kithv1.JoinStep_JOIN_STEP_BAR, kithv1.JoinStep_JOIN_STEP_DROP,
		kithv1.JoinStep_JOIN_STEP_COMPLETE, kithv1.JoinStep_JOIN_STEP_SETTLE, kithv1.JoinStep_JOIN_STEP_CANCEL, kithv1.JoinStep_JOIN_STEP_SWEEP:
		command = store.EncodeJoin(nil, j)
	default:
		return nil, fmt.Errorf("%w: step %d of a join", wire.ErrInvalid, req.Step)
	}
	if req.Step == kithv1.JoinStep_JOIN_STEP_BEGIN && time.Now().UnixNano() < r.joinsHeld.Load() {
		return nil, fmt.Errorf("%w: joins wait for a cut", wire.ErrNotReady)
	}
	if err := store.CheckJoin(j); err != nil {
		return nil, fmt.Errorf("%w: join: %w", wire.ErrInvalid, err)
	}
	switch req.Step {
	case kithv1.JoinStep_JOIN_STEP_SWEEP:
	case kithv1.JoinStep_JOIN_STEP_BEGIN, kithv1.JoinStep_JOIN_STEP_SETTLE, kithv1.JoinStep_JOIN_STEP_CANCEL:
		err = n.belongs(r, req.From)
	default:
		err = n.belongs(r, req.To)
	}
	if err != nil {
		return nil, err
	}
	_, done, err := n.command(ctx, r, int64(proto.Size(req)), command)
	if err != nil {
		return nil, err
	}
	x := done.Join
	return &kithv1.StepJoinResponse{State: kithv1.JoinState(x.State), To: x.To, Id: x.ID, Events: x.Events, Fresh: x.Fresh}, nil
}

// LookUpUsers implements kithv1.PartitionServiceServer.
func (n *Node) LookUpUsers(ctx context.Context, req *kithv1.LookUpUsersRequest) (*kithv1.LookUpUsersResponse, error) {
	r, err := n.fresh(ctx, req.Partition, req.Epoch, false)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.LookUpUsersResponse{}
	for _, user := range req.Users {
		u, err := r.store.User(user)
		if err != nil {
			return nil, n.troubled(r, err)
		}
		resp.Users = append(resp.Users, &kithv1.UserState{User: user, Events: u.Events, State: kithv1.JoinState(u.State), To: u.To, Id: u.ID})
	}
	return resp, nil
}

// PendingJoins implements kithv1.PartitionServiceServer. Any replica answers: who reads of a join that has ended does nothing by going through its steps again.
func (n *Node) PendingJoins(ctx context.Context, req *kithv1.PendingJoinsRequest) (*kithv1.PendingJoinsResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	joins, err := r.store.PendingJoins(ctx, maxPendingJoins)
	if err != nil {
		return nil, n.troubled(r, err)
	}
	resp := &kithv1.PendingJoinsResponse{}
	for _, j := range joins {
		resp.Users = append(resp.Users, &kithv1.UserState{User: j.From, State: kithv1.JoinState_JOIN_STATE_PENDING, To: j.To, Id: j.ID})
	}
	return resp, nil
}
