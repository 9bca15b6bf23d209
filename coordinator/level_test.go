package coordinator

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func member(id, version string, level uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_UpsertMember{UpsertMember: &kithv1.UpsertMember{
		Member: &kithv1.MemberRecord{Id: id, Version: version, Level: level},
	}}}
}

func raiseLevel(level uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RaiseLevel{RaiseLevel: &kithv1.RaiseLevel{Level: level}}}
}

// TestLevelIsThatOfAllMembers: a level holds once all members know it, and keeps those out that do not.
func TestLevelIsThatOfAllMembers(t *testing.T) {
	s, _ := apply(t, &State{}, member("a", "1.1", Level), member("b", "0.9", 0), raiseLevel(0))
	refused := func(c *kithv1.ControlCommand, names string) {
		t.Helper()
		next, _, err := s.Apply(s.Applied+1, c)
		if !errors.Is(err, wire.ErrUpgrade) || errors.Is(err, consensus.ErrTooNew) || !strings.Contains(err.Error(), "on "+names+":") {
			t.Errorf("%v: error %v, want one matching ErrUpgrade that names %s alone, and halts nobody", c, err, names)
		}
		if next.Level != s.Level || len(next.Members) != len(s.Members) {
			t.Errorf("%v was refused and changed the state to %+v", c, next)
		}
	}
	refused(raiseLevel(Level), "b 0.9")
	s, _ = apply(t, s, member("b", "1.1", Level), raiseLevel(Level), raiseLevel(0))
	if s.Level != Level {
		t.Errorf("level %d, want %d", s.Level, Level)
	}
	refused(member("c", "0.9", 0), "c 0.9")
	refused(member("b", "0.9", 0), "b 0.9")
}

// TestWhatIsNotKnownHalts: nothing of a later level is passed over, neither in the log nor in a snapshot.
func TestWhatIsNotKnownHalts(t *testing.T) {
	s, _ := apply(t, &State{}, member("a", "1.1", Level), raiseLevel(Level))
	for name, c := range map[string]*kithv1.ControlCommand{
		"none":   nil,
		"kind":   {},
		"phase":  setPhase(1, 99),
		"step":   {Command: &kithv1.ControlCommand_StepMove{StepMove: &kithv1.StepMove{Step: 99}}},
		"intent": {Command: &kithv1.ControlCommand_SetIntent{SetIntent: &kithv1.SetIntent{Id: "a", Intent: 99}}},
		"level":  raiseLevel(Level + 1),
	} {
		next, _, err := s.Apply(s.Applied+1, c)
		if !errors.Is(err, consensus.ErrTooNew) || !errors.Is(err, wire.ErrUpgrade) || next != s {
			t.Errorf("%s: error %v and state %+v, want ErrTooNew and the state as it was", name, err, next)
		}
	}

	m := NewMachine()
	m.set(s)
	entry := protowire.AppendBytes(protowire.AppendTag(nil, 9999, protowire.BytesType), []byte("later"))
	if _, err := m.Apply(s.Applied+1, entry); !errors.Is(err, consensus.ErrTooNew) || m.State() != s {
		t.Errorf("entry of a later program: error %v and state %+v, want ErrTooNew and the state as it was", err, m.State())
	}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := DecodeState(b); err != nil || read.Level != Level {
		t.Errorf("a snapshot has level %d, error %v; want %d", read.Level, err, Level)
	}
	later := &kithv1.ControlState{}
	if err := proto.Unmarshal(b, later); err != nil {
		t.Fatal(err)
	}
	later.Level++
	if b, err = proto.Marshal(later); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(bytes.NewReader(b)); !errors.Is(err, consensus.ErrTooNew) || m.State() != s {
		t.Errorf("snapshot of a later level: error %v and state %+v, want ErrTooNew and the state as it was", err, m.State())
	}
}
