package coordinator

import (
	"context"
	"math"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/partition"
)

// rankings keeps what came out of plain queries: the ids and the scores of the best items, for users who come again and have done nothing since. A ranking is found by all that it
// depends on (rankingKey), so that nobody has to tell of changes: what others have asked for falls out by itself. There are shards, and each has two generations as store.Histories has.
type rankings struct {
	shards [rankingShards]rankingShard
	room   int // words of a generation, with its index
}

const (
	rankingShards = 64
	// rankingIndexWords is about what a ranking takes in the index.
	rankingIndexWords = 6
)

type rankingShard struct {
	mu         sync.Mutex
	young, old rankingGeneration
}

// rankingGeneration has rankings: words of the key | how many items were asked for | how many there are | { item, bits of the score u64 } by rank.
type rankingGeneration struct {
	words []uint32
	at    map[uint64]uint32 // from the index of the key to where a ranking begins
}

const (
	keyWords    = 9
	rankingHead = keyWords + 2
	rankedWords = 3
	longestPart = 4 // of a generation that one ranking may not exceed: others would have to go for it
)

// rankingKey is all that the answer to a plain query depends on, but for its length:
//
//   - The events of the user, and who that is: the stamp stands for both (store.Store.KnownHistory) and is never given again. Events that come, go with an erasure or come by a join
//     give the user another one, and KnownStamp has none for a key that is joined to another, or is about to be.
//   - The version: its dictionary, lists and rows are files that never change, and are fetched again byte for byte if they are damaged; its settings are those of its build. Its number is
//     an index of the log of the control group, so that no other version ever has it, and one that is activated again is what it was. Backups hold no versions.
//   - The method, and for a hybrid the share.
//   - Where users are looked for, who of them was erased since the cut of the version: these are passed over. See Local.Erasures and keyOf.
//   - The present, where weights decay: that changes with each moment, and such versions have no rankings.
//
// Products and what rules say of them, scenes, baskets, what else is excluded, pins and new products change no plain query; scenes are queries with such things in them. Popularity and
// what else fills an answer up is not in a ranking.
type rankingKey struct {
	stamp, version uint64
	share          uint64 // bits of a float64, of Hybrid alone
	erasures       uint64 // of UserKNN and Hybrid
	method         Method
}

func (k *rankingKey) words() [keyWords]uint32 {
	return [keyWords]uint32{
		uint32(k.stamp), uint32(k.stamp >> 32), uint32(k.version), uint32(k.version >> 32), uint32(k.share), uint32(k.share >> 32), uint32(k.erasures), uint32(k.erasures >> 32),
		uint32(k.method),
	}
}

// index is what a ranking is looked up by. The methods of a user stand side by side, and the last of each stays; what has the same index is told apart by the key.
func (k *rankingKey) index() uint64 { return k.stamp<<8 | uint64(k.method) }

// newRankings returns rankings of up to so many bytes. Few bytes keep none.
func newRankings(bytes int64) *rankings { return &rankings{room: int(bytes / 4 / rankingShards / 2)} }

func (h *rankings) shard(k *rankingKey) *rankingShard { return &h.shards[k.stamp%rankingShards] }

// get appends the ids of the n best items to ids, and returns them with their places in an answer, which lack the keys. There are fewer if there are no more. What was asked for with a
// smaller n, and may have more, is not enough.
func (h *rankings) get(k *rankingKey, n int, ids []uint32) (_ []uint32, items []Ranked, ok bool) {
	s := h.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	ranking, young := s.young.find(k, n), true
	if ranking == nil {
		ranking, young = s.old.find(k, n), false
	}
	if ranking == nil {
		return ids, nil, false
	}
	if !young {
		ranking = s.keep(h.room, k, ranking)
	}
	items = make([]Ranked, min(n, int(ranking[keyWords+1])))
	for i := range items {
		x := ranking[rankingHead+rankedWords*i:]
		ids, items[i] = append(ids, x[0]), Ranked{Score: math.Float64frombits(uint64(x[1]) | uint64(x[2])<<32), Source: k.method}
	}
	return ids, items, true
}

// put keeps the best items, n of them if there are as many. Others may have done so meanwhile.
func (h *rankings) put(k *rankingKey, n int, top []model.Scored) {
	key := k.words()
	ranking := make([]uint32, 0, rankingHead+rankedWords*len(top))
	ranking = append(append(ranking, key[:]...), uint32(n), uint32(len(top)))
	for _, x := range top {
		score := math.Float64bits(x.Score)
		ranking = append(ranking, x.Item, uint32(score), uint32(score>>32))
	}
	s := h.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young.find(k, n) == nil {
		s.keep(h.room, k, ranking)
	}
}

// keep puts a ranking, which may be a part of the old generation, into the young one, and returns where it is to be read from until the shard is unlocked.
func (s *rankingShard) keep(room int, k *rankingKey, ranking []uint32) []uint32 {
	if len(ranking) > room/longestPart {
		return ranking
	}
	if len(s.young.words)+len(ranking)+rankingIndexWords*(len(s.young.at)+1) > room {
		ranking = append([]uint32(nil), ranking...) // its place is taken
		s.young, s.old = rankingGeneration{s.old.words[:0], s.old.at}, s.young
		clear(s.young.at)
	}
	if s.young.at == nil {
		s.young.at = map[uint64]uint32{}
	}
	at, words := len(s.young.words), s.young.words
	if end := at + len(ranking); end > cap(words) { // not more than there is room for beside the index, if others are as long
		most := room * end / (end + rankingIndexWords*(len(s.young.at)+1))
		words = append(make([]uint32, 0, max(end, min(2*cap(words), most))), words...)
	}
	s.young.words, s.young.at[k.index()] = append(words, ranking...), uint32(at)
	return s.young.words[at:]
}

// find returns the words of a ranking that tells the n best items, or nil.
func (g *rankingGeneration) find(k *rankingKey, n int) []uint32 {
	at, ok := g.at[k.index()]
	if !ok {
		return nil
	}
	ranking := g.words[at:]
	asked, there := ranking[keyWords], ranking[keyWords+1]
	if [keyWords]uint32(ranking) != k.words() || n > int(asked) && there == asked {
		return nil
	}
	return ranking[:rankingHead+rankedWords*there]
}

// plain reports whether a query asks for what the neighborhoods of the model rank for a user, with all that the user knows left out and nothing else: then a ranking is all that it needs.
func (q *Query) plain() bool {
	return q.User != "" && (q.Method == ItemKNN || q.Method == UserKNN || q.Method == Hybrid) && q.Item == "" && len(q.Basket) == 0 && q.Explore == nil && q.apart == nil &&
		!q.WithSeen && !q.Stale && !q.Explain && q.Filter.Empty() && !q.reorders() && len(q.Exclude)+len(q.Pins) == 0
}

// keyOf returns what the answer to a plain query depends on beside the events, or false if that cannot be told. It is called before the query looks at anything, so that what changes
// meanwhile gives a key that nobody asks for again.
//
// Similar users are told by the replicas of this node if it has all, and otherwise by others, who may know of more erasures or of fewer. Where the cut of a version is not known any more
// all who were ever erased are passed over, but only from the next time on that its files are opened.
func (r *Router) keyOf(m *node.Version, q *Query) (k rankingKey, ok bool) {
	k = rankingKey{version: m.Version, method: q.Method}
	if m.Weights.HalfLife > 0 {
		return k, false
	}
	if q.Method == ItemKNN {
		return k, true
	}
	if q.Method == Hybrid {
		k.share = math.Float64bits(q.share())
	}
	if m.Cut == nil {
		return k, false
	}
	k.erasures, ok = r.local.Erasures(m.Partitions)
	return k, ok
}

// fromRanking answers a plain query of a user whose events are in memory, where nobody else need be asked about them. The answer is shorter than N, and says so, if the model ranks no
// more or knows nothing of the user, and nil where it is not to be had so. The query has the events if they were looked at. Cost: for who has asked before and has done nothing since, that of copying the answer.
func (r *Router) fromRanking(ctx context.Context, q *Query) (*Answer, error) {
	if r.rankings == nil || !q.plain() {
		return nil, nil
	}
	a := &Answer{}
	m, dictionary, err := r.answering(q, a)
	if m == nil || err != nil {
		return nil, nil // told by who asks next
	}
	defer m.Release()
	partitions, err := r.partitions()
	if err != nil {
		return nil, nil
	}
	p, epoch := partition.Of(q.User, partitions), r.log.State().Epoch
	stamp, ok := r.local.KnownStamp(p, epoch, q.User)
	if !ok {
		return nil, nil
	}
	k, ok := r.keyOf(m, q)
	if !ok {
		return nil, nil
	}
	k.stamp = stamp
	var room [32]uint32 // most answers are shorter
	if ids, items, ok := r.rankings.get(&k, q.N, room[:0]); ok {
		r.answered.Inc() // for the history
		r.rankingUses.Inc()
		for i, key := range dictionary.Keys(ids) {
			items[i].Item = key
		}
		a.Items = items
	} else {
		events, stamp, ok := r.local.KnownHistory(p, epoch, q.User, false)
		if !ok {
			return nil, nil
		}
		r.answered.Inc()
		q.events, q.read = events, true
		s := r.newScoring(m, dictionary, q.User, r.history(m, dictionary, q, events))
		if len(s.history) == 0 {
			return a, lacksHistory(q, events, a)
		}
		scores, byItems, err := s.score(ctx, q)
		if err != nil {
			return nil, err
		}
		defer byItems.Return() // what was asked of the own node is borrowed
		top := scores.Top(q.N, s.excluded(q.known(events)))
		if k.stamp = stamp; !s.partial && !s.elsewhere {
			r.rankings.put(&k, q.N, top)
		}
		a.Partial, a.Items = s.partial, s.ranked(nil, unchanged(top), q.Method)
	}
	if len(a.Items) < q.N {
		a.Fallback = ranksOnly(len(a.Items))
	}
	return a, nil
}
