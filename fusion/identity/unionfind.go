package identity

// forest is a union-find structure: sets of numbers, joined by size and with path halving, so that n joins cost O(n α(n)) [tarjan1975]. It takes
// 8 bytes a number.
type forest struct {
	parent []uint32
	size   []uint32 // of the set, at its root
}

func newForest(n int) *forest {
	f := &forest{make([]uint32, n), make([]uint32, n)}
	for i := range f.parent {
		f.parent[i], f.size[i] = uint32(i), 1
	}
	return f
}

// root returns the number that stands for the set of x. Which one it is depends on the order of the joins.
func (f *forest) root(x uint32) uint32 {
	for f.parent[x] != x {
		f.parent[x] = f.parent[f.parent[x]]
		x = f.parent[x]
	}
	return x
}

// join makes one set of two, and returns its root and that of the other, which is the same if they were one already.
func (f *forest) join(x, y uint32) (root, other uint32) {
	x, y = f.root(x), f.root(y)
	if x == y {
		return x, x
	}
	if f.size[x] < f.size[y] {
		x, y = y, x
	}
	f.parent[y] = x
	f.size[x] += f.size[y]
	return x, y
}
