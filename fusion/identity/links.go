package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrConfig means that a configuration cannot be used, and ErrTooLarge that there are more keys or links than the memory allowed.
var (
	ErrConfig   = errors.New("bad identity configuration")
	ErrTooLarge = errors.New("too many keys for the memory allowed")
)

// LinkConfig says which keys may be joined. Every field but MemoryBytes and Samples changes results.
type LinkConfig struct {
	// Kinds are the kinds of keys by priority: what names an entity best comes first. At most 64.
	Kinds []string
	// MaxAbove is the greatest number of entities of the first kind that a key of another kind may belong to. One that was seen with more joins none of
	// them: it is a hub. Entities are counted after keys of better kinds are joined, so two accounts known to be one person count once.
	MaxAbove int
	// MaxBelow is the greatest number of keys of one worse kind that a key may be seen with. One with more is a hub, too: a guest account, a robot.
	MaxBelow int
	// Ignore lists texts that are no keys in any kind, compared without regard to case and surrounding blanks. Texts of zeros and separators alone never are.
	Ignore []string
	// MemoryBytes bounds what is held; 0 is no bound.
	MemoryBytes int64
	// Samples is how many hubs of each kind the report shows.
	Samples int
}

// noKeys are texts that programs write where they know no key.
var noKeys = []string{
	"null", "nil", "none", "undefined", "unknown", "nan", "n/a", "na", "<null>", `\n`, "(null)", "(not set)", "not set", "anonymous", "guest", "test", "false",
	"deleted", "[object object]", "未知", "无",
}

// UserLinks returns the configuration for keys of users.
func UserLinks(kinds ...string) LinkConfig {
	return LinkConfig{
		Kinds: kinds,
		// A device with two accounts is more often a household's than that of somebody who registered twice, and the two cannot be told apart by
		// links. A wrong join mixes the histories of strangers, a missing one only shortens a history. Those who registered twice are
		// found by Matcher, and count once here.
		MaxAbove: 1,
		// Who deletes cookies every day makes 365 a year.
		MaxBelow: 1000,
		Ignore:   noKeys, MemoryBytes: 4 << 30, Samples: 10,
	}
}

// ProductLinks returns the configuration for keys of products, of which the first is the shop's own.
func ProductLinks(kinds ...string) LinkConfig {
	// An EAN in two lines of the shop's catalog is how duplicates show; one in more than ten is a placeholder.
	return LinkConfig{Kinds: kinds, MaxAbove: 10, MaxBelow: 1000, Ignore: noKeys, MemoryBytes: 4 << 30, Samples: 10}
}

func (c *LinkConfig) validate() error {
	switch {
	case len(c.Kinds) == 0 || len(c.Kinds) > 64:
		return fmt.Errorf("%w: Kinds has %d; want 1 to 64", ErrConfig, len(c.Kinds))
	case c.MaxAbove < 1:
		return fmt.Errorf("%w: MaxAbove is %d; want at least 1", ErrConfig, c.MaxAbove)
	case c.MaxBelow < 1:
		return fmt.Errorf("%w: MaxBelow is %d; want at least 1", ErrConfig, c.MaxBelow)
	case c.MemoryBytes < 0 || c.Samples < 0:
		return fmt.Errorf("%w: MemoryBytes is %d, Samples %d; want 0 or more", ErrConfig, c.MemoryBytes, c.Samples)
	}
	for i, k := range c.Kinds {
		if k == "" || slices.Contains(c.Kinds[:i], k) {
			return fmt.Errorf("%w: Kinds has %q twice or an empty name", ErrConfig, k)
		}
	}
	return nil
}

// Links collects which keys were seen together, and joins them. It is not safe for concurrent use.
//
// Memory: a key of n bytes costs n + 9 bytes, 11 to 21 in the table of keys and 13 in Resolve; a distinct link 8, and up to 16 more in Resolve.
// Slices grow by steps, which adds up to a quarter. Keys of 16 bytes with three links for four of them take about 83 bytes at the peak and 53
// afterwards: ten million keys 0.8 GB and 0.5 GB. Links that are added again cost nothing.
type Links struct {
	cfg     LinkConfig
	ignore  map[string]bool
	longest int // of them
	keys    interner
	links   []uint64 // pairs of numbers, the smaller above; the first sorted ones distinct
	sorted  int
	ignored []int64 // by kind
}

// NewLinks returns an empty collection.
func NewLinks(cfg LinkConfig) (*Links, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Links{cfg: cfg, ignore: map[string]bool{}, ignored: make([]int64, len(cfg.Kinds))}
	for _, text := range cfg.Ignore {
		text = strings.TrimSpace(text)
		l.ignore[strings.ToLower(text)] = true
		l.longest = max(l.longest, len(text))
	}
	return l, nil
}

// none reports whether a text is no key.
func (l *Links) none(text string) bool {
	zeros := true
	for i := range len(text) {
		switch text[i] {
		case '0', '-', ' ', '.', ':', '_', '\t':
		default:
			zeros = false
		}
		if !zeros {
			break
		}
	}
	if zeros {
		return true
	}
	text = strings.TrimSpace(text)
	return len(text) <= l.longest && l.ignore[strings.ToLower(text)]
}

// number interns a key; ok is false for one that is ignored.
func (l *Links) number(k Key) (id uint32, ok bool, err error) {
	kind := slices.Index(l.cfg.Kinds, k.Kind)
	if kind < 0 {
		return 0, false, fmt.Errorf("%w: kind %q of key %q is not declared; want one of %v", ErrConfig, k.Kind, k.Text, l.cfg.Kinds)
	}
	if l.none(k.Text) {
		l.ignored[kind]++
		return 0, false, nil
	}
	if l.keys.len() >= 1<<32-2 {
		return 0, false, fmt.Errorf("%w: 2^32 keys; split the sources by country or shop", ErrTooLarge)
	}
	return l.keys.add(uint8(kind), k.Text), true, nil
}

// AddKey makes a key known that may have no link.
func (l *Links) AddKey(k Key) error {
	if _, _, err := l.number(k); err != nil {
		return err
	}
	return l.check()
}

// Add says that two keys were seen together. A key that is no key (such as "null") is counted and left out; the other one is known then.
//
// It returns an error that matches ErrConfig for a kind that is not declared, and ErrTooLarge beyond MemoryBytes.
func (l *Links) Add(a, b Key) error {
	x, okA, err := l.number(a)
	if err != nil {
		return err
	}
	y, okB, err := l.number(b)
	if err != nil {
		return err
	}
	if okA && okB && x != y {
		if len(l.links) == cap(l.links) {
			l.compact()
		}
		l.links = append(l.links, uint64(min(x, y))<<32|uint64(max(x, y)))
	}
	return l.check()
}

// compact sorts the links and drops those that are there twice; then there is room for half as many again.
func (l *Links) compact() {
	if len(l.links) == l.sorted && l.sorted < cap(l.links) {
		return
	}
	slices.Sort(l.links)
	l.links = slices.Compact(l.links)
	l.sorted = len(l.links)
	if room := max(1024, l.sorted/2); cap(l.links)-l.sorted < room {
		l.links = slices.Grow(l.links, room)
	}
}

// SizeBytes returns the memory held now, and what Resolve adds to it at its peak.
func (l *Links) SizeBytes() (held, more int64) {
	held = l.keys.sizeBytes() + 8*int64(cap(l.links))
	return held, 13*int64(l.keys.len()) + 16*int64(len(l.links))
}

func (l *Links) check() error {
	if l.cfg.MemoryBytes == 0 {
		return nil
	}
	if held, more := l.SizeBytes(); held+more > l.cfg.MemoryBytes {
		// Links that are there twice may have filled it.
		l.compact()
		// A sixteenth must be free after that, or each link would sort them all.
		if held, more = l.SizeBytes(); held+more > l.cfg.MemoryBytes/16*15 {
			return fmt.Errorf("%w: %d keys and %d links need %d MiB of %d MiB; allow more, or leave out kinds of keys that nothing else refers to",
				ErrTooLarge, l.keys.len(), len(l.links), (held+more)>>20, l.cfg.MemoryBytes>>20)
		}
	}
	return nil
}

// Resolve joins the keys and empties l. Hubs are left out of all joins, and each key that has no other is an entity of its own.
//
// Kinds are taken from the best to the worst. For each: keys of the kind that are linked to each other are one; then every such set is
// compared with the entities of the first kind that its links to better kinds lead to. Are there more than MaxAbove, all its keys are hubs
// and the links to better kinds are dropped; else all are joined.
//
// The result is a function of the set of links. Cost: O((keys + links) log links).
func (l *Links) Resolve(ctx context.Context) (*Entities, error) {
	l.compact()
	r := newResolver(l)
	l.links, l.sorted, l.keys = nil, 0, interner{}
	r.dropBelow()
	for kind := range l.cfg.Kinds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.joinKind(uint8(kind))
	}
	return r.finish(), nil
}
