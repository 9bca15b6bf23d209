package worker

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// TestChangesKept: changes that nobody else needs are told of by numbers, and handed out once, when those of all partitions are there.
func TestChangesKept(t *testing.T) {
	f := &following{told: map[uint32]*changedShard{0: {}, 1: {}}}
	told := func(item uint32) *kithv1.ChangesResponse {
		return &kithv1.ChangesResponse{Users: 7, Interactions: 9, Added: []string{"new"}, Rows: []*kithv1.ChangedRow{
			{OldItems: []uint32{item, item + 1}, NewItems: []uint32{item, item + 1, item + 2}}, // one other entry of three
			{NewItems: []uint32{item}},
		}}
	}
	want := &kithv1.ChangesResponse{Users: 7, Interactions: 9, Kept: true, Pairs: 3 + 1}
	keep := func(p, item uint32) {
		t.Helper()
		m := told(item)
		if f.keepChanges(p, m, true); !proto.Equal(m, want) {
			t.Errorf("partition %d is told of by %v, want %v", p, m, want)
		}
	}
	lost := func(what string) {
		t.Helper()
		if parts, err := f.keptChanges(2); !errors.Is(err, wire.ErrBuildLost) {
			t.Errorf("%s: got changes %v and %v, want ErrBuildLost", what, parts, err)
		}
	}
	keep(0, 5)
	lost("those of partition 1 are not kept")
	keep(1, 3)
	m := told(5)
	if f.keepChanges(0, m, false); !proto.Equal(m, told(5)) {
		t.Errorf("all is told of by %v, want %v", m, told(5))
	}
	lost("those of partition 0 were told to others")
	keep(0, 5)
	parts, err := f.keptChanges(2)
	if err != nil {
		t.Fatal(err)
	}
	for p, item := range []uint32{5, 3} {
		got := &kithv1.ChangesResponse{Users: 7, Interactions: 9, Added: parts[p].added, Rows: parts[p].rows}
		if !proto.Equal(got, told(item)) {
			t.Errorf("partition %d: got %v, want %v", p, got, told(item))
		}
	}
	lost("they were handed out")
	f.step = new(similarity.Step)
	keep(0, 5)
	keep(1, 3)
	if f.told[0].kept != nil || f.told[1].kept != nil {
		t.Error("changes are kept beside the step that was made of them")
	}
}
