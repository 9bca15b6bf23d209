package partition_test

import (
	"fmt"
	"testing"

	"github.com/kith-io/kith/partition"
)

// TestOfIsFrozen holds values that stored data depends on. If it fails, the code is
// wrong, not the test.
func TestOfIsFrozen(t *testing.T) {
	for _, c := range []struct {
		key        string
		partitions int
		want       partition.ID
	}{
		{"", 16, 9},
		{"u1", 16, 15},
		{"u2", 16, 3},
		{"u42", 16, 1},
		{"u42", 1, 0},
		{"u42", 1024, 449},
		{"user-with-a-key-longer-than-thirty-two-bytes", 16, 10},
		{"商品", 16, 9},
		{"\x00\xff", 7, 0},
		// The test vector of xxHash's own documentation for the empty input: ef46db3751d8e999.
		{"", 1 << 32, 0x51d8e999},
	} {
		if got := partition.Of(c.key, c.partitions); got != c.want {
			t.Errorf("Of(%q, %d) = %d, want %d", c.key, c.partitions, got, c.want)
		}
	}
}

func TestOfIsEven(t *testing.T) {
	const keys, partitions = 100_000, 16
	var n [partitions]int
	for k := range keys {
		n[partition.Of(fmt.Sprintf("user%d", k), partitions)]++
	}
	for p, got := range n {
		// Standard deviation is 77; five of them.
		if got < keys/partitions-385 || got > keys/partitions+385 {
			t.Errorf("partition %d has %d of %d keys, want about %d", p, got, keys, keys/partitions)
		}
	}
}
