package shelf

// interner numbers texts, and forgets those that nobody has any more.
type interner struct {
	ids     map[string]uint32
	entries []interned
	free    []uint32 // numbers that stand for nothing
	bytes   int64
}

type interned struct {
	text string
	refs uint32
}

func newInterner() interner { return interner{ids: map[string]uint32{}} }

// take returns the number of a text, which is kept until it was dropped as often as taken.
func (n *interner) take(text string) uint32 {
	if id, ok := n.ids[text]; ok {
		n.entries[id].refs++
		return id
	}
	id := uint32(len(n.entries))
	if last := len(n.free) - 1; last >= 0 {
		id, n.free = n.free[last], n.free[:last]
	} else {
		n.entries = append(n.entries, interned{})
	}
	n.entries[id] = interned{text, 1}
	n.ids[text] = id
	n.bytes += textBytes + int64(len(text))
	return id
}

func (n *interner) drop(id uint32) {
	e := &n.entries[id]
	if e.refs--; e.refs > 0 {
		return
	}
	delete(n.ids, e.text)
	n.bytes -= textBytes + int64(len(e.text))
	e.text = ""
	n.free = append(n.free, id)
}

func (n *interner) find(text string) (uint32, bool) {
	id, ok := n.ids[text]
	return id, ok
}
