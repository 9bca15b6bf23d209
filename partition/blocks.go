package partition

// Range is a contiguous range [Lo, Hi) of dense ids.
type Range struct{ Lo, Hi uint32 }

// Len returns the number of ids.
func (r Range) Len() int { return int(r.Hi - r.Lo) }

// Blocks cuts the dense items 0 to len(counts)-1 into contiguous ranges. counts[i] is
// the number of users of item i; dense ids are in descending order of it, though
// nothing breaks if they are not. A range is at most maxItems items wide, and holds at
// most maxEntries users in sum unless a single item has more; 0 switches either limit
// off. No items give no ranges.
//
// Cost model: the updates of a block a on a side b are the sum over users of
// n_ua·n_ub, which counts alone do not tell. If items were chosen independently it
// would be entries(a)·entries(b)/users, so ranges of equal entries make tasks of equal
// work (see TaskCosts). The ranges are therefore filled to the same number of entries,
// the smallest number of ranges that maxEntries allows, and only those of the tail,
// where maxItems is the tighter limit, hold fewer. Popular items thus get narrow
// blocks.
//
// The result is a function of the arguments alone. Choose those by the data and the
// memory of a task, not by the number of nodes, so that a plan can be repeated
// elsewhere. Cost: O(items).
func Blocks(counts []uint32, maxItems int, maxEntries int64) []Range {
	if len(counts) == 0 {
		return nil
	}
	if maxItems <= 0 {
		maxItems = len(counts)
	}
	var left int64
	for _, n := range counts {
		left += int64(n)
	}
	if maxEntries <= 0 {
		maxEntries = max(1, left)
	}
	var out []Range
	for lo := 0; lo < len(counts); {
		// What is left, in equal shares; the shares shrink when a range ends early.
		target := left / max(1, ceilDiv(left, maxEntries))
		hi, entries := lo, int64(0)
		for hi < len(counts) && hi-lo < maxItems {
			n := int64(counts[hi])
			if hi > lo && (entries+n > maxEntries || entries >= target && n > 0) {
				break
			}
			entries += n
			hi++
		}
		out = append(out, Range{uint32(lo), uint32(hi)})
		left -= entries
		lo = hi
	}
	return out
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
