package partition

import "github.com/cespare/xxhash/v2"

// ID names a partition: a fixed share of the key space, 0 to partitions-1.
type ID uint32

// Of returns the partition of a key: xxhash64 of its bytes, seed 0, modulo
// partitions. It is frozen: data is stored by it, so any change loses data. It
// panics if partitions is below 1.
func Of(key string, partitions int) ID {
	if partitions < 1 {
		panic("partition: Of needs at least one partition")
	}
	return ID(xxhash.Sum64String(key) % uint64(partitions))
}
