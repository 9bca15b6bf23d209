package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Level is the highest level of the control log that this program knows. Programs from before levels say nothing of theirs, which counts as 0.
//
//	1  the phase TRAIN, the commands of trainings, RaiseLevel, RestartJob
//	2  joins of users in the logs of partitions
//	3  what stays of joined keys that are erased, in the same
//
// A command, a phase, or a field of a command that changes the state gets the next level, unless a program that does not know it comes to the same state. A
// coordinator writes it only behind require. Then no member takes it for something else, and none is taken in that would.
const Level = 3

// Levels of what not all programs know.
const (
	modelsLevel  = 1 // of builds with models
	restartLevel = 1 // of builds that begin again
	joinLevel    = 2 // of joins of users
	erasedLevel  = 3 // of what stays of joined keys
)

// unknownError refuses what a program of a later level has written. It matches wire.ErrUpgrade, and consensus.ErrTooNew: who meets it in the log applies nothing any
// more.
type unknownError struct{ what string }

// Error implements error.
func (e unknownError) Error() string {
	return "this program does not know " + e.what + ", which a newer one has written: upgrade this server"
}

// Is makes the error match its sentinels.
func (e unknownError) Is(target error) bool {
	return target == wire.ErrUpgrade || target == consensus.ErrTooNew
}

// known returns an unknownError unless this program can apply a command as every other program that can.
func known(c *kithv1.ControlCommand) error {
	switch c := c.GetCommand().(type) {
	case nil:
		return unknownError{"the kind of a command of the control group"}
	case *kithv1.ControlCommand_SetJobPhase:
		if _, ok := kithv1.JobPhase_name[int32(c.SetJobPhase.GetPhase())]; !ok {
			return unknownError{fmt.Sprintf("phase %d of a build", c.SetJobPhase.Phase)}
		}
	case *kithv1.ControlCommand_StepMove:
		if _, ok := kithv1.MoveStep_name[int32(c.StepMove.GetStep())]; !ok {
			return unknownError{fmt.Sprintf("step %d of a move", c.StepMove.Step)}
		}
	case *kithv1.ControlCommand_SetIntent:
		if _, ok := kithv1.MemberIntent_name[int32(c.SetIntent.GetIntent())]; !ok {
			return unknownError{fmt.Sprintf("intent %d about a member", c.SetIntent.Intent)}
		}
	case *kithv1.ControlCommand_RaiseLevel:
		return knownLevel(c.RaiseLevel.GetLevel())
	}
	return nil
}

// knownLevel returns an unknownError for levels above Level.
func knownLevel(level uint32) error {
	if level > Level {
		return unknownError{fmt.Sprintf("level %d of the control group", level)}
	}
	return nil
}

func (s *State) raiseLevel(level uint32) error {
	if level <= s.Level {
		return nil
	}
	if err := upgrade(s.Members, level, fmt.Sprintf("level %d of the control group", level)); err != nil {
		return err
	}
	s.Level = level
	return nil
}

// upgrade returns an error that matches wire.ErrUpgrade and names the members that do not know a level, for what needs it; nil if all know it.
func upgrade(members []*kithv1.MemberRecord, level uint32, what string) error {
	var old []string
	for _, m := range members {
		if m.Level < level {
			old = append(old, strings.TrimSpace(m.Id+" "+m.Version))
		}
	}
	if len(old) == 0 {
		return nil
	}
	return fmt.Errorf("%s %w on %s: upgrade these servers first", what, wire.ErrUpgrade, strings.Join(old, ", "))
}

// require makes sure that all members know a level, now and from now on. It returns an error that matches wire.ErrUpgrade and names the servers to upgrade if some do
// not; what says for what it is needed.
func (c *Coordinator) require(ctx context.Context, level uint32, what string) error {
	s := c.State()
	if s.Level >= level {
		return nil
	}
	members := make([]*kithv1.MemberRecord, len(s.Members))
	for i, m := range s.Members {
		members[i] = &kithv1.MemberRecord{Id: m.Id, Version: m.Version, Level: m.Level}
		if p, ok := c.peers.Lookup(m.Id); ok && p.Alive { // a coordinator of before levels records none
			members[i].Version, members[i].Level = p.Version, p.Level
		}
	}
	if err := upgrade(members, level, what); err != nil {
		return err
	}
	_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RaiseLevel{RaiseLevel: &kithv1.RaiseLevel{Level: level}}})
	if errors.Is(err, wire.ErrUpgrade) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// requireFor is require for what a build needs.
func (c *Coordinator) requireFor(ctx context.Context, spec *kithv1.BuildSpec) error {
	if len(spec.GetModels()) == 0 {
		return nil
	}
	return c.require(ctx, modelsLevel, "a build with models")
}

// RequireJoins returns an error that matches wire.ErrUpgrade unless all servers know joins of users, now and from now on: the replicas of those that do not would refuse the commands.
func (c *Coordinator) RequireJoins(ctx context.Context) error {
	return c.require(ctx, joinLevel, "a join of users")
}
