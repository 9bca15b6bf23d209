package capacity

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/synthetic"
)

// ErrShape means that there is no such matrix; the error that wraps it says what there is.
var ErrShape = errors.New("bad shape")

// Bounds of a shape: the planner holds some bytes for each item, and ids have 32 bits.
const (
	maxUsers = 1 << 32
	maxItems = 100_000_000
	// maxDensity is the largest share of pairs with an interaction.
	maxDensity = 0.9
)

const (
	// groupGrowth is how much wider a group of items is than the ranks before it are many: within one, popularity is nearly
	// the same.
	groupGrowth = 0.03
	// binWidth is the width of a bin of users, in deviations of the logarithm of their activity.
	binWidth = 0.08
	// sampleSeed chooses the sample of a law.
	sampleSeed = 1
	// drawDensity is the density up to which samples of a law can be drawn.
	drawDensity = 0.2
)

// Expected is a matrix of which only the size and the law of a generated kind are known. A user u draws item i, among M
// draws, as often as a Poisson number of mean M·a·p, a the activity of the user and p the popularity of the item; drawn
// twice it is one entry. So the user has the item with probability x = 1-exp(-M·a·p), and M is such that the expected
// entries are those wanted. Users are taken together in bins of equal activity, items in groups of ranks.
//
// Items are in the order of their popularity. A build has them in that of the users they got, so its rarest items have
// fewer than here.
type Expected struct {
	kind                       string
	users, items, interactions int

	bins []userBin
	// edges of the groups: group g has the ranks edges[g] to edges[g+1]-1, from 0.
	edges []float64
	// have is the probability that a user of a bin has an item of a group, by group, then bin.
	have [][]float64
	// popularity of one item of each group; draws is M.
	popularity []float64
	draws      float64

	// Sums over the groups before one, and all: entries of users of each bin, and over users x(1-x).
	entriesBefore [][]float64
	selfBefore    []float64
	// pairsBefore sums pairs over the groups before two.
	pairsBefore [][]float64

	counts  []uint32
	updates []uint64
	size    Size
}

// userBin is a number of users with the same activity.
type userBin struct{ n, activity float64 }

// NewExpected returns the matrix of a kind (synthetic.MatrixKinds) with the given numbers of users, items and
// interactions, of which few may come out without an interaction. The error matches ErrShape. Cost: about a tenth of a
// second, and O(items).
func NewExpected(kind string, users, items, interactions int) (*Expected, error) {
	law, err := synthetic.LawOf(kind)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrShape, err)
	case users < 2 || users > maxUsers:
		return nil, fmt.Errorf("%w: users is %d; want 2 to %d", ErrShape, users, int64(maxUsers))
	case items < 2 || items > maxItems:
		return nil, fmt.Errorf("%w: items is %d; want 2 to %d", ErrShape, items, maxItems)
	case interactions < 1 || float64(interactions) > maxDensity*float64(users)*float64(items):
		return nil, fmt.Errorf("%w: interactions is %d; want 1 to %.0f, 90%% of all pairs of %d users and %d items: a user has an item once",
			ErrShape, interactions, math.Floor(maxDensity*float64(users)*float64(items)), users, items)
	}
	m := &Expected{kind: kind, users: users, items: items, interactions: interactions}
	m.bins = userBins(law.Activity, float64(users))
	m.group(law)
	m.solve()
	m.sum()
	m.round()
	return m, nil
}

// userBins cuts users whose activity is log-normal into bins, each with the mean activity of its users.
func userBins(sigma, users float64) []userBin {
	below := func(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }
	// The most active of them is about where half a user is left.
	end := math.Sqrt2 * math.Erfinv(1-1/users)
	if math.IsInf(end, 1) {
		end = 6.5
	}
	var bins []userBin
	steps := math.Ceil(2 * end / binWidth)
	for k := range int(steps) {
		lo, hi := -end+2*end*float64(k)/steps, -end+2*end*float64(k+1)/steps
		mass := below(hi) - below(lo)
		sum := math.Exp(sigma*sigma/2) * (below(hi-sigma) - below(lo-sigma))
		bins = append(bins, userBin{mass, sum / mass})
	}
	var total float64
	for _, b := range bins {
		total += b.n
	}
	for k := range bins {
		bins[k].n *= users / total
	}
	return bins
}

// group cuts the ranks into groups and sets their popularity, the mean over their items.
func (m *Expected) group(law synthetic.MatrixLaw) {
	// The integral from half below the first rank to half above the last is the sum, but for little.
	integral := func(x float64) float64 {
		if law.Zipf == 1 {
			return math.Log(x + law.Head)
		}
		return math.Pow(x+law.Head, 1-law.Zipf) / (1 - law.Zipf)
	}
	m.edges = []float64{0}
	var total float64
	for lo := 0.0; lo < float64(m.items); {
		hi := math.Min(float64(m.items), lo+math.Max(1, math.Floor(lo*groupGrowth)))
		p := (integral(hi+0.5) - integral(lo+0.5)) / (hi - lo)
		m.popularity = append(m.popularity, p)
		m.edges = append(m.edges, hi)
		total += p * (hi - lo)
		lo = hi
	}
	for g := range m.popularity {
		m.popularity[g] /= total
	}
}

// solve finds the draws that give the interactions wanted.
func (m *Expected) solve() {
	entries := func(draws float64) (sum float64) {
		for g, p := range m.popularity {
			var users float64
			for _, b := range m.bins {
				users -= b.n * math.Expm1(-draws*b.activity*p)
			}
			sum += users * m.width(g)
		}
		return sum
	}
	lo, hi := 0.0, 1.0
	for want := float64(m.interactions); entries(hi) < want; {
		lo, hi = hi, 2*hi
	}
	for range 40 {
		if mid := (lo + hi) / 2; entries(mid) < float64(m.interactions) {
			lo = mid
		} else {
			hi = mid
		}
	}
	m.draws = (lo + hi) / 2
	m.have = make([][]float64, len(m.popularity))
	for g, p := range m.popularity {
		m.have[g] = make([]float64, len(m.bins))
		for k, b := range m.bins {
			m.have[g][k] = -math.Expm1(-m.draws * b.activity * p)
		}
	}
}

func (m *Expected) width(g int) float64 { return m.edges[g+1] - m.edges[g] }

// sum forms the sums over groups.
func (m *Expected) sum() {
	groups := len(m.popularity)
	m.entriesBefore = make([][]float64, groups+1)
	m.entriesBefore[0] = make([]float64, len(m.bins))
	m.selfBefore = make([]float64, groups+1)
	for g, have := range m.have {
		w := m.width(g)
		row := make([]float64, len(m.bins))
		var self float64
		for k, x := range have {
			row[k] = m.entriesBefore[g][k] + w*x
			self += m.bins[k].n * x * (1 - x)
		}
		m.entriesBefore[g+1] = row
		m.selfBefore[g+1] = m.selfBefore[g] + w*self
	}
	pairs := make([][]float64, groups)
	for g := range pairs {
		pairs[g] = make([]float64, groups)
		for h := range g + 1 {
			var common float64
			for k, x := range m.have[g] {
				common += m.bins[k].n * x * m.have[h][k]
			}
			others := m.width(h)
			if g == h {
				others--
			}
			pairs[g][h] = -math.Expm1(-common) * m.width(g) * others
			pairs[h][g] = pairs[g][h]
		}
	}
	m.pairsBefore = make([][]float64, groups+1)
	m.pairsBefore[0] = make([]float64, groups+1)
	for g := range groups {
		m.pairsBefore[g+1] = make([]float64, groups+1)
		var row float64
		for h := range groups {
			row += pairs[g][h]
			m.pairsBefore[g+1][h+1] = m.pairsBefore[g][h+1] + row
		}
	}
}

// round makes whole numbers of the expected users and updates of each item: what is lost to an item goes to the next.
func (m *Expected) round() {
	m.counts, m.updates = make([]uint32, m.items), make([]uint64, m.items)
	rows := m.entriesBefore[len(m.have)] // the mean length of the rows of each bin
	var count, updates float64           // still to be given
	for g, have := range m.have {
		var users, work float64
		for k, x := range have {
			users += m.bins[k].n * x
			work += m.bins[k].n * x * (1 + rows[k] - x) // the row of a user who has the item
		}
		m.size.Updates += m.width(g) * (work - users)
		m.size.Items += m.width(g) * -math.Expm1(-users)
		m.size.Interactions += m.width(g) * users
		for i := int(m.edges[g]); i < int(m.edges[g+1]); i++ {
			count, updates = count+users, updates+work
			m.counts[i] = uint32(math.Round(count))
			count -= float64(m.counts[i])
			if m.counts[i] > 0 {
				m.updates[i] = uint64(max(0, math.Round(updates)))
				updates -= float64(m.updates[i])
			}
		}
	}
	for _, b := range m.bins {
		m.size.Users += b.n * -math.Expm1(-m.draws*b.activity)
	}
	m.size.WeightBytes = 1
}

// Size implements Matrix.
func (m *Expected) Size() Size { return m.size }

// Counts implements Matrix.
func (m *Expected) Counts() ([]uint32, []uint64) { return m.counts, m.updates }

// Work implements Matrix. Cost: O(tasks · bins).
func (m *Expected) Work(p *coordinator.Plan) Work {
	blocks := make([][]float64, len(p.Blocks))
	var w Work
	for b, r := range p.Blocks {
		blocks[b] = m.entries(r)
	}
	for _, s := range p.Sides {
		items := partition.Range{Lo: p.Blocks[s.Lo].Lo, Hi: p.Blocks[s.Hi-1].Hi}
		side := m.entries(items)
		for k, u := range m.bins {
			side[k] *= u.n
		}
		for b, r := range p.Blocks {
			var updates float64
			for k, n := range side {
				updates += n * blocks[b][k]
			}
			if r.Lo >= items.Lo && r.Hi <= items.Hi {
				updates += m.before(m.selfBefore, r.Hi) - m.before(m.selfBefore, r.Lo)
			}
			w.Updates, w.Pairs = append(w.Updates, updates), append(w.Pairs, m.pairs(r, items))
		}
	}
	return w
}

// place returns the group of a rank, and the part of the group before it.
func (m *Expected) place(rank uint32) (g int, part float64) {
	lo, hi := 0, len(m.have)
	for lo+1 < hi {
		if mid := (lo + hi) / 2; m.edges[mid] <= float64(rank) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, (float64(rank) - m.edges[lo]) / m.width(lo)
}

// before returns what sums has over the items before a rank.
func (m *Expected) before(sums []float64, rank uint32) float64 {
	g, part := m.place(rank)
	return sums[g] + part*(sums[g+1]-sums[g])
}

// entries returns the mean entries of a user of each bin with items of a range.
func (m *Expected) entries(r partition.Range) []float64 {
	out := make([]float64, len(m.bins))
	lo, before := m.place(r.Lo)
	hi, part := m.place(r.Hi)
	for k := range out {
		out[k] = m.entriesBefore[hi][k] + part*(m.entriesBefore[hi+1][k]-m.entriesBefore[hi][k]) -
			m.entriesBefore[lo][k] - before*(m.entriesBefore[lo+1][k]-m.entriesBefore[lo][k])
	}
	return out
}

// pairs returns the expected pairs of an item of one range with one of another that have a common user.
func (m *Expected) pairs(r, s partition.Range) float64 {
	before := func(x, y uint32) float64 {
		h, part := m.place(y)
		at := func(g int) float64 {
			return m.pairsBefore[g][h] + part*(m.pairsBefore[g][h+1]-m.pairsBefore[g][h])
		}
		g, first := m.place(x)
		return at(g) + first*(at(g+1)-at(g))
	}
	return max(0, before(r.Hi, s.Hi)-before(r.Lo, s.Hi)-before(r.Hi, s.Lo)+before(r.Lo, s.Lo))
}

// Sample implements Matrix: a drawn matrix of the same law and items.
func (m *Expected) Sample(ctx context.Context, users int) (*similarity.Rows, error) {
	users = max(2, min(users, m.users))
	entries := float64(m.interactions) * float64(users) / float64(m.users)
	entries = max(1, min(entries, drawDensity*float64(users)*float64(m.items)))
	drawn, err := synthetic.DrawSized(ctx, m.kind, users, m.items, int(entries), sampleSeed)
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	rows := &similarity.Rows{NumItems: drawn.NumItems, Start: drawn.Start, Item: drawn.Item, Weight: drawn.Weight}
	return rows.ByPopularity(), nil
}
