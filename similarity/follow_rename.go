package similarity

import "slices"

// NextRow writes the dense ids in the next version of items as they were numbered to dst, which must have room for them; Gone for those that it has not. It reports whether they ascend.
func (s *Step) NextRow(dst, items []uint32) (ascend bool) {
	next, last, steps := s.next, int64(-1), int64(0)
	dst = dst[:len(items)]
	for k, i := range items {
		id := next[i]
		dst[k] = id
		steps |= int64(id) - last - 1 // negative where it does not ascend
		last = int64(id)
	}
	return steps >= 0
}

// Options returns those of the lists.
func (f *Follower) Options() Options { return f.step.o }

// rename appends neighbors with their next ids.
func (s *Step) rename(dst, list []Neighbor) []Neighbor {
	next, at := s.next, len(dst)
	dst = slices.Grow(dst, len(list))[:at+len(list)]
	to := dst[at:]
	for k := range list {
		n := &list[k]
		to[k] = Neighbor{next[n.ID], n.Score}
	}
	return dst
}
