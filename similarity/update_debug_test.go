package similarity

import "fmt"

func (x *Kept) check(i uint32) string {
	sums := map[uint32]float32{}
	for _, e := range x.columnOf(i) {
		at := x.at[e>>8]
		for _, f := range x.words[at+1 : at+1+x.words[at]] {
			if f>>8 != i {
				sums[f>>8] += float32(uint8(e)) * float32(uint8(f))
			}
		}
	}
	at := int(i) * x.stride
	for k := range int(x.size[i]) {
		j := x.heldID[at+k]
		if sums[j] != x.heldSum[at+k] {
			return fmt.Sprintf("held %d has %v, want %v", j, x.heldSum[at+k], sums[j])
		}
		delete(sums, j)
	}
	cells := x.cellsOf(i)
	for j, s := range sums {
		t := s * x.inverse[j]
		if t > x.bound[i] {
			return fmt.Sprintf("pair %d sum %v has t %v above bound %v", j, s, t, x.bound[i])
		}
		if len(cells) == 0 {
			continue
		}
		c := cells[x.cell(j, len(cells))]
		if c&filterBits(j) != filterBits(j) {
			return fmt.Sprintf("pair %d not in filter", j)
		}
		if c>>56 != 255 && float32(c>>56)*x.unit[i] < t {
			return fmt.Sprintf("pair %d sum %v t %v above code %d of %v", j, s, t, c>>56, x.unit[i])
		}
	}
	return ""
}
