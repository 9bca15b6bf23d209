package similarity

import "math"

// swingUsers is the number of users of an item that Swing looks at: pairs of users are
// its cost.
const swingUsers = 1000

// swingScratch is the working memory of Swing.
type swingScratch struct {
	sums   []float64 // all zero between items
	mark   []uint32  // of the items of a user: the number of the turn in which it was set
	turn   uint32
	common []uint32 // one longer than the widest row
}

// take returns a sum and leaves zero.
func (s *swingScratch) take(j uint32) float64 {
	sum := s.sums[j]
	s.sums[j] = 0
	return sum
}

// sampled returns the places, among n users, of those that Swing looks at: up to
// swingUsers, evenly spaced.
func sampled(n int) []int {
	places := make([]int, min(n, swingUsers))
	for k := range places {
		places[k] = k * n / len(places)
	}
	return places
}

// swing adds up the pairs of users of item i, ascending, for all items that both have,
// and returns the number of entries that it looked at. The side must have whole rows.
func (t *task) swing(i int) (visits int) {
	s, side := &t.s.swing, t.side
	if len(s.sums) < side.width() {
		*s = swingScratch{sums: make([]float64, side.width()), mark: make([]uint32, side.width()), common: make([]uint32, side.width()+1)}
	}
	places := sampled(len(t.s.at))
	row := func(k int) []uint32 {
		at := t.s.at[places[k]]
		return side.words[at+1 : at+1+side.words[at]]
	}
	for p := range places {
		u := row(p)
		if s.turn++; s.turn == 0 { // after 2^32 users
			clear(s.mark)
			s.turn = 1
		}
		for _, e := range u {
			s.mark[e>>8] = s.turn
		}
		visits += len(u)
		for q := p + 1; q < len(places); q++ {
			v := row(q)
			n := marked(s.common, s.mark, s.turn, v)
			visits += len(v)
			w := 1 / (math.Sqrt(float64(len(u))) * math.Sqrt(float64(len(v))) * float64(1+n))
			for _, j := range s.common[:n] {
				s.sums[j] += w
			}
		}
	}
	if own := t.own(i); own >= 0 {
		s.sums[own] = 0
	}
	return visits
}

// marked writes the items of a row that are marked to ids, and returns their number.
//
//go:noinline
func marked(ids, mark []uint32, turn uint32, row []uint32) (n int) {
	for _, e := range row {
		id := e >> 8
		ids[n] = id
		n += one(mark[id] == turn)
	}
	return n
}
