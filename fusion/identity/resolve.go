package identity

import (
	"cmp"
	"iter"
	"slices"
)

// Hub is a key that was seen with too many others, and was left out of all joins.
type Hub struct {
	Key Key `json:"key"`
	// Degree is the number of entities or keys it was seen with, and Of says of which: the first kind, or the worse kind of MaxBelow.
	Degree int    `json:"degree"`
	Of     string `json:"of"`
	// Links is the number of its links, which were dropped.
	Links int64 `json:"links"`
	// With has some of the keys it was seen with, by their order.
	With []Key `json:"with,omitempty"`
}

// LinkReport says what Resolve did.
type LinkReport struct {
	Keys     int64 `json:"keys"`
	Links    int64 `json:"links"`
	Entities int64 `json:"entities"`
	// ByKind is the number of keys by kind, Ignored that of texts that are no keys, such as "null".
	ByKind  map[string]int64 `json:"by_kind"`
	Ignored map[string]int64 `json:"ignored"`
	// Hubs is the number of hubs by kind, Dropped that of links to them, and Samples has those with the most links of each kind.
	Hubs    map[string]int64 `json:"hubs"`
	Dropped int64            `json:"dropped"`
	Samples []Hub            `json:"samples,omitempty"`
	// Glued is the number of entities of the first kind that ended within another, by keys of other kinds. With MaxAbove 1 these are
	// chains that no single key shows: should there be many, more keys than those found are shared.
	Glued int64 `json:"glued"`
	// Largest is the canonical key of the entity with the most keys, LargestKeys their number.
	Largest     Key `json:"largest"`
	LargestKeys int `json:"largest_keys"`
}

// Entities says which keys are one. It is safe for concurrent use, and takes the memory of the keys and 4 bytes each.
type Entities struct {
	Report LinkReport

	kinds []string
	keys  interner
	of    []uint32 // the canonical key of each
}

// Canonical returns the key that stands for the entity of k: the first by priority of kinds, then by text. ok is false for a key that is
// not known, or is none.
func (e *Entities) Canonical(k Key) (canonical Key, ok bool) {
	kind := slices.Index(e.kinds, k.Kind)
	if kind < 0 {
		return Key{}, false
	}
	id, ok := e.keys.lookup(uint8(kind), k.Text)
	if !ok {
		return Key{}, false
	}
	return e.key(e.of[id]), true
}

// Joined calls yield with each key that another stands for, and that one, the best kinds first. An error of yield ends it and is returned.
func (e *Entities) Joined(yield func(key, canonical Key) error) error {
	for kind := range e.kinds {
		for id, of := range e.of {
			if of == uint32(id) || int(e.keys.kinds[id]) != kind {
				continue
			}
			if err := yield(e.key(uint32(id)), e.key(of)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Entities) key(id uint32) Key {
	return Key{e.kinds[e.keys.kinds[id]], string(e.keys.text(id))}
}

func (e *Entities) compare(x, y uint32) int { return e.keys.compare(x, y) }

// compare orders keys by kind, then text.
func (n *interner) compare(x, y uint32) int {
	if c := cmp.Compare(n.kinds[x], n.kinds[y]); c != 0 {
		return c
	}
	return slices.Compare(n.text(x), n.text(y))
}

// All yields each entity by its canonical key, with all its keys, both in the order of kinds and texts. The slice is valid until the next.
// It sorts 4 bytes a key.
func (e *Entities) All() iter.Seq2[Key, []Key] {
	return func(yield func(Key, []Key) bool) {
		order := make([]uint32, len(e.of))
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortFunc(order, func(x, y uint32) int {
			if e.of[x] != e.of[y] {
				return e.compare(e.of[x], e.of[y])
			}
			return e.compare(x, y)
		})
		var members []Key
		for i, id := range order {
			members = append(members, e.key(id))
			if i+1 < len(order) && e.of[order[i+1]] == e.of[id] {
				continue
			}
			if !yield(e.key(e.of[id]), members) {
				return
			}
			members = members[:0]
		}
	}
}

// Flags of the sets of a resolver, at their roots.
const (
	hasFirst uint8 = 1 << iota // a key of the first kind is in it
	isHub
)

// resolver is the state of one Resolve.
type resolver struct {
	cfg     LinkConfig
	keys    interner
	links   []uint64
	sets    *forest
	flags   []uint8
	scratch []uint32
	pairs   []uint64
	hubs    map[uint32]*Hub // by key
	report  LinkReport
	firsts  int64 // sets of the first kind
}

func newResolver(l *Links) *resolver {
	n := l.keys.len()
	r := &resolver{
		cfg: l.cfg, keys: l.keys, links: l.links, sets: newForest(n), flags: make([]uint8, n), scratch: make([]uint32, n), hubs: map[uint32]*Hub{},
		report: LinkReport{
			Keys: int64(n), Links: int64(len(l.links)), ByKind: map[string]int64{}, Ignored: map[string]int64{}, Hubs: map[string]int64{},
		},
	}
	for id, kind := range r.keys.kinds {
		r.report.ByKind[r.cfg.Kinds[kind]]++
		if kind == 0 {
			r.flags[id] |= hasFirst
			r.firsts++
		}
	}
	for kind, n := range l.ignored {
		if n > 0 {
			r.report.Ignored[r.cfg.Kinds[kind]] = n
		}
	}
	return r
}

func (r *resolver) join(x, y uint32) {
	root, other := r.sets.join(x, y)
	if root != other {
		if r.flags[root]&r.flags[other]&hasFirst != 0 {
			r.firsts--
		}
		r.flags[root] |= r.flags[other]
	}
}

func (r *resolver) hub(id uint32) bool { return r.flags[r.sets.root(id)]&isHub != 0 }

// mark makes a key, which is alone or of a set that no other joins, a hub.
func (r *resolver) mark(id uint32, degree int, of string) {
	r.flags[r.sets.root(id)] |= isHub
	r.hubs[id] = &Hub{Degree: degree, Of: of}
}

// ordered returns the ends of a link, that of the better kind first.
func (r *resolver) ordered(link uint64) (better, worse uint32) {
	x, y := uint32(link>>32), uint32(link)
	if r.keys.kinds[x] > r.keys.kinds[y] {
		return y, x
	}
	return x, y
}

// dropBelow finds the keys with more than MaxBelow keys of one worse kind.
func (r *resolver) dropBelow() {
	for kind := 1; kind < len(r.cfg.Kinds); kind++ {
		clear(r.scratch)
		for _, link := range r.links {
			better, worse := r.ordered(link)
			if int(r.keys.kinds[worse]) == kind && int(r.keys.kinds[better]) < kind {
				r.scratch[better]++
			}
		}
		for id, n := range r.scratch {
			if int64(n) > int64(r.cfg.MaxBelow) {
				r.mark(uint32(id), int(n), r.cfg.Kinds[kind])
			}
		}
	}
}

// joinKind joins the keys of a kind to each other and to those of better kinds.
func (r *resolver) joinKind(kind uint8) {
	for _, link := range r.links {
		x, y := uint32(link>>32), uint32(link)
		if r.keys.kinds[x] == kind && r.keys.kinds[y] == kind && !r.hub(x) && !r.hub(y) {
			r.join(x, y)
		}
	}
	if kind == 0 {
		r.report.Glued = r.firsts
		return
	}
	r.pairs = r.pairs[:0]
	for _, link := range r.links {
		better, worse := r.ordered(link)
		if r.keys.kinds[worse] == kind && r.keys.kinds[better] < kind && !r.hub(better) && !r.hub(worse) {
			r.pairs = append(r.pairs, uint64(r.sets.root(worse))<<32|uint64(r.sets.root(better)))
		}
	}
	r.dropAbove(kind)
	r.dropBridges()
	for _, p := range r.pairs {
		if !r.hub(uint32(p>>32)) && !r.hub(uint32(p)) {
			r.join(uint32(p>>32), uint32(p))
		}
	}
}

// dropAbove finds the sets of a kind that belong to more than MaxAbove entities, by pairs of their root and that of another set.
func (r *resolver) dropAbove(kind uint8) {
	slices.Sort(r.pairs)
	r.pairs = slices.Compact(r.pairs)
	degrees := map[uint32]int{}
	for first := range r.runs() {
		if degree := r.degree(first); degree > r.cfg.MaxAbove {
			degrees[uint32(first[0]>>32)] = degree
		}
	}
	if len(degrees) == 0 {
		return
	}
	for id := range r.keys.kinds {
		if r.keys.kinds[id] == kind {
			if degree, ok := degrees[r.sets.root(uint32(id))]; ok {
				r.mark(uint32(id), degree, r.cfg.Kinds[0])
			}
		}
	}
}

// dropBridges finds the sets of better kinds without an entity that would join too many of them by keys of this kind: a cookie on the devices of two
// users who never logged in with it.
func (r *resolver) dropBridges() {
	var bridges []uint64 // from a set without an entity to one with
	for run := range r.runs() {
		if r.hub(uint32(run[0] >> 32)) {
			continue
		}
		for _, p := range run {
			if r.flags[uint32(p)]&hasFirst != 0 {
				for _, q := range run {
					if r.flags[uint32(q)]&hasFirst == 0 {
						bridges = append(bridges, uint64(uint32(q))<<32|uint64(uint32(p)))
					}
				}
			}
		}
	}
	if len(bridges) == 0 {
		return
	}
	slices.Sort(bridges)
	bridges = slices.Compact(bridges)
	degrees := map[uint32]int{}
	for run := range runs(bridges) {
		if len(run) > r.cfg.MaxAbove {
			degrees[uint32(run[0]>>32)] = len(run)
		}
	}
	if len(degrees) == 0 {
		return
	}
	for id := range r.keys.kinds {
		if degree, ok := degrees[r.sets.root(uint32(id))]; ok {
			r.mark(uint32(id), degree, r.cfg.Kinds[0])
		}
	}
}

func (r *resolver) runs() iter.Seq[[]uint64] { return runs(r.pairs) }

// runs yields the stretches of equal upper halves of sorted pairs.
func runs(pairs []uint64) iter.Seq[[]uint64] {
	return func(yield func([]uint64) bool) {
		for start := 0; start < len(pairs); {
			end := start + 1
			for end < len(pairs) && pairs[end]>>32 == pairs[start]>>32 {
				end++
			}
			if !yield(pairs[start:end]) {
				return
			}
			start = end
		}
	}
}

// degree counts the entities among the lower halves.
func (r *resolver) degree(pairs []uint64) int {
	n := 0
	for _, p := range pairs {
		if r.flags[uint32(p)]&hasFirst != 0 {
			n++
		}
	}
	return n
}

// finish finds the canonical keys and makes the report.
func (r *resolver) finish() *Entities {
	r.report.Glued -= r.firsts
	r.reportHubs()
	const none = ^uint32(0)
	best := r.scratch
	for i := range best {
		best[i] = none
	}
	largest, size := none, 0
	for id := range r.keys.kinds {
		root := r.sets.root(uint32(id))
		if best[root] == none {
			r.report.Entities++
			best[root] = uint32(id)
		} else if r.keys.compare(uint32(id), best[root]) < 0 {
			best[root] = uint32(id)
		}
	}
	for id := range r.keys.kinds {
		if root := r.sets.root(uint32(id)); root == uint32(id) {
			n := int(r.sets.size[root])
			if n > size || n == size && r.keys.compare(best[root], largest) < 0 {
				largest, size = best[root], n
			}
		}
	}
	of := r.sets.size // not needed any more
	for id := range of {
		of[id] = best[r.sets.root(uint32(id))]
	}
	e := &Entities{kinds: r.cfg.Kinds, keys: r.keys, of: of}
	if size > 0 {
		r.report.Largest, r.report.LargestKeys = e.key(largest), size
	}
	e.Report = r.report
	return e
}

func (r *resolver) reportHubs() {
	if len(r.hubs) == 0 {
		return
	}
	for _, link := range r.links {
		x, y := uint32(link>>32), uint32(link)
		if !r.hub(x) && !r.hub(y) {
			continue
		}
		r.report.Dropped++
		for _, id := range [2]uint32{x, y} {
			if h := r.hubs[id]; h != nil {
				h.Links++
			}
		}
	}
	byKind := make([][]uint32, len(r.cfg.Kinds))
	for id := range r.hubs {
		byKind[r.keys.kinds[id]] = append(byKind[r.keys.kinds[id]], id)
	}
	shown := map[uint32][]uint32{}
	for kind, ids := range byKind {
		if len(ids) == 0 {
			continue
		}
		r.report.Hubs[r.cfg.Kinds[kind]] = int64(len(ids))
		slices.SortFunc(ids, func(x, y uint32) int {
			return cmp.Or(cmp.Compare(r.hubs[y].Links, r.hubs[x].Links), r.keys.compare(x, y))
		})
		byKind[kind] = ids[:min(len(ids), r.cfg.Samples)]
		for _, id := range byKind[kind] {
			shown[id] = nil
		}
	}
	for _, link := range r.links {
		x, y := uint32(link>>32), uint32(link)
		if with, ok := shown[x]; ok {
			shown[x] = append(with, y)
		}
		if with, ok := shown[y]; ok {
			shown[y] = append(with, x)
		}
	}
	const examples = 3
	for _, ids := range byKind {
		for _, id := range ids {
			h := *r.hubs[id]
			h.Key = Key{r.cfg.Kinds[r.keys.kinds[id]], string(r.keys.text(id))}
			with := shown[id]
			slices.SortFunc(with, r.keys.compare)
			for _, other := range with[:min(len(with), examples)] {
				h.With = append(h.With, Key{r.cfg.Kinds[r.keys.kinds[other]], string(r.keys.text(other))})
			}
			r.report.Samples = append(r.report.Samples, h)
		}
	}
}
