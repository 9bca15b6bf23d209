package evaluate_test

import (
	"context"
	"fmt"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
)

func ExampleRun() {
	// Most users drink tea, but bread goes with butter. What is newest of each is held back; three have nothing else.
	table := &fusion.Table{
		Users: []string{"ann", "bob", "cat", "dan", "eve", "fay"},
		Items: []string{"bread", "butter", "jam", "tea"},
		Start: []int64{0, 2, 4, 7, 8, 9, 10},
		Item:  []uint32{0, 1, 0, 1, 0, 1, 2, 3, 3, 3},
		Time:  []int64{10, 20, 20, 10, 10, 20, 30, 10, 10, 10},
	}
	result, err := evaluate.Run(context.Background(), evaluate.Experiment{
		Data:   table,
		Models: []string{"popularity", "itemknn"},
		Split:  evaluate.SplitLeaveOneOut,
		N:      []int{1},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d users with test data, %d without\n", result.Folds[0].TestUsers, result.Folds[0].LeftOutUsers)
	for _, m := range result.Models {
		fmt.Printf("%-10s  hit rate %.2f\n", m.Name, m.Metrics["hitrate@1"].Mean)
	}
	// Output:
	// 3 users with test data, 3 without
	// popularity  hit rate 0.00
	// itemknn     hit rate 0.67
}
