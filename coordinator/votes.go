package coordinator

import (
	"cmp"
	"slices"
)

// candidate is a member that may vote in the control group.
type candidate struct {
	id, zone string
	// votes now.
	voter bool
	// leads the group now.
	leads bool
	// ready: it has answered for a while, so it may get a vote.
	ready bool
}

// votersOf returns the number of voters of a control group of n members: odd, since an even number survives no more failures,
// and at most five, since each decision waits for a majority of them.
func votersOf(n int) int {
	switch {
	case n >= 5:
		return 5
	case n >= 3:
		return 3
	}
	return min(n, 1)
}

// chooseVoters returns the ids that should vote, ascending: those that vote already before others, and others only when they are ready,
// spread over zones. The result has fewer than it should when too few are ready; it is even only when all in it vote already.
func chooseVoters(candidates []candidate) []string {
	want := votersOf(len(candidates))
	left := slices.DeleteFunc(slices.Clone(candidates), func(c candidate) bool { return !c.voter && !c.ready })
	zones := map[string]int{}
	var out []string
	added := 0
	for len(out) < want && len(left) > 0 {
		best := slices.MinFunc(left, func(a, b candidate) int {
			return cmp.Or(
				cmp.Compare(zones[a.zone], zones[b.zone]),
				-cmp.Compare(rank(a), rank(b)),
				cmp.Compare(a.id, b.id),
			)
		})
		out = append(out, best.id)
		zones[best.zone]++
		left = slices.DeleteFunc(left, func(c candidate) bool { return c.id == best.id })
		if !best.voter {
			added++
		}
	}
	if len(out)%2 == 0 && added > 0 {
		at := len(out) - 1
		for votes(candidates, out[at]) {
			at--
		}
		out = slices.Delete(out, at, at+1)
	}
	slices.Sort(out)
	return out
}

func votes(candidates []candidate, id string) bool {
	return slices.ContainsFunc(candidates, func(c candidate) bool { return c.id == id && c.voter })
}

// rank orders candidates of a zone: who leads, who votes and is there, who votes, the others.
func rank(c candidate) int {
	switch {
	case c.leads:
		return 3
	case c.voter && c.ready:
		return 2
	case c.voter:
		return 1
	}
	return 0
}
