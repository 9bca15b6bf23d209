package wire

import (
	"errors"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// TestPairSums sends sums that are wanted and sums that were formed in either form, in as many messages as it takes.
func TestPairSums(t *testing.T) {
	long := make([]uint32, pairChunk)
	for k := range long {
		long[k] = uint32(3*k + 1)
	}
	wanted := []similarity.PairSums{{Item: 9, All: true, Mirror: true}, {Item: 11, All: true}, {Item: 2, With: []uint32{0, 1, 7}}, {Item: 3, With: long}, {Item: 1 << 31, With: []uint32{1<<32 - 1}}}
	formed := []similarity.PairSums{{Item: 9, All: true, Mirror: true, With: []uint32{5}, Sum: []float64{1 << 30}}, {Item: 2, With: []uint32{0, 1, 7}, Sum: []float64{0, 3, 1}}}
	for name, sums := range map[string][]similarity.PairSums{"none": nil, "wanted": wanted, "formed": formed} {
		for _, columns := range []bool{false, true} {
			var got []similarity.PairSums
			chunks := 0
			for chunk := range ChunkPairSums(sums) {
				m := &kithv1.FollowListsRequest{}
				m.Sums, m.Columns = FormPairSums(chunk, columns)
				b, err := proto.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				var back kithv1.FollowListsRequest
				if err := proto.Unmarshal(b, &back); err != nil {
					t.Fatal(err)
				}
				if got, err = TakePairSums(got, back.Sums, back.Columns); err != nil {
					t.Fatal(err)
				}
				chunks++
			}
			if want := map[string]int{"none": 1, "wanted": 2, "formed": 1}[name]; chunks != want {
				t.Errorf("%s, columns %v: %d messages, want %d", name, columns, chunks, want)
			}
			if len(got) != len(sums) {
				t.Fatalf("%s, columns %v: %d items, want %d", name, columns, len(got), len(sums))
			}
			for k := range got {
				if w := sums[k]; got[k].Item != w.Item || got[k].All != w.All || got[k].Mirror != w.Mirror || len(got[k].With) != len(w.With) || len(w.With) > 0 && !reflect.DeepEqual(got[k].With, w.With) || len(w.Sum) > 0 && !reflect.DeepEqual(got[k].Sum, w.Sum) {
					t.Errorf("%s, columns %v, item %d: got %v, want %v", name, columns, k, got[k], w)
				}
			}
		}
	}
}

// TestPairColumnsThatDoNotFit refuses columns of other lengths.
func TestPairColumnsThatDoNotFit(t *testing.T) {
	for name, c := range map[string]*kithv1.PairColumns{
		"no size":         {Item: []uint32{1}},
		"too few others":  {Item: []uint32{1}, Size: []uint32{2}, With: []uint32{1}},
		"too many others": {Item: []uint32{1}, Size: []uint32{1}, With: []uint32{1, 1}},
		"sizes that wrap": {Item: []uint32{1, 2}, Size: []uint32{1<<32 - 1, 2}, With: []uint32{1}},
		"too few flags":   {Item: []uint32{1, 2}, Size: []uint32{0, 0}, Flags: []uint32{1}},
		"too few sums":    {Item: []uint32{1}, Size: []uint32{2}, With: []uint32{1, 1}, Sum: []uint64{4}},
	} {
		if _, err := AppendPairColumns(nil, c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}
