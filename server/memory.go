package server

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/similarity"
)

// How a memory limit is shared out. What is measured in users and items must be there whatever the limit is; the rest is cut
// to fit: a side a node, and for each thread a block and its lists.
const (
	// baseBytes is what the program takes without data.
	baseBytes = 48 << 20
	// countItemBytes is what an item takes while items are counted, most of it in the map of the coordinator.
	countItemBytes = 250
	// nodeItemBytes is what an item takes on a node: key, counts and owner in the dictionary.
	nodeItemBytes = 60
	// threadItemBytes is what an item takes for each thread, if a side has all items; some measures need more.
	threadItemBytes = 32
	pearsonBytes    = 48
	swingBytes      = 16
	// nodeUserBytes is what a user takes on a node, for a side.
	nodeUserBytes = 12
	// entryBytes is what an entry takes in a side, if it has many weights.
	entryBytes = 8
	// fixedShare is the part of the limit, one in so many, that must cover what a build needs of the second kind; what is
	// left is for garbage and for what is not counted.
	fixedShare = 2
	// sideShare is the part of the limit, one in so many, that a side may have for its entries on all nodes together.
	sideShare = 4
	// blockShare is that of the blocks of all threads, and of the lists of their items.
	blockShare = 16
	// leadBytes is what an entry takes while its block is made of parts.
	leadBytes = 14
	// listBytes is what a neighbor of an item takes: in a Collector, in its lists, and encoded.
	listBytes = 24
	// leastItems is the least number of items of a block.
	leastItems = 64
)

// ErrMemoryLimit means that a build cannot keep to its memory limit.
var ErrMemoryLimit = errors.New("the memory limit is too small")

func (b *LocalBuild) source() worker.Source {
	if b.Spill != nil {
		return worker.SpillSource(b.Spill)
	}
	return worker.TableSource(b.Table, LocalPartitions)
}

// bounds returns the bounds of the plan that keep to the memory limit, or an error matching ErrMemoryLimit that says the least
// limit that would do.
func (b *LocalBuild) bounds() (coordinator.Bounds, error) {
	if b.MemoryLimit == 0 {
		return coordinator.Bounds{}, nil
	}
	if b.MemoryLimit < 0 || b.Spill == nil {
		return coordinator.Bounds{}, fmt.Errorf("memory limit is %d; want 0 or more, and a spilled input", b.MemoryLimit)
	}
	need := b.leastMemory()
	if need > b.MemoryLimit {
		return coordinator.Bounds{}, fmt.Errorf("%w: %d MiB for %d users, %d items and %d interactions on %d nodes with %d threads; give at least %d MiB",
			ErrMemoryLimit, b.MemoryLimit>>20, b.Spill.NumUsers(), b.Spill.NumItems(), b.Spill.Rows(), b.Nodes, b.threads(), (need+1<<20-1)>>20)
	}
	tasks := int64(b.Nodes) * b.threads()
	bounds := coordinator.Bounds{
		SideEntries:  b.MemoryLimit / (sideShare * entryBytes * int64(b.Nodes)),
		BlockEntries: max(1<<14, b.MemoryLimit/(blockShare*leadBytes*tasks)),
		BlockItems:   int(max(leastItems, b.MemoryLimit/(blockShare*listBytes*int64(b.Spec.K)*tasks))),
	}
	if b.Spec.Measure.WholeRows() {
		bounds.SideEntries = 0
	}
	return bounds, nil
}

func (b *LocalBuild) threads() int64 {
	if b.Threads == 0 {
		return int64(runtime.GOMAXPROCS(0))
	}
	return int64(b.Threads)
}

// leastMemory returns the least memory limit that a build of spilled rows can keep to.
func (b *LocalBuild) leastMemory() int64 {
	users, items, nodes := int64(b.Spill.NumUsers()), int64(b.Spill.NumItems()), int64(b.Nodes)
	var table int64 // the largest
	for p := range LocalPartitions {
		table = max(table, b.Spill.TableBytes(p))
	}
	keys := b.Spill.MemoryBytes()
	count := keys + countItemBytes*items + nodes*table
	threadItem := int64(threadItemBytes)
	switch b.Spec.Measure {
	case similarity.Pearson:
		threadItem += pearsonBytes
	case similarity.Swing:
		threadItem += swingBytes
	}
	lists := leastItems * listBytes * min(int64(b.Spec.K), items)
	compute := keys + nodes*(nodeUserBytes*users+nodeItemBytes*items+b.threads()*(threadItem*items+lists))
	if b.Spec.Measure.WholeRows() {
		compute += nodes * entryBytes * b.Spill.Rows()
	}
	return baseBytes + max(count*5/4, compute*fixedShare)
}
