package coordinator_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func upsert(id string) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_UpsertMember{UpsertMember: &kithv1.UpsertMember{Member: &kithv1.MemberRecord{Id: id}}}}
}

func setFormed() *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetFormed{SetFormed: &kithv1.SetFormed{}}}
}

func startMove(p uint32, add, remove string) *kithv1.ControlCommand {
	m := &kithv1.Move{Partition: p, Add: add, Remove: remove}
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StartMove{StartMove: &kithv1.StartMove{Move: m}}}
}

func stepMove(move uint64, p uint32, step kithv1.MoveStep) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StepMove{StepMove: &kithv1.StepMove{Move: move, Partition: p, Step: step}}}
}

// step moves the move of the first partition on.
func (s *script) step(step kithv1.MoveStep) {
	s.t.Helper()
	s.do(stepMove(s.state.Move(0).GetId(), 0, step))
}

func setIntent(id string, intent kithv1.MemberIntent) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetIntent{SetIntent: &kithv1.SetIntent{Id: id, Intent: intent}}}
}

func forget(id string, left bool) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ForgetMember{ForgetMember: &kithv1.ForgetMember{Id: id, Left: left}}}
}

// formed is a script with two partitions, the first on a and b, the second on b and c, and a member d without replicas.
func formed(t *testing.T) *script {
	s := ready(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		s.do(upsert(id))
	}
	s.do(setFormed())
	return s
}

const (
	switched  = kithv1.MoveStep_MOVE_STEP_SWITCHED
	abandoned = kithv1.MoveStep_MOVE_STEP_ABANDONED
	ended     = kithv1.MoveStep_MOVE_STEP_ENDED
	drain     = kithv1.MemberIntent_MEMBER_INTENT_DRAIN
	leave     = kithv1.MemberIntent_MEMBER_INTENT_LEAVE
)

func TestAMoveGoesStepByStep(t *testing.T) {
	s := formed(t)
	s.do(startMove(0, "d", "a"))
	began := s.index
	id := s.state.Move(0).Id
	s.do(startMove(0, "d", "a")) // again
	if again := s.state.Move(0).Id; again != id || id != began {
		t.Errorf("move %d, begun at %d, is %d when it is begun again", id, began, again)
	}
	if got := s.state.Planned()[0]; !slices.Equal(got, []string{"d", "b"}) || !slices.Equal(s.state.Replicas[0], []string{"a", "b"}) {
		t.Errorf("before the switch: planned %v, are %v", got, s.state.Replicas[0])
	}
	for _, id := range []string{"a", "b", "d"} {
		if !s.state.Holds(0, id) {
			t.Errorf("%s should hold partition 0 during the move", id)
		}
	}
	if _, err := s.try(stepMove(id, 0, ended)); err == nil {
		t.Error("a move ended before its switch")
	}
	s.do(stepMove(id-1, 0, switched)) // of another move
	if s.state.Epoch != 1 {
		t.Error("the step of another move was taken")
	}
	for range 2 {
		s.do(stepMove(id, 0, switched))
		if s.state.Epoch != 2 || !slices.Equal(s.state.Replicas[0], []string{"d", "b"}) || !s.state.Holds(0, "a") {
			t.Fatalf("after the switch: epoch %d, replicas %v, a holds it: %v", s.state.Epoch, s.state.Replicas[0], s.state.Holds(0, "a"))
		}
	}
	s.do(stepMove(id, 0, abandoned)) // too late
	for range 2 {
		s.do(stepMove(id, 0, ended))
	}
	if len(s.state.Moves) != 0 || s.state.HoldsAny("a") {
		t.Errorf("after the end: moves %v, a holds something: %v", s.state.Moves, s.state.HoldsAny("a"))
	}
}

func TestAMoveIsAbandoned(t *testing.T) {
	s := formed(t)
	s.do(startMove(0, "d", "a"))
	s.step(abandoned)
	if m := s.state.Move(0); m == nil || m.Remove != "d" || m.Add != "" || !s.state.Holds(0, "d") {
		t.Fatalf("what was added must be taken out: %v", m)
	}
	s.step(ended)
	if s.state.Epoch != 1 || len(s.state.Moves) != 0 || !slices.Equal(s.state.Replicas[0], []string{"a", "b"}) {
		t.Errorf("epoch %d, moves %v, replicas %v", s.state.Epoch, s.state.Moves, s.state.Replicas[0])
	}
}

func TestMovesThatCannotBe(t *testing.T) {
	if _, err := ready(t).try(startMove(0, "", "a")); err == nil {
		t.Error("a move before the cluster is formed was accepted")
	}
	for _, c := range []struct {
		name string
		move *kithv1.ControlCommand
	}{
		{"of no partition", startMove(2, "d", "a")},
		{"of nothing", startMove(0, "", "")},
		{"to one who is no member", startMove(0, "x", "a")},
		{"to one who holds it", startMove(0, "b", "a")},
		{"from one who does not hold it", startMove(0, "d", "c")},
	} {
		if _, err := formed(t).try(c.move); err == nil {
			t.Errorf("a move %s was accepted", c.name)
		}
	}
	s := formed(t)
	s.do(startMove(0, "", "a"))
	if _, err := s.try(startMove(0, "d", "b")); err == nil {
		t.Error("a second move of a partition was accepted")
	}
	s.step(switched)
	s.step(ended)
	if _, err := s.try(startMove(0, "", "b")); err == nil {
		t.Error("the last replica may go")
	}
	s.do(createJob("cosine", "r"))
	if _, err := s.try(startMove(1, "d", "b")); err == nil {
		t.Error("a move began during a build")
	}
	if _, err := s.try(shardMap(s.state.Epoch+1, []string{"a"}, []string{"a"})); err == nil {
		t.Error("the shard map of a formed cluster was replaced")
	}
}

func TestMembersDrainAndLeave(t *testing.T) {
	s := formed(t)
	if _, err := s.try(setIntent("x", leave)); !errors.Is(err, wire.ErrUnknownMember) {
		t.Errorf("unknown member: got %v", err)
	}
	s.do(setIntent("a", drain))
	s.do(upsert("a"))
	if s.state.Member("a").Intent != drain {
		t.Error("news of a member changed what was decided about it")
	}
	s.do(setIntent("b", leave))
	s.do(setIntent("c", leave))
	if _, err := s.try(setIntent("d", leave)); !errors.Is(err, wire.ErrLastMember) {
		t.Errorf("the last member that stays: got %v", err)
	}
	if _, err := s.try(forget("a", true)); err == nil {
		t.Error("a member that holds replicas was forgotten")
	}
	s.do(startMove(0, "d", "a"))
	s.step(switched)
	s.step(ended)
	s.do(setIntent("a", leave))
	if _, err := s.try(setIntent("a", 0)); err == nil {
		t.Error("a member that leaves and holds nothing came back")
	}
	s.do(forget("a", true))
	if _, err := s.try(upsert("a")); err == nil || s.state.Member("a") != nil {
		t.Errorf("a member that left came back: %v", err)
	}
	s.do(setIntent("c", 0))
}
