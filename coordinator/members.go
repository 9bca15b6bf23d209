package coordinator

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// maxMoves is the number of replicas that are moved at a time: each is a copy of a partition over the network, beside
// queries.
const maxMoves = 4

// Move returns the move of a partition that is under way, or nil.
func (s *State) Move(p uint32) *kithv1.Move {
	at := s.moveAt(p)
	if at < 0 {
		return nil
	}
	return s.Moves[at]
}

func (s *State) moveAt(p uint32) int {
	return slices.IndexFunc(s.Moves, func(m *kithv1.Move) bool { return m.Partition == p })
}

func (s *State) startMove(index uint64, m *kithv1.Move) error {
	switch {
	case int64(m.GetPartition()) >= int64(len(s.Replicas)):
		return fmt.Errorf("%w: move of partition %d of %d", errCommand, m.GetPartition(), len(s.Replicas))
	case !s.Formed:
		return fmt.Errorf("%w: move of partition %d before all have had a leader", errCommand, m.Partition)
	case m.Add == "" && m.Remove == "" || m.Switched:
		return fmt.Errorf("%w: move of partition %d of nothing", errCommand, m.Partition)
	case s.Running() != nil:
		return fmt.Errorf("%w: move of partition %d during job %d", errCommand, m.Partition, s.Running().Job.Id)
	case len(s.Moves) >= maxMoves:
		return fmt.Errorf("%w: move of partition %d beside %d others", errCommand, m.Partition, len(s.Moves))
	}
	if now := s.Move(m.Partition); now != nil {
		if now.Add == m.Add && now.Remove == m.Remove && !now.Switched {
			return nil // a repeated command
		}
		return fmt.Errorf("%w: two moves of partition %d", errCommand, m.Partition)
	}
	hold := s.Replicas[m.Partition]
	switch {
	case m.Add != "" && (slices.Contains(hold, m.Add) || s.Member(m.Add) == nil):
		return fmt.Errorf("%w: partition %d on %v cannot get %s", errCommand, m.Partition, hold, m.Add)
	case m.Remove != "" && !slices.Contains(hold, m.Remove):
		return fmt.Errorf("%w: partition %d on %v cannot lose %s", errCommand, m.Partition, hold, m.Remove)
	case m.Add == "" && len(hold) == 1:
		return fmt.Errorf("%w: partition %d would lose its last replica, on %s", errCommand, m.Partition, m.Remove)
	}
	m = proto.Clone(m).(*kithv1.Move)
	m.Id = index
	s.Moves = append(slices.Clone(s.Moves), m)
	return nil
}

func (s *State) stepMove(c *kithv1.StepMove) error {
	at := s.moveAt(c.Partition)
	if at < 0 || s.Moves[at].Id != c.Move {
		return nil // a repeated step, or one that was late
	}
	m := proto.Clone(s.Moves[at]).(*kithv1.Move)
	switch c.Step {
	case kithv1.MoveStep_MOVE_STEP_SWITCHED:
		if m.Switched {
			return nil
		}
		m.Switched = true
		s.Replicas, s.Epoch = slices.Clone(s.Replicas), s.Epoch+1
		s.Replicas[m.Partition] = replaced(s.Replicas[m.Partition], m)
	case kithv1.MoveStep_MOVE_STEP_ABANDONED:
		if m.Switched {
			return nil // it is in: another move may take it away
		}
		m.Remove, m.Add, m.Switched = m.Add, "", true
	case kithv1.MoveStep_MOVE_STEP_ENDED:
		if !m.Switched {
			return fmt.Errorf("%w: end of the move of partition %d before the shard map follows it", errCommand, m.Partition)
		}
		m.Remove = ""
	default:
		return fmt.Errorf("%w: step %v of a move", errCommand, c.Step)
	}
	s.Moves = slices.Clone(s.Moves)
	if s.Moves[at] = m; m.Switched && m.Remove == "" {
		s.Moves = orNil(slices.Delete(s.Moves, at, at+1))
	}
	return nil
}

// replaced returns the replicas of a partition after a move.
func replaced(nodes []string, m *kithv1.Move) []string {
	nodes = slices.Clone(nodes)
	at := slices.Index(nodes, m.Remove)
	switch {
	case at >= 0 && m.Add != "":
		nodes[at] = m.Add
	case at >= 0:
		nodes = slices.Delete(nodes, at, at+1)
	default:
		nodes = append(nodes, m.Add)
	}
	return nodes
}

// Planned returns the replicas of all partitions as they will be when the moves under way have ended.
func (s *State) Planned() [][]string {
	out := slices.Clone(s.Replicas)
	for _, m := range s.Moves {
		if !m.Switched {
			out[m.Partition] = replaced(out[m.Partition], m)
		}
	}
	return out
}

// movesTo returns the moves, besides those under way, that bring the replicas to where they should be on some members.
func (s *State) movesTo(members []*kithv1.MemberRecord) (out []*kithv1.Move) {
	if !s.Formed || len(members) == 0 {
		return nil
	}
	place := make([]partition.Member, len(members))
	for i, m := range members {
		place[i] = partition.Member{ID: m.Id, Zone: m.Zone, Weight: m.Weight}
	}
	now := s.Planned()
	for p, target := range partition.Rebalance(now, place, int(s.Cluster.ReplicationFactor)) {
		comes := slices.DeleteFunc(slices.Clone(target), func(n string) bool { return slices.Contains(now[p], n) })
		goes := slices.DeleteFunc(slices.Clone(now[p]), func(n string) bool { return slices.Contains(target, n) })
		for k := range max(len(comes), len(goes)) {
			m := &kithv1.Move{Partition: uint32(p)}
			if k < len(comes) {
				m.Add = comes[k]
			}
			if k < len(goes) {
				m.Remove = goes[k]
			}
			out = append(out, m)
		}
	}
	return out
}

// MovesLeft returns how many replicas are still to be moved, apart from those under way, until they are where the members that stay
// want them. Members that are lost are not taken into account.
func (s *State) MovesLeft() int {
	return len(s.movesTo(slices.DeleteFunc(slices.Clone(s.Members), func(m *kithv1.MemberRecord) bool { return !Stays(m) })))
}

// Holds reports whether a member has a replica of a partition, gets one, or is losing one.
func (s *State) Holds(p uint32, member string) bool {
	m := s.Move(p)
	return slices.Contains(s.Replicas[p], member) || m != nil && (m.Add == member || m.Remove == member)
}

// HoldsAny reports whether Holds is true for any partition.
func (s *State) HoldsAny(member string) bool {
	for p := range s.Replicas {
		if s.Holds(uint32(p), member) {
			return true
		}
	}
	return false
}

// standing says what a server with some id and data folder is to the cluster.
func (s *State) standing(id, folder string) kithv1.Standing {
	m := s.Member(id)
	switch {
	case slices.Contains(s.Left, id):
		return kithv1.Standing_STANDING_LEFT
	case m == nil:
		return kithv1.Standing_STANDING_UNKNOWN
	case !sameFolder(m, folder):
		return kithv1.Standing_STANDING_OTHER_FOLDER
	}
	return kithv1.Standing_STANDING_MEMBER
}

// Impostor reports whether a process has the id of a member and another data folder.
func (s *State) Impostor(id, folder string) bool {
	m := s.Member(id)
	return m != nil && !sameFolder(m, folder)
}

// sameFolder reports whether a data folder may be that of a member: folders had no ids once.
func sameFolder(m *kithv1.MemberRecord, folder string) bool {
	return m.GetFolder() == "" || folder == "" || m.Folder == folder
}

// Stays reports whether a member is to keep its replicas and its vote.
func Stays(m *kithv1.MemberRecord) bool {
	return m.Intent == kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED
}

func (s *State) setFormed() error {
	if s.Epoch == 0 {
		return fmt.Errorf("%w: partitions cannot have leaders before there is a shard map", errCommand)
	}
	s.Formed = true
	return nil
}

func (s *State) setIntent(c *kithv1.SetIntent) error {
	m := s.Member(c.Id)
	if m == nil {
		return fmt.Errorf("%w: %s", wire.ErrUnknownMember, c.Id)
	}
	if m.Intent == kithv1.MemberIntent_MEMBER_INTENT_LEAVE && c.Intent != m.Intent && !s.HoldsAny(c.Id) {
		return fmt.Errorf("%w: member %s has as good as left", wire.ErrInvalid, c.Id)
	}
	others := slices.ContainsFunc(s.Members, func(o *kithv1.MemberRecord) bool { return o.Id != c.Id && Stays(o) })
	if c.Intent != kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED && !others {
		return fmt.Errorf("%w: %s", wire.ErrLastMember, c.Id)
	}
	m = proto.Clone(m).(*kithv1.MemberRecord)
	m.Intent = c.Intent
	return s.putMember(m)
}

func (s *State) forgetMember(c *kithv1.ForgetMember) error {
	if s.HoldsAny(c.Id) {
		return fmt.Errorf("%w: member %s still holds replicas", errCommand, c.Id)
	}
	s.Members = orNil(slices.DeleteFunc(slices.Clone(s.Members), func(m *kithv1.MemberRecord) bool { return m.Id == c.Id }))
	if c.Left && !slices.Contains(s.Left, c.Id) {
		s.Left = append(slices.Clone(s.Left), c.Id)
	}
	return nil
}

// orNil returns nil for an empty slice, as a state that comes from a snapshot has it.
func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}
