package coordinator

import (
	"testing"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestStanding(t *testing.T) {
	s := &State{
		Members: []*kithv1.MemberRecord{{Id: "new", Folder: "f1"}, {Id: "old"}},
		Left:    []string{"gone"},
	}
	for _, c := range []struct {
		id, folder string
		want       kithv1.Standing
	}{
		{"new", "f1", kithv1.Standing_STANDING_MEMBER},
		{"new", "f2", kithv1.Standing_STANDING_OTHER_FOLDER},
		{"new", "", kithv1.Standing_STANDING_MEMBER}, // a server of an earlier version
		{"old", "f2", kithv1.Standing_STANDING_MEMBER},
		{"gone", "f1", kithv1.Standing_STANDING_LEFT},
		{"other", "f1", kithv1.Standing_STANDING_UNKNOWN},
	} {
		if got := s.standing(c.id, c.folder); got != c.want {
			t.Errorf("%s with folder %q: %v, want %v", c.id, c.folder, got, c.want)
		}
	}
}
