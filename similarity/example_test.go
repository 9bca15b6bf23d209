package similarity_test

import (
	"context"
	"fmt"

	"github.com/kith-io/kith/similarity"
)

// threeUsers have three items; two of them have items 0 and 1 together.
var threeUsers = &similarity.Rows{
	NumItems: 3,
	Start:    []int64{0, 2, 4, 6},
	Item:     []uint32{0, 1, 0, 1, 1, 2},
}

func ExampleBuild() {
	l, err := similarity.Build(context.Background(), threeUsers, similarity.Options{Measure: similarity.Jaccard, K: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range uint32(3) {
		fmt.Printf("%d: %+v\n", i, l.List(i))
	}
	// Output:
	// 0: [{ID:1 Score:0.6666667}]
	// 1: [{ID:0 Score:0.6666667}]
	// 2: [{ID:1 Score:0.33333334}]
}

// A node joins the parts of its blocks from the nodes that hold the users, computes
// its tasks, and sends the lists to where they are merged.
func ExampleRun() {
	o := similarity.Options{Measure: similarity.Cosine, K: 2}
	weigher, err := similarity.NewWeigher(o.Measure, threeUsers.NumItems, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	weighed := weigher.Rows(threeUsers)
	ends := []uint32{2, 3}
	parts := [][][]byte{
		{similarity.AppendPart(nil, weighed, 0, 0, 2)},
		{similarity.AppendPart(nil, weighed, 0, 2, 3)},
	}
	side, err := similarity.NewSide(0, ends, 3, parts, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	lead, err := similarity.NewBlock(0, 2, 3, parts[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	best := similarity.NewCollector(0, 2, o.K)
	if _, err := similarity.Run(context.Background(), lead, side, best, o, nil); err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range best.Lists().List(1) {
		fmt.Printf("%d %.4f\n", n.ID, n.Score)
	}
	// Output:
	// 0 0.8165
	// 2 0.5774
}

func ExampleSearcher() {
	s := similarity.NewSearcher(threeUsers, similarity.Options{Measure: similarity.Cosine})
	// Who bought most like a basket of items 1 and 2?
	fmt.Println(s.Nearest([]uint32{1, 2}, nil, 1, -1))
	// Output:
	// [{2 1}]
}
