package coordinator

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/partition"
)

// hotRows keeps what a query makes of a history before it scores: the row of the user in a model version. It saves reading the events, fusing them and looking their items up for users
// who come again and have done nothing since. A row is found by the stamp of the events that it was made of (store.Store.KnownHistory), so one of other events is never found, and falls
// out by itself: there are shards, and each has two generations as store.Histories has.
type hotRows struct {
	shards [rowShards]rowShard
	room   int // words of a generation, with its index
}

const (
	rowShards = 64
	// rowIndexWords is about what a row takes in the index.
	rowIndexWords = 6
)

type rowShard struct {
	mu         sync.Mutex
	young, old rowGeneration
}

// rowGeneration has rows: version u64 | items u32 | excluded u32 | { item, partition, bits of the weight } of each item | excluded items.
type rowGeneration struct {
	words []uint32
	at    map[uint64]uint32 // from the stamp to where a row begins
}

const rowHead = 4

// newHotRows returns rows of up to so many bytes. Few bytes keep none.
func newHotRows(bytes int64) *hotRows { return &hotRows{room: int(bytes / 4 / rowShards / 2)} }

// get returns a row that put has kept.
func (h *hotRows) get(stamp, version uint64) (history []node.HistoryItem, excluded []uint32, ok bool) {
	s := &h.shards[stamp%rowShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	row, young := s.young.find(stamp, version), true
	if row == nil {
		row, young = s.old.find(stamp, version), false
	}
	if row == nil {
		return nil, nil, false
	}
	history, excluded = make([]node.HistoryItem, row[2]), slices.Clone(row[rowHead+3*row[2]:])
	for i := range history {
		x := row[rowHead+3*i:]
		history[i] = node.HistoryItem{Item: x[0], Partition: x[1], Weight: math.Float32frombits(x[2])}
	}
	if !young {
		s.keep(h.room, stamp, slices.Clone(row)) // its place may be taken
	}
	return history, excluded, true
}

// put keeps a row.
func (h *hotRows) put(stamp, version uint64, history []node.HistoryItem, excluded []uint32) {
	row := make([]uint32, 0, rowHead+3*len(history)+len(excluded))
	row = append(row, uint32(version), uint32(version>>32), uint32(len(history)), uint32(len(excluded)))
	for _, x := range history {
		row = append(row, x.Item, x.Partition, math.Float32bits(x.Weight))
	}
	s := &h.shards[stamp%rowShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(h.room, stamp, append(row, excluded...))
}

func (s *rowShard) keep(room int, stamp uint64, row []uint32) {
	if len(row) > room/4 {
		return // others would have to go for it
	}
	if len(s.young.words)+len(row)+rowIndexWords*(len(s.young.at)+1) > room {
		s.young, s.old = rowGeneration{s.old.words[:0], s.old.at}, s.young
		clear(s.young.at)
	}
	if s.young.at == nil {
		s.young.at = map[uint64]uint32{}
	}
	s.young.at[stamp] = uint32(len(s.young.words))
	s.young.words = append(s.young.words, row...)
}

// find returns the words of a row, or nil.
func (g *rowGeneration) find(stamp, version uint64) []uint32 {
	at, ok := g.at[stamp]
	if !ok {
		return nil
	}
	row := g.words[at:]
	if uint64(row[0])|uint64(row[1])<<32 != version {
		return nil
	}
	return row[:rowHead+3*row[2]+row[3]]
}

// plain reports whether a query asks for what the neighborhoods of the model rank for a user, with all that the user knows left out and nothing else: then a row is all that it needs.
func (q *Query) plain() bool {
	return q.User != "" && (q.Method == ItemKNN || q.Method == UserKNN || q.Method == Hybrid) && q.Item == "" && q.Explore == nil && q.apart == nil &&
		!q.WithSeen && !q.Stale && !q.Explain && q.Filter.Empty() && !q.reorders() && len(q.Exclude)+len(q.Pins) == 0
}

// fromRow answers a plain query of a user whose events are in memory, where nobody else need be asked about them. The answer is shorter than N, and says so, if the model ranks no more,
// and nil where it is not to be had so.
func (r *Router) fromRow(ctx context.Context, q *Query) (*Answer, error) {
	if r.hot == nil || !q.plain() {
		return nil, nil
	}
	a := &Answer{}
	m, dictionary, err := r.answering(q, a)
	if m == nil || err != nil {
		return nil, nil // told by who asks next
	}
	defer m.Release()
	if m.Weights.HalfLife > 0 {
		return nil, nil // the row is another one each moment
	}
	s, excluded := r.hotRow(m, dictionary, q)
	if s == nil {
		return nil, nil
	}
	scores, byItems, err := s.score(ctx, q)
	if err != nil {
		return nil, err
	}
	defer byItems.Return() // what was asked of the own node is borrowed
	top := unchanged(scores.Top(q.N, excluded))
	a.Partial, a.Items = s.partial, s.ranked(nil, top, q.Method)
	if len(top) < q.N && !q.NoFallback {
		a.Fallback = ranksOnly(len(top))
	}
	return a, nil
}

// hotRow returns the scoring of a user, and what may not be in the answer, by the row that is kept, or by events in memory. It is nil if these are not there, or the model knows nothing of them.
func (r *Router) hotRow(m *node.Version, dictionary *artifact.Dictionary, q *Query) (*scoring, []uint32) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, nil
	}
	p, epoch := partition.Of(q.User, partitions), r.log.State().Epoch
	stamp, ok := r.local.KnownStamp(p, epoch, q.User)
	if !ok {
		return nil, nil
	}
	s := &scoring{r: r, m: m, dictionary: dictionary, user: q.User}
	history, excluded, ok := r.hot.get(stamp, m.Version)
	if ok {
		s.history = history
	} else {
		events, stamp, ok := r.local.KnownHistory(p, epoch, q.User, false)
		if !ok {
			return nil, nil
		}
		s = r.newScoring(m, dictionary, q.User, r.history(m, dictionary, q, events))
		excluded = s.excluded(q.known(events))
		r.hot.put(stamp, m.Version, s.history, excluded)
	}
	if len(s.history) == 0 {
		return nil, nil
	}
	r.answered.Inc() // for the history
	if ok {
		r.hotUses.Inc()
	}
	return s, excluded
}
