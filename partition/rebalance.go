package partition

import (
	"cmp"
	"slices"
)

// Rebalance returns where the replicas of all partitions should be, given where they are: current[p] are the ids of the holders
// of partition p, the preferred leader first. It moves as little as it can:
//
//   - a holder that is still a member and not more than its partition needs stays, in its place;
//   - a partition with fewer than rf replicas (or than there are members) gets others, from members below their share;
//   - where one zone holds two replicas more of a partition than another could, one moves there;
//   - then replicas move from members above their share of all by weight, rounded up, to members below it.
//
// A new holder stands where the one stood that it replaces. Members with a negative weight hold nothing. The result depends only on the
// arguments, and is a fixed point: Rebalance of it changes nothing. Cost: as Plan.
func Rebalance(current [][]string, members []Member, rf int) [][]string {
	ms := eligible(members)
	rf = max(0, min(rf, len(ms)))
	index := make(map[string]int, len(ms))
	for i, m := range ms {
		index[m.ID] = i
	}
	pl := &plan{ms: ms, hold: make([][]int, len(current)), scores: make([][]float64, len(current))}
	for p, nodes := range current {
		pl.scores[p] = make([]float64, len(ms))
		for i, m := range ms {
			pl.scores[p][i] = score(ID(p), m)
		}
		for _, id := range nodes {
			if i, ok := index[id]; ok && !slices.Contains(pl.hold[p], i) {
				pl.hold[p] = append(pl.hold[p], i)
			}
		}
	}
	if rf > 0 {
		pl.cutTo(rf)
		pl.fillTo(rf)
		pl.spread()
		level(pl.loads(rf), shares(ms, len(current)*rf, len(current)), pl.canMove, pl.move)
	}
	out := make([][]string, len(current))
	for p, hold := range pl.hold {
		out[p] = pl.placed(current[p], hold)
	}
	return out
}

// placed returns the ids of hold: those that were there in the places that they had, and new ones in the gaps.
func (pl *plan) placed(before []string, hold []int) []string {
	var added []string
	kept := map[string]bool{}
	for _, m := range hold {
		if id := pl.ms[m].ID; slices.Contains(before, id) {
			kept[id] = true
		} else {
			added = append(added, id)
		}
	}
	out := make([]string, 0, len(hold))
	for _, id := range before {
		switch {
		case kept[id]:
			out = append(out, id)
			kept[id] = false // an id that stands twice counts once
		case len(added) > 0:
			out, added = append(out, added[0]), added[1:]
		}
	}
	return append(out, added...)
}

// held counts the replicas of all members.
func (pl *plan) held() []int {
	held := make([]int, len(pl.ms))
	for _, hold := range pl.hold {
		for _, m := range hold {
			held[m]++
		}
	}
	return held
}

// inZone counts the holders of a partition in a zone.
func (pl *plan) inZone(p int, zone string) int {
	n := 0
	for _, m := range pl.hold[p] {
		if pl.ms[m].Zone == zone {
			n++
		}
	}
	return n
}

// relative is what a member holds in units of its weight.
func (pl *plan) relative(held []int, m int) float64 { return float64(held[m]) / pl.ms[m].Weight }

// cutTo takes replicas from partitions that have more than rf: from the fullest zone, then the fullest member.
func (pl *plan) cutTo(rf int) {
	held := pl.held()
	for p := range pl.hold {
		for len(pl.hold[p]) > rf {
			worst := slices.MaxFunc(pl.hold[p], func(a, b int) int {
				return cmp.Or(
					cmp.Compare(pl.inZone(p, pl.ms[a].Zone), pl.inZone(p, pl.ms[b].Zone)),
					cmp.Compare(pl.relative(held, a), pl.relative(held, b)),
					cmp.Compare(pl.scores[p][b], pl.scores[p][a]),
				)
			})
			at := slices.Index(pl.hold[p], worst)
			pl.hold[p] = slices.Delete(pl.hold[p], at, at+1)
			held[worst]--
		}
	}
}

// fillTo gives each partition rf replicas: in the emptiest zone, then the emptiest member, then the one with the best score.
func (pl *plan) fillTo(rf int) {
	held := pl.held()
	for p := range pl.hold {
		for len(pl.hold[p]) < rf {
			best := pl.emptiest(p, held, func(int) bool { return true })
			pl.hold[p] = append(pl.hold[p], best)
			held[best]++
		}
	}
}

// emptiest returns the best further holder of a partition among the members that ok accepts, or -1.
func (pl *plan) emptiest(p int, held []int, ok func(m int) bool) int {
	best := -1
	for m := range pl.ms {
		if slices.Contains(pl.hold[p], m) || !ok(m) {
			continue
		}
		if best < 0 || cmp.Or(
			cmp.Compare(pl.inZone(p, pl.ms[m].Zone), pl.inZone(p, pl.ms[best].Zone)),
			cmp.Compare(pl.relative(held, m), pl.relative(held, best)),
			cmp.Compare(pl.scores[p][best], pl.scores[p][m]),
		) < 0 {
			best = m
		}
	}
	return best
}

// spread moves replicas of partitions of which one zone holds at least two more than another, that has a member without one.
func (pl *plan) spread() {
	held := pl.held()
	for p, hold := range pl.hold {
		for range hold {
			from := slices.MaxFunc(hold, func(a, b int) int {
				return cmp.Or(
					cmp.Compare(pl.inZone(p, pl.ms[a].Zone), pl.inZone(p, pl.ms[b].Zone)),
					cmp.Compare(pl.relative(held, a), pl.relative(held, b)),
					cmp.Compare(pl.scores[p][b], pl.scores[p][a]),
				)
			})
			most := pl.inZone(p, pl.ms[from].Zone)
			to := pl.emptiest(p, held, func(m int) bool { return pl.inZone(p, pl.ms[m].Zone)+2 <= most })
			if to < 0 {
				break
			}
			pl.move(p, from, to)
			held[from]--
			held[to]++
		}
	}
}
