package partition

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Member is a process that may hold replicas.
type Member struct {
	// ID names the member for good; two entries with one ID count once.
	ID string
	// Zone is what fails together. Members without one share the zone "".
	Zone string
	// Weight is the member's share of the replicas relative to others: 0 means 1,
	// and a member whose weight is negative or not finite holds none.
	Weight float64
}

// Replicas returns the ids of the rf members that should hold partition p, best score
// first, or of all members if there are fewer. A zone gets a second replica
// only when each zone that has a member has one, a third when each has two, ...
//
// It is weighted rendezvous hashing: the score of a member is -w/ln(h), h in (0, 1)
// from a hash of member and partition, so a member's share of first places is
// proportional to its weight [thaler1998] [schindelhauer2005]. A member that joins
// takes at most one replica of p from one other member and moves nothing else; when
// one leaves, at most one other is added. The order of members does not matter.
// Cost: O(members · log members).
func Replicas(p ID, members []Member, rf int) []string {
	ms := eligible(members)
	out := make([]string, 0, max(0, min(rf, len(ms))))
	for _, m := range ranked(p, ms, rf) {
		out = append(out, ms[m].ID)
	}
	return out
}

// eligible returns the members that may hold replicas by ascending id, each once,
// with the weight 1 in the place of 0.
func eligible(members []Member) []Member {
	ms := slices.Clone(members)
	slices.SortFunc(ms, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Weight, b.Weight))
	})
	ms = slices.CompactFunc(ms, func(a, b Member) bool { return a.ID == b.ID })
	for i := range ms {
		if ms[i].Weight == 0 {
			ms[i].Weight = 1
		}
	}
	return slices.DeleteFunc(ms, func(m Member) bool { return !(m.Weight > 0) || math.IsInf(m.Weight, 1) })
}

// score is the weighted rendezvous score of m for p.
func score(p ID, m Member) float64 {
	key := binary.LittleEndian.AppendUint32(append([]byte(m.ID), 0), uint32(p))
	h := (float64(xxhash.Sum64(key)>>11) + 0.5) / (1 << 53)
	return -m.Weight / math.Log(h)
}

// ranked returns the rf best members for p, spread over zones, by descending score,
// as indexes to ms.
func ranked(p ID, ms []Member, rf int) []int {
	scores := make([]float64, len(ms))
	order := make([]int, len(ms))
	for i, m := range ms {
		order[i], scores[i] = i, score(p, m)
	}
	byScore := func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) }
	slices.SortFunc(order, byScore)
	// The place of a member in its own zone is the number of replicas that the zone
	// must get before this one.
	place := make([]int, len(ms))
	zones := map[string]int{}
	for _, i := range order {
		place[i] = zones[ms[i].Zone]
		zones[ms[i].Zone]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
	order = order[:max(0, min(rf, len(order)))]
	slices.SortFunc(order, byScore)
	return order
}

// Plan returns the replicas of all partitions, the preferred leader first.
//
// It starts from Replicas, which for few partitions is uneven, and moves replicas
// from members that hold too many until none holds more than its share of
// partitions·rf by weight, rounded up; then it chooses leaders so that none leads
// more than its share of partitions, rounded up. Zone spread comes first: where it
// leaves no choice (a zone with one member), a member holds more. A move is made only
// for balance, so most replicas are those of Replicas: when a member joins or leaves,
// somewhat more than its own share moves. The tests hold the figures.
// Cost: O(partitions · members · log members), and for each replica moved
// O(members² · partitions · rf).
func Plan(members []Member, partitions, rf int) [][]string {
	ms := eligible(members)
	rf = max(0, min(rf, len(ms)))
	pl := &plan{ms: ms, hold: make([][]int, partitions), scores: make([][]float64, partitions)}
	for p := range partitions {
		pl.hold[p] = ranked(ID(p), ms, rf)
		pl.scores[p] = make([]float64, len(ms))
		for i, m := range ms {
			pl.scores[p][i] = score(ID(p), m)
		}
	}
	if rf > 0 {
		level(pl.loads(rf), shares(ms, partitions*rf, partitions), pl.canMove, pl.move)
		pl.sortFrom(0)
		level(pl.loads(1), shares(ms, partitions, partitions), pl.canLead, pl.lead)
		pl.sortFrom(1)
	}
	out := make([][]string, partitions)
	for p, hold := range pl.hold {
		out[p] = make([]string, len(hold))
		for n, m := range hold {
			out[p][n] = ms[m].ID
		}
	}
	return out
}

type plan struct {
	ms     []Member
	hold   [][]int     // members of each partition, the leader first
	scores [][]float64 // of each partition and member
}

// loads counts the first n replicas of all partitions for each member.
func (pl *plan) loads(n int) []int {
	loads := make([]int, len(pl.ms))
	for _, hold := range pl.hold {
		for _, m := range hold[:n] {
			loads[m]++
		}
	}
	return loads
}

// shares returns the most that each member may hold of total, in proportion to the
// weights and rounded up. No member can hold more than limit; what it cannot, the
// others share.
func shares(ms []Member, total, limit int) []int {
	out := make([]int, len(ms))
	for {
		weight, left := 0.0, total
		for i, m := range ms {
			if out[i] < limit {
				weight += m.Weight
			} else {
				left -= limit
			}
		}
		again := false
		for i, m := range ms {
			if out[i] >= limit {
				continue
			}
			// The tolerance keeps a share that is whole from being rounded up twice.
			out[i] = min(limit, int(math.Ceil(float64(left)*m.Weight/weight*(1-1e-12))))
			again = again || out[i] == limit
		}
		if !again {
			return out
		}
		for i := range out { // shares of the rest are computed anew
			if out[i] < limit {
				out[i] = 0
			}
		}
	}
}

// sortFrom orders the replicas of each partition by descending score, but for the
// first n.
func (pl *plan) sortFrom(n int) {
	for p, hold := range pl.hold {
		slices.SortFunc(hold[n:], func(a, b int) int {
			return cmp.Or(cmp.Compare(pl.scores[p][b], pl.scores[p][a]), cmp.Compare(a, b))
		})
	}
}

// canMove returns the partition whose replica on from is best moved to to: the one
// that to has the highest score for, of those that it may take without harm to the
// spread over zones.
func (pl *plan) canMove(from, to int) (p int, ok bool) {
	p = -1
	for q, hold := range pl.hold {
		if !slices.Contains(hold, from) || slices.Contains(hold, to) {
			continue
		}
		if p >= 0 && pl.scores[q][to] <= pl.scores[p][to] {
			continue
		}
		if a, b := pl.ms[from].Zone, pl.ms[to].Zone; a != b {
			inA, inB := 0, 0
			for _, m := range hold {
				switch pl.ms[m].Zone {
				case a:
					inA++
				case b:
					inB++
				}
			}
			if inB >= inA { // to's zone would have more than from's had
				continue
			}
		}
		p = q
	}
	return p, p >= 0
}

func (pl *plan) move(p, from, to int) {
	pl.hold[p][slices.Index(pl.hold[p], from)] = to
}

// canLead returns the partition that from leads and to may lead instead, the one
// that to has the highest score for.
func (pl *plan) canLead(from, to int) (p int, ok bool) {
	p = -1
	for q, hold := range pl.hold {
		if hold[0] == from && slices.Contains(hold, to) && (p < 0 || pl.scores[q][to] > pl.scores[p][to]) {
			p = q
		}
	}
	return p, p >= 0
}

func (pl *plan) lead(p, _, to int) {
	hold := pl.hold[p]
	n := slices.Index(hold, to)
	hold[0], hold[n] = hold[n], hold[0]
}

// level moves units from members above their limit to members below it, if need
// be through others that then pass one on (an augmenting path), until no member is
// above or nothing can move.
func level(load, limit []int, can func(from, to int) (int, bool), move func(p, from, to int)) {
	for from := range load {
		// Each round moves a unit off from, unless a step spoils one behind it.
		for rounds := load[from] * len(load); rounds > 0 && load[from] > limit[from]; rounds-- {
			if !augment(from, load, limit, can, move) {
				break
			}
		}
	}
}

// augment moves one unit away from member from along a shortest path to a member
// below its limit. It returns false if there is no such path.
func augment(from int, load, limit []int, can func(from, to int) (int, bool), move func(p, from, to int)) bool {
	before := make([]int, len(load))
	for i := range before {
		before[i] = -1
	}
	before[from] = from
	queue := []int{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for to := range load {
			if before[to] >= 0 {
				continue
			}
			if _, ok := can(at, to); !ok {
				continue
			}
			before[to] = at
			if load[to] >= limit[to] {
				queue = append(queue, to)
				continue
			}
			// Move from the end of the path, so that every step leaves a better or equal
			// state, also if a step has become impossible by the one before.
			for to != from {
				prev := before[to]
				p, ok := can(prev, to)
				if !ok {
					break
				}
				move(p, prev, to)
				load[prev]--
				load[to]++
				to = prev
			}
			return true
		}
	}
	return false
}
