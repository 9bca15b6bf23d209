package similarity

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Build computes the lists of all items of r in one process with o.Threads
// goroutines. Ids are the caller's own; in order of descending popularity the
// work is most local, and ties of equal scores go to the more popular item.
//
// Lists are the same, bit for bit, for any number of threads. r is only read.
// It returns an error matching ErrShape if r is not valid, or ctx's error.
// Memory: 12 bytes an entry beside r (16 if there are more than 256 weights), 8 bytes
// a user, and 8·K bytes an item; where each sum is formed once, some 16·K more for each item and 4 for each user, both for each goroutine, and at most 8 bytes an entry.
// Cost: the sum over users of row² updates, or half of that where each sum is formed once: by products of weights alone, where items have hundreds of users.
func Build(ctx context.Context, r *Rows, o Options) (*Lists, error) {
	l, _, err := BuildStats(ctx, r, o)
	return l, err
}

// BuildStats is Build that also tells the work done.
func BuildStats(ctx context.Context, r *Rows, o Options) (*Lists, Stats, error) {
	if err := o.Validate(); err != nil {
		return nil, Stats{}, err
	}
	if err := r.Validate(); err != nil {
		return nil, Stats{}, err
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	halves := inHalves(r, &o, threads)
	return build(ctx, r, o, threads, borders(r, threads, halves), halves)
}

// build is BuildStats with given threads and blocks. All items are one Side unless
// they are too many for one. halved must be that of canHalve, or false.
func build(ctx context.Context, r *Rows, o Options, threads int, borders []uint32, halved bool) (*Lists, Stats, error) {
	var sums []Sum
	if o.Measure.NeedsSums() {
		sums = SumsOf(r)
	}
	weigher, err := NewWeigher(o.Measure, r.NumItems, sums)
	if err != nil {
		return nil, Stats{}, fmt.Errorf("build: %w", err)
	}
	if o.Measure.WholeRows() && r.NumItems > MaxBlockItems {
		return nil, Stats{}, fmt.Errorf("build: %s of %d items, want at most %d: %w", o.Measure, r.NumItems, MaxBlockItems, ErrShape)
	}
	blocks, sides, err := prepare(weigher.Rows(r), borders, &o, threads)
	if err != nil {
		return nil, Stats{}, fmt.Errorf("build: %w", err)
	}
	k := max(1, min(o.K, r.NumItems-1))
	// The lists of a block are written where they would begin if all before were full, and
	// moved together in the end. Memory that no list is written to is never touched.
	out := &Lists{Start: make([]int64, r.NumItems+1), Entries: make([]Neighbor, r.NumItems*k)}
	stats := make([]Stats, threads)
	errs := make([]error, threads)
	found := make([]*Collector, threads) // of all items by each goroutine, if each sum is formed once
	var next atomic.Int64                // the first block that nobody has taken
	var wg sync.WaitGroup
	for w := range threads {
		wg.Go(func() {
			if halved {
				found[w], stats[w], errs[w] = buildHalves(ctx, blocks, sides[0], o, k, &next)
				return
			}
			var scratch Scratch
			for n := int(next.Add(1)) - 1; n < len(blocks) && errs[w] == nil; n = int(next.Add(1)) - 1 {
				b := blocks[n]
				best := NewCollector(b.Lo, b.Hi, k)
				for _, side := range sides {
					var st Stats
					if st, errs[w] = Run(ctx, b, side, best, o, &scratch); errs[w] != nil {
						return
					}
					stats[w].add(st)
				}
				best.write(out.Entries[int(b.Lo)*k:int(b.Hi)*k], out.Start[b.Lo+1:])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, Stats{}, fmt.Errorf("build: %w", err)
	}
	if halved {
		joinBlocks(found, blocks, out)
	}
	var total Stats
	for _, st := range stats {
		total.add(st)
	}
	end := 0
	for _, b := range blocks {
		for i := b.Lo; i < b.Hi; i++ {
			out.Start[i+1] += out.Start[i]
		}
		at := int(b.Lo) * k
		end += copy(out.Entries[end:], out.Entries[at:at+int(out.Start[b.Hi]-out.Start[b.Lo])])
	}
	if out.Entries = out.Entries[:end:end]; end < r.NumItems*k/2 {
		out.Entries = slices.Clone(out.Entries)
	}
	return out, total, nil
}

// prepare makes the blocks and sides of weighed rows, at the same time if there are threads
// for that.
func prepare(weighed *Rows, borders []uint32, o *Options, threads int) (blocks []*Block, sides []*Side, err error) {
	var all norms
	cut := func() (err error) {
		columns := weighed.transpose(max(1, threads-1))
		all = normsOf(columns, max(1, threads-1))
		blocks, err = cutBlocks(columns, borders, all)
		return err
	}
	pack := func() error {
		for lo := 0; lo == 0 || lo < weighed.NumItems; lo += MaxBlockItems {
			side, err := sideOf(weighed, uint32(lo), uint32(min(weighed.NumItems, lo+MaxBlockItems)))
			if err != nil {
				return err
			}
			sides = append(sides, side)
		}
		return nil
	}
	var cutErr, packErr error
	var cutting sync.WaitGroup
	if threads > 1 {
		cutting.Go(func() { cutErr = cut() })
	} else {
		cutErr = cut()
	}
	packErr = pack()
	cutting.Wait()
	if err := errors.Join(cutErr, packErr); err != nil {
		return nil, nil, err
	}
	for _, side := range sides {
		side.setNorms(all.slice(side.Lo, side.Hi), o)
	}
	return blocks, sides, nil
}

// Limits of the blocks of Build: enough that threads end together, and few enough
// that they seldom ask for the next.
const (
	buildBlocksPerThread = 64
	buildBlockItems      = 64
)

// borders cuts the items of r into blocks of about equal work, the updates that the
// items of a block lead. Results do not depend on it.
func borders(r *Rows, threads int, halves bool) []uint32 {
	var work []uint64
	if halves {
		work = r.before()
	} else {
		_, work = r.Counts()
	}
	var total uint64
	for _, n := range work {
		total += n
	}
	share := total/uint64(buildBlocksPerThread*threads) + 1
	cuts := []uint32{0}
	var sum uint64
	for i, n := range work {
		width := i - int(cuts[len(cuts)-1])
		if width == MaxBlockItems || width > 0 && sum+n > share && (width >= buildBlockItems || sum > share) {
			cuts = append(cuts, uint32(i))
			sum = 0
		}
		sum += n
	}
	return append(cuts, uint32(r.NumItems))
}
