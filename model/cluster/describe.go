package cluster

import (
	"context"
	"math"

	"github.com/kith-io/kith/model/train"
)

// describe counts, for the owners of items, the members of each group that have each item, and says how many entries each group has.
func (w *worker) describe(ctx context.Context, input []byte, peers train.Peers) ([]byte, error) {
	h, err := decodeHeader(input)
	if err != nil {
		return nil, err
	}
	k := len(h.counts)
	entries := make([]int64, k)
	if w.of == ofItems {
		for v, i := range w.rows {
			entries[w.vectors.of[v]] += w.users[i]
		}
		return putSlice(nil, entries), nil
	}
	members := make([]uint32, w.Shape.Items*k)
	note := func(c int32, items []uint32) {
		entries[c] += int64(len(items))
		for _, id := range items {
			members[int(id)*k+int(c)]++
		}
	}
	if w.of == ofUsers {
		for v, u := range w.rows {
			items, _ := w.row(int(u))
			note(w.vectors.of[v], items)
		}
	} else {
		at := 0
		err := w.orders(ctx, func(user, number int, items []uint32) {
			id := uint64(w.Shape.FirstUser[w.Worker]+user)<<24 + uint64(number)
			if at < w.vectors.len() && w.vectors.ids[at] == id {
				note(w.vectors.of[at], items)
				at++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return putSlice(nil, entries), putOwners(w, peers, "members", members, k)
}

// finish makes the lists of the own items.
func (w *worker) finish(ctx context.Context, input []byte, peers train.Peers) error {
	h, err := decodeHeader(input)
	if err != nil {
		return err
	}
	if w.Worker == 0 {
		if err := peers.Put("header", input); err != nil {
			return err
		}
	}
	k := len(h.counts)
	lists := make([]list, k)
	if w.of == ofItems {
		w.listItems(&h, lists)
		groups := make([]int32, w.end-w.first)
		for i := range groups {
			groups[i] = -1
		}
		for v, i := range w.rows {
			groups[i] = w.vectors.of[v]
		}
		if err := peers.Put("groups", putSlice(nil, groups)); err != nil {
			return err
		}
	} else {
		counts := make([]int64, (w.end-w.first)*k)
		if err := sumOwned(ctx, w, peers, "members", k, func(i int, n uint32) { counts[i] += int64(n) }); err != nil {
			return err
		}
		w.listMembers(&h, counts, lists)
	}
	var b []byte
	for c := range lists {
		lists[c].cut(w.s.Whole("list"))
		b = lists[c].encode(b)
	}
	return peers.Put("lists", b)
}

// listItems lists the own items by group: score is the share of the item in the entries of the group, the rank as a description the nearness to the center.
func (w *worker) listItems(h *header, lists []list) {
	for v, i := range w.rows {
		c := w.vectors.of[v]
		l := &lists[c]
		id := uint32(w.first) + i
		score := float32(float64(w.users[i]) / float64(h.entries[c]))
		near := distance2(w.vectors.vector(v), w.vectors.center(h.centers, c))
		l.favorites = append(l.favorites, favorite{id, score})
		l.marks = append(l.marks, Mark{Item: id, Count: w.users[i], Lift: 1, Z: 1 - near/2})
	}
}

// listMembers lists the own items by group, where members have items.
func (w *worker) listMembers(h *header, counts []int64, lists []list) {
	k := len(lists)
	var members, entries float64
	for c := range k {
		members += float64(h.counts[c])
		entries += float64(h.entries[c])
	}
	prior, power := priorPart*entries/float64(k), w.s.Number("lift")
	for i := range w.end - w.first {
		var all float64
		for _, n := range counts[i*k : (i+1)*k] {
			all += float64(n)
		}
		if all == 0 {
			continue
		}
		id, share := uint32(w.first+i), all/members
		for c, n := range counts[i*k : (i+1)*k] {
			if n == 0 {
				continue
			}
			own := (float64(n) + shareSmoothing*share) / (float64(h.counts[c]) + shareSmoothing)
			lists[c].favorites = append(lists[c].favorites, favorite{id, float32(own * math.Pow(own/share, power))})
			mark := Mark{Item: id, Count: n, Lift: float64(n) / float64(h.counts[c]) / share}
			mark.Z = logOddsZ(float64(n), float64(h.entries[c]), all-float64(n), entries-float64(h.entries[c]), prior*all/entries, prior)
			lists[c].marks = append(lists[c].marks, mark)
		}
	}
}

// logOddsZ is the z-score of the log-odds-ratio of an item between a group, y of n entries, and the others, z of m, with a Dirichlet prior of weight a for the item
// and a0 for all: Monroe, Colaresi and Quinn, Political Analysis 16(4), 2008, equations 15, 16, 18 to 22 [monroe2008].
func logOddsZ(y, n, z, m, a, a0 float64) float64 {
	odds := func(y, n float64) float64 { return math.Log((y + a) / math.Max(n+a0-y-a, math.SmallestNonzeroFloat32)) }
	return (odds(y, n) - odds(z, m)) / math.Sqrt(1/(y+a)+1/(z+a))
}
