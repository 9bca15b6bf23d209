package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// askTimeout bounds a question to one node.
	askTimeout = 2 * time.Second
	// stepTimeout bounds one try at one step of a move; copying a partition may take several.
	stepTimeout = 30 * time.Second
	// abandonAfter is how long the member that is to get a replica may not answer, or say that it cannot open it, before the move is
	// turned round.
	abandonAfter = time.Minute
	// stuckAfter is the same for one that opens it and to which nothing comes.
	stuckAfter = 10 * time.Minute
	// spareFor is how long no replica is moved to a member after that.
	spareFor = 10 * time.Minute
	// goodbye is how long a member that has left may take to notice before it is cut off from the control group.
	goodbye = 10 * time.Second
)

// placement keeps members, votes and replicas as they should be while this process coordinates (docs/adr/0011).
type placement struct {
	*Coordinator
	watch *watch
	// forgotten tells since when a member of the control group is none of the cluster.
	forgotten map[string]time.Time
	// evened is when the leaders of partitions were looked at last.
	evened  time.Time
	strides *strides

	moves  sync.WaitGroup
	mu     sync.Mutex // guards what follows
	moving map[uint32]bool
	// spared tells until when no replica is moved to a member, as it could not take one.
	spared map[string]time.Time
}

func newPlacement(c *Coordinator) *placement {
	return &placement{Coordinator: c, watch: newWatch(c.cfg.Now), forgotten: map[string]time.Time{}, strides: &strides{now: c.cfg.Now}, moving: map[uint32]bool{}, spared: map[string]time.Time{}}
}

// pass compares what is with what should be, once, and begins what is missing. It returns wire.ErrNotLeader when it has
// handed on leadership. What it begins goes on until life ends.
func (p *placement) pass(ctx, life context.Context) error {
	p.watch.see(p.State().Members, p.peers.All())
	if err := p.form(ctx); err != nil {
		return err
	}
	if err := p.vote(ctx); err != nil {
		return err
	}
	if err := p.forget(ctx); err != nil {
		return err
	}
	if err := p.unblock(ctx); err != nil {
		return err
	}
	if err := p.startMoves(ctx); err != nil {
		return err
	}
	p.runMoves(life)
	p.evenLeaders(ctx)
	return nil
}

// wait returns when no move runs any more. The context of the passes must have ended.
func (p *placement) wait() { p.moves.Wait() }

// form records that all partitions have had a leader.
func (p *placement) form(ctx context.Context) error {
	s := p.State()
	if s.Epoch == 0 || s.Formed {
		return nil
	}
	led := make([]bool, len(s.Replicas))
	for _, info := range p.infos(ctx, p.peers.Alive()) { // those that do not answer are asked again at the next pass
		for _, r := range info.Replicas {
			if int(r.Partition) < len(led) && r.LeaderId != "" {
				led[r.Partition] = true
			}
		}
	}
	if slices.Contains(led, false) {
		return nil
	}
	_, err := p.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetFormed{SetFormed: &kithv1.SetFormed{}}})
	return err
}

func (p *placement) info(ctx context.Context, id string) (*kithv1.InfoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := p.peers.Conn(ctx, id)
	if err != nil {
		return nil, err
	}
	return kithv1.NewPartitionServiceClient(conn).Info(ctx, &kithv1.InfoRequest{})
}

// infos asks nodes how they are, all at once, and returns the answers of those that gave one.
func (p *placement) infos(ctx context.Context, nodes []string) map[string]*kithv1.InfoResponse {
	var mu sync.Mutex
	out := map[string]*kithv1.InfoResponse{}
	var asking sync.WaitGroup
	for _, id := range nodes {
		asking.Go(func() {
			info, err := p.info(ctx, id)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = info
		})
	}
	asking.Wait()
	return out
}

// vote gives and takes votes in the control group, one in a pass.
func (p *placement) vote(ctx context.Context) error {
	s := p.State()
	members, err := p.group.Members()
	if err != nil {
		return err
	}
	voter := map[string]bool{}
	for _, m := range members {
		voter[m.ID] = m.Voter
	}
	var candidates []candidate
	for _, m := range p.watch.placeable(s, p.cfg.DeadAfter) {
		if _, in := voter[m.Id]; in {
			candidates = append(candidates, candidate{
				id: m.Id, zone: m.Zone, voter: voter[m.Id], leads: m.Id == p.peers.Self(), ready: p.watch.steady(m.Id, p.cfg.SteadyAfter),
			})
		}
	}
	chosen := chooseVoters(candidates)
	if len(chosen) == 0 {
		return nil
	}
	for _, id := range chosen {
		if !voter[id] {
			return p.giveVote(ctx, id)
		}
	}
	return p.takeVote(ctx, members, chosen)
}

// takeVote takes the vote of a member that is not chosen, in the order of giveUp, and of none if most of the voters that are left do not
// answer at this moment.
func (p *placement) takeVote(ctx context.Context, members []consensus.Member, chosen []string) error {
	var voters []string
	for _, m := range members {
		if m.Voter {
			voters = append(voters, m.ID)
		}
	}
	for _, id := range giveUp(p.State(), voters, p.peers.Alive()) {
		if slices.Contains(chosen, id) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(voters), func(v string) bool { return v == id })
		switch {
		case !mostAnswer(p.responding(ctx, left), left):
			continue
		case id == p.peers.Self():
			p.cfg.Logger.Info("hands on the coordination", "node", id)
			if err := p.group.TransferLeadership(ctx); err != nil {
				return err
			}
			return wire.ErrNotLeader
		}
		p.cfg.Logger.Info("takes a vote in the control group", "node", id)
		return p.group.DemoteVoter(ctx, id)
	}
	return nil
}

// giveVote gives a member a vote, if it knows all decisions.
func (p *placement) giveVote(ctx context.Context, id string) error {
	known := p.group.AppliedIndex()
	info, err := p.info(ctx, id)
	if err != nil || info.ControlIndex < known {
		return nil //nolint:nilerr // not ready for a vote; the next pass asks again
	}
	peer, ok := p.peers.Lookup(id)
	if !ok {
		return nil
	}
	p.cfg.Logger.Info("gives a vote in the control group", "node", id)
	return p.group.AddVoter(ctx, id, peer.RaftAddr, 0)
}

// forget removes members that hold nothing any more: those that leave, and those that are lost.
func (p *placement) forget(ctx context.Context) error {
	s := p.State()
	members, err := p.group.Members()
	if err != nil {
		return err
	}
	for _, m := range s.Members {
		leaves := m.Intent == kithv1.MemberIntent_MEMBER_INTENT_LEAVE
		lost := p.watch.lost(m.Id, p.cfg.DeadAfter) && Stays(m) && !p.watch.isPlaceable(s, m.Id, p.cfg.DeadAfter)
		votes := slices.ContainsFunc(members, func(c consensus.Member) bool { return c.ID == m.Id && c.Voter })
		if !leaves && !lost || votes || s.HoldsAny(m.Id) {
			continue
		}
		p.cfg.Logger.Info("forgets a member", "node", m.Id, "left", leaves)
		_, err := p.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ForgetMember{ForgetMember: &kithv1.ForgetMember{Id: m.Id, Left: leaves}}})
		if err != nil {
			return err
		}
	}
	return p.cutOff(ctx, members)
}

// cutOff removes from the control group who is no member any more, after it could learn so.
func (p *placement) cutOff(ctx context.Context, members []consensus.Member) error {
	s, alive := p.State(), p.peers.Alive()
	for _, m := range members {
		if s.Member(m.ID) != nil || m.Voter {
			delete(p.forgotten, m.ID)
			continue
		}
		since, known := p.forgotten[m.ID]
		if !known {
			since = p.cfg.Now()
			p.forgotten[m.ID] = since
		}
		if slices.Contains(alive, m.ID) && p.cfg.Now().Sub(since) < goodbye {
			continue
		}
		if err := p.group.Remove(ctx, m.ID, 0); err != nil {
			return err
		}
		delete(p.forgotten, m.ID)
	}
	return nil
}

// pending returns the moves that the present members call for and that have not begun, those first whose partitions have the
// fewest replicas that answer. It is nil while the cluster is forming.
func (p *placement) pending(s *State) []*kithv1.Move {
	present := slices.DeleteFunc(p.watch.placeable(s, p.cfg.DeadAfter), func(m *kithv1.MemberRecord) bool {
		return !s.HoldsAny(m.Id) && !p.watch.steady(m.Id, p.cfg.SteadyAfter)
	})
	now, out := s.Planned(), s.movesTo(present)
	alive := p.peers.Alive()
	slices.SortStableFunc(out, func(a, b *kithv1.Move) int {
		return cmp.Compare(answering(alive, now[a.Partition]), answering(alive, now[b.Partition]))
	})
	return out
}

// startMoves records the next moves, as many as may run.
func (p *placement) startMoves(ctx context.Context) error {
	s := p.State()
	if s.Running() != nil {
		return nil // the build relies on where shards are
	}
	alive := p.peers.Alive()
	for _, m := range p.pending(s) {
		s = p.State()
		if len(s.Moves) >= maxMoves || s.Running() != nil {
			return nil
		}
		hold := s.Replicas[m.Partition]
		if s.Move(m.Partition) != nil || m.Add != "" && (!slices.Contains(alive, m.Add) || p.isSpared(m.Add)) || !mostAnswer(alive, hold) || !mostAnswer(alive, replaced(hold, m)) {
			continue // not now
		}
		_, err := p.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StartMove{StartMove: &kithv1.StartMove{Move: m}}})
		if err != nil && !errors.Is(err, wire.ErrInvalid) { // refused: a build or another change was quicker
			return err
		}
	}
	return nil
}

// runMoves works on every move that is recorded, each in a goroutine of its own that ends with the move or with ctx.
func (p *placement) runMoves(ctx context.Context) {
	for _, m := range p.State().Moves {
		p.mu.Lock()
		runs := p.moving[m.Partition]
		p.moving[m.Partition] = true
		p.mu.Unlock()
		if runs {
			continue
		}
		p.moves.Go(func() {
			p.move(ctx, m.Partition)
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.moving, m.Partition)
		})
	}
}

// move brings the move of a partition to its end.
func (p *placement) move(ctx context.Context, of uint32) {
	pause := firstPause
	var stuck stall
	for {
		m := p.State().Move(of)
		if m == nil || ctx.Err() != nil {
			return
		}
		err := p.step(ctx, m)
		if err == nil {
			pause, stuck = firstPause, stall{}
			continue
		}
		if ctx.Err() != nil || errors.Is(err, wire.ErrNotLeader) {
			return // another coordinator goes on
		}
		p.cfg.Logger.Warn("move of a replica waits", "partition", of, "add", m.Add, "remove", m.Remove, "err", err)
		if m.Add != "" && !m.Switched && p.stalled(ctx, m, &stuck, err) {
			p.spare(m.Add)
			if err := p.record(ctx, m, kithv1.MoveStep_MOVE_STEP_ABANDONED); err == nil {
				continue
			}
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, leaderPause)
	}
}

// stall is how far the new replica of a move has come, in entries and bytes, and since when no farther.
type stall struct {
	since time.Time
	come  uint64
}

// stalled reports whether the member that is to get a replica has failed to come on for so long that the move is to be given up.
func (p *placement) stalled(ctx context.Context, m *kithv1.Move, s *stall, err error) bool {
	limit, come := stuckAfter, s.come
	if errors.Is(err, wire.ErrDiskFull) || errors.Is(err, wire.ErrNoReplica) {
		limit = min(p.cfg.DeadAfter, abandonAfter)
	}
	if info, err := p.info(ctx, m.Add); err == nil {
		for _, r := range info.Replicas {
			if r.Partition == m.Partition {
				come = r.AppliedIndex + r.ArrivedBytes // a snapshot and the files of models grow before the index does
			}
		}
	}
	if s.since.IsZero() || come != s.come {
		*s = stall{since: p.cfg.Now(), come: come}
	}
	return p.cfg.Now().Sub(s.since) > limit
}

// spare keeps replicas from being moved to a member for a while, so that others are.
func (p *placement) spare(id string) {
	p.cfg.Logger.Warn("gives up the move to a member that cannot take a replica", "node", id, "tries_again_in", spareFor)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spared[id] = p.cfg.Now().Add(spareFor)
}

func (p *placement) isSpared(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Now().Before(p.spared[id])
}

// step does what is next of a move.
func (p *placement) step(ctx context.Context, m *kithv1.Move) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if m.Add != "" && !m.Switched && (!p.watch.isPlaceable(p.State(), m.Add, p.cfg.DeadAfter) || p.watch.lost(m.Add, min(p.cfg.DeadAfter, abandonAfter))) {
		return p.record(ctx, m, kithv1.MoveStep_MOVE_STEP_ABANDONED)
	}
	after := p.State().Replicas[m.Partition]
	if !m.Switched {
		after = replaced(after, m)
	}
	if !mostAnswer(p.peers.Alive(), after) {
		return fmt.Errorf("partition %d: %w: most of %v, which will have it", m.Partition, wire.ErrNoMajority, after)
	}
	if m.Switched {
		if !mostAnswer(p.responding(ctx, after), after) {
			return fmt.Errorf("partition %d: %w: most of %v do not answer at this moment", m.Partition, wire.ErrNoMajority, after)
		}
		if err := p.change(ctx, m, kithv1.ReplicaChange_REPLICA_CHANGE_REMOVE, m.Remove, nil); err != nil {
			return err
		}
		return p.record(ctx, m, kithv1.MoveStep_MOVE_STEP_ENDED)
	}
	if m.Add == "" {
		return p.record(ctx, m, kithv1.MoveStep_MOVE_STEP_SWITCHED)
	}
	var index uint64
	if err := p.change(ctx, m, kithv1.ReplicaChange_REPLICA_CHANGE_ADD, m.Add, &index); err != nil {
		return err
	}
	conn, err := p.peers.Conn(ctx, m.Add)
	if err != nil {
		return err
	}
	if _, err := kithv1.NewPartitionServiceClient(conn).AwaitReplica(ctx, &kithv1.AwaitReplicaRequest{
		Move: m.Id, Partition: m.Partition, Index: index,
	}); err != nil {
		return fmt.Errorf("node %s: %w", m.Add, err)
	}
	if err := p.change(ctx, m, kithv1.ReplicaChange_REPLICA_CHANGE_PROMOTE, m.Add, nil); err != nil {
		return err
	}
	return p.record(ctx, m, kithv1.MoveStep_MOVE_STEP_SWITCHED)
}

// change asks the leader of a partition for a change of its group.
func (p *placement) change(ctx context.Context, m *kithv1.Move, what kithv1.ReplicaChange, member string, index *uint64) error {
	addr, _ := p.peers.RaftAddr(member)
	return p.router.onPartition(ctx, partition.ID(m.Partition), false, func(ctx context.Context, c kithv1.PartitionServiceClient, _ uint64) error {
		resp, err := c.ChangeReplica(ctx, &kithv1.ChangeReplicaRequest{
			Move: m.Id, Partition: m.Partition, Change: what, Node: member, RaftAddr: addr,
		})
		if err == nil && index != nil {
			*index = resp.Index
		}
		return err
	})
}

func (p *placement) record(ctx context.Context, m *kithv1.Move, step kithv1.MoveStep) error {
	_, err := p.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StepMove{StepMove: &kithv1.StepMove{
		Move: m.Id, Partition: m.Partition, Add: m.Add, Remove: m.Remove, Step: step,
	}}})
	return err
}
