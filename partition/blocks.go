package partition

import "math"

// Range is a contiguous range [Lo, Hi) of dense ids.
type Range struct{ Lo, Hi uint32 }

// Len returns the number of ids.
func (r Range) Len() int { return int(r.Hi - r.Lo) }

// Load says how much a range of items is.
type Load struct {
	Items int
	// Entries is the sum over the items of their users.
	Entries float64
	// Updates is the work that the items lead: the sum over their users of the lengths of the users' rows.
	Updates float64
}

func (l Load) plus(m Load) Load {
	return Load{l.Items + m.Items, l.Entries + m.Entries, l.Updates + m.Updates}
}

// within reports whether l is at most most in each respect; 0 of it is no limit.
func (l Load) within(most Load) bool {
	return (most.Items <= 0 || l.Items <= most.Items) &&
		(most.Entries <= 0 || l.Entries <= most.Entries) &&
		(most.Updates <= 0 || l.Updates <= most.Updates)
}

// LoadOf returns the load of a range, of the users and the updates of each item.
func LoadOf(counts []uint32, updates []uint64, r Range) Load {
	l := Load{Items: r.Len()}
	for i := r.Lo; i < r.Hi; i++ {
		l.Entries += float64(counts[i])
		l.Updates += float64(updates[i])
	}
	return l
}

// Blocks cuts the dense items 0 to len(counts)-1 into contiguous ranges: number of
// them, each with about the same updates, or more where a range would be above most,
// whose Updates are not looked at. A single item is a range whatever it has, and
// fewer items than ranges make fewer ranges. counts has the users of each item, and
// updates the work that it leads (see Load). No items give no ranges.
//
// The updates of a range on all items are what its tasks cost in sum, so ranges are
// even work. Popular items get narrow ranges.
//
// The result is a function of the arguments alone, so that a plan can be repeated
// elsewhere. Cost: O(items).
func Blocks(counts []uint32, updates []uint64, number int, most Load) []Range {
	most.Updates = 0
	items := uint32(len(counts))
	left := LoadOf(counts, updates, Range{0, items})
	var out []Range
	for lo := uint32(0); lo < items; {
		// What is left, in equal shares; the shares shrink when a range ends early.
		share := left.Updates / float64(pieces(number-len(out), left, most))
		hi, sum := lo+1, LoadOf(counts, updates, Range{lo, lo + 1})
		for hi < items {
			next := LoadOf(counts, updates, Range{hi, hi + 1})
			if !sum.plus(next).within(most) || sum.Updates+next.Updates/2 > share {
				break
			}
			sum = sum.plus(next)
			hi++
		}
		out = append(out, Range{lo, hi})
		left.Entries, left.Updates = left.Entries-sum.Entries, left.Updates-sum.Updates
		lo = hi
	}
	return out
}

// pieces returns into how many ranges to cut what is left: the number wanted, or as many as keep to the entries of most.
func pieces(wanted int, left, most Load) int {
	n := max(1, wanted)
	if most.Entries > 0 {
		n = max(n, int(math.Ceil(left.Entries/most.Entries)))
	}
	return n
}
