package hybrid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Learner is how a ranker learns.
type Learner uint8

const (
	// Lambda grows trees that make the NDCG of whole answers large: LambdaMART.
	Lambda Learner = iota
	// Logistic grows trees for the odds of each candidate.
	Logistic
	// Linear is a logistic regression of the features.
	Linear
)

// Learners are the names of all, by value.
func Learners() []string { return []string{"lambda", "logistic", "linear"} }

// LearnOptions says how Learn learns. All fields but Threads change results.
type LearnOptions struct {
	Learner Learner
	// Depth is how many items each part is asked for.
	Depth int
	// Trees is the most trees.
	Trees int
	// Users is the most users whose answers are learned from, chosen by Seed.
	Users int
	Seed  uint64
	// Profiles has what is known of users, by row, for parts that look at it; nil for nothing.
	Profiles [][]model.Attribute
	// Ratings goes with the entries that are not held back, as model.Query.Ratings, for parts that look at it.
	Ratings []float32
	// Threads bounds the goroutines, at least 1.
	Threads int
}

// DefaultLearnOptions are good for most data.
func DefaultLearnOptions() LearnOptions {
	return LearnOptions{
		Depth:   100,  // below it few of the right items are
		Trees:   200,  // growing ends before, when it no longer helps
		Users:   5000, // about a million candidates
		Threads: 1,
	}
}

func (o *LearnOptions) validate() error {
	switch {
	case int(o.Learner) >= len(Learners()):
		return fmt.Errorf("unknown learner %d", o.Learner)
	case o.Depth < 1:
		return fmt.Errorf("depth is %d, want at least 1", o.Depth)
	case o.Trees < 1 || o.Trees > maxTrees:
		return fmt.Errorf("trees is %d, want 1 to %d", o.Trees, maxTrees)
	case o.Users < 1:
		return fmt.Errorf("users is %d, want at least 1", o.Users)
	}
	return nil
}

const (
	partFeatures = 3 // of each part
	itemFeatures = 4 // of the item and the history
)

// features writes what is known of the candidates, row by row:
//
//	of each part  the score between the least (0) and the largest (1) of its answer, 60/(60+rank), 1 if it is in the answer; 0 where it is not
//	of the item   the logarithm of its share of users; that of its share of the newest entries over that of all; the part of the parts that have found it
//	of the query  log(1 + items of the history)
func (c *Catalog) features(a *asked, q *model.Query) (x []float32, width int) {
	parts := len(a.answers)
	width = parts*partFeatures + itemFeatures
	x = make([]float32, len(a.items)*width)
	history := float32(math.Log1p(float64(len(q.Items))))
	for j, id := range a.items {
		row := x[j*width+parts*partFeatures:]
		row[0], row[3] = c.unheard, history
		if int64(id) < int64(len(c.common)) {
			row[0], row[1] = c.common[id], c.trend[id]
		}
	}
	for i, answer := range a.answers {
		values, _ := normalize(answer, MinMax, 0)
		rank := make([]int, len(answer)) // from 1, of equal scores that of the first: what is equal to the parts is to be equal here
		for at := range answer {
			rank[at] = at + 1
			if at > 0 && answer[at].Score == answer[at-1].Score {
				rank[at] = rank[at-1]
			}
		}
		for j, at := range a.position[i] {
			if at < 0 {
				continue
			}
			row := x[j*width+i*partFeatures:]
			row[0], row[1], row[2] = float32(values[at]), float32(reciprocalK)/float32(reciprocalK+rank[at]), 1
			x[j*width+parts*partFeatures+2] += 1 / float32(parts)
		}
	}
	return x, width
}

// Weighing is what a ranker has learned. It is immutable and safe for concurrent use.
type Weighing struct {
	parts  []string
	depth  int
	linear *linear // or forest
	forest *forest
}

// Parts returns the names of the models that it was learned of, in order.
func (w *Weighing) Parts() []string { return slices.Clone(w.parts) }

func (w *Weighing) score(x []float32) float64 {
	if w.linear != nil {
		return w.linear.predict(x)
	}
	return w.forest.predict(x)
}

// HoldOut takes a part of the entries of each user out of a matrix: the newest, or, where times is nil or random is asked for, any. What is taken should be to the rest as what is asked for
// later is to the whole: newest for who predicts the next purchases, random where what is missing is missing at random. Users of a single entry keep it. What it
// returns shares nothing with rows: the rest, its times (nil if there are none), and the items that were taken, by user, ascending. Equal seeds give equal parts, of whichever range of the
// users: the first of rows has the number first.
func HoldOut(rows *similarity.Rows, times []int64, part float64, random bool, seed uint64, first int) (rest *similarity.Rows, restTimes []int64, held [][]uint32) {
	rest = &similarity.Rows{NumItems: rows.NumItems, Start: []int64{0}}
	if rows.Weight != nil {
		rest.Weight = []float32{}
	}
	held = make([][]uint32, rows.NumUsers())
	for u := range held {
		lo, hi := rows.Start[u], rows.Start[u+1]
		order := rand.New(rand.NewPCG(seed, uint64(first+u))).Perm(int(hi - lo))
		if times != nil && !random {
			slices.SortStableFunc(order, func(a, b int) int {
				return cmp.Compare(times[lo-rows.Start[0]+int64(a)], times[lo-rows.Start[0]+int64(b)])
			})
		}
		keep := len(order) - int(part*float64(len(order))+0.5)
		taken := make([]bool, len(order))
		for _, i := range order[min(max(1, keep), len(order)):] {
			taken[i] = true
		}
		for i, out := range taken {
			p := lo + int64(i)
			if out {
				held[u] = append(held[u], rows.Item[p])
				continue
			}
			rest.Item = append(rest.Item, rows.Item[p])
			if rows.Weight != nil {
				rest.Weight = append(rest.Weight, rows.Weight[p])
			}
			if times != nil {
				restTimes = append(restTimes, times[p-rows.Start[0]])
			}
		}
		rest.Start = append(rest.Start, int64(len(rest.Item)))
	}
	return rest, restTimes, held
}

// ErrNothing means that no part has found anything of what was held back: there is nothing to learn from.
var ErrNothing = errors.New("nothing to learn from")

// Learn learns to rank what the parts find (stacking: Wolpert, Neural Networks 5(2), 1992 [wolpert1992]). rest and held are those of HoldOut, times those of rest, and the parts must have been made of
// rest alone: of what they know already they would be too sure. The same models made of all data take their places in NewRanking.
//
// Every answer of a user in which something that was held back is found is an example of a ranking, of the items of the matrix in it. The error is that of a part or of ctx, or matches ErrNothing.
// Cost: two queries' worth of each part for each user, and that of the learner; memory: 4 bytes for each feature of each candidate.
func Learn(ctx context.Context, parts []Part, rest *similarity.Rows, times []int64, held [][]uint32, o LearnOptions) (*Weighing, error) {
	if err := errors.Join(checkBase(namesOf(parts), nil, o.Depth), o.validate()); err != nil {
		return nil, fmt.Errorf("hybrid: %w", err)
	}
	if len(held) != rest.NumUsers() {
		return nil, fmt.Errorf("hybrid: held-back items of %d users for a matrix of %d", len(held), rest.NumUsers())
	}
	e, err := collect(ctx, parts, rest, times, held, o)
	if err != nil {
		return nil, err
	}
	return weigh(ctx, e, namesOf(parts), o)
}

// weigh learns from examples of models of some names.
func weigh(ctx context.Context, e *examples, names []string, o LearnOptions) (w *Weighing, err error) {
	w = &Weighing{parts: names, depth: o.Depth}
	switch o.Learner {
	case Linear:
		w.linear, err = regress(e)
	case Logistic:
		w.forest, err = boost(ctx, e, logistic, o.Trees, o.Threads)
	default:
		w.forest, err = boost(ctx, e, lambdas, o.Trees, o.Threads)
	}
	return w, err
}

// choose returns up to o.Users of n users that are learned from, in their order. has says whether something of a user was held back.
func choose(n int, has func(user int) bool, o LearnOptions) []int {
	users := rand.New(rand.NewPCG(o.Seed, 1)).Perm(n)
	users = slices.DeleteFunc(users, func(u int) bool { return !has(u) })
	return users[:min(o.Users, len(users))]
}

// collect makes the examples: a group for each user who is chosen.
func collect(ctx context.Context, parts []Part, rest *similarity.Rows, times []int64, held [][]uint32, o LearnOptions) (*examples, error) {
	users := choose(len(held), func(u int) bool { return len(held[u]) > 0 }, o)
	groups, err := exampleGroups(ctx, parts, NewCatalog(rest, times), rest, times, held, users, 0, o)
	if err != nil {
		return nil, err
	}
	return join(groups)
}

// exampleGroups returns a group of examples for each of some users, empty where nothing right was found. The first user of rest and held has the number first.
func exampleGroups(ctx context.Context, parts []Part, c *Catalog, rest *similarity.Rows, times []int64, held [][]uint32, users []int, first int, o LearnOptions) ([]examples, error) {
	groups := make([]examples, len(users))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, o.Threads))
	for n, user := range users {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			u := user - first
			lo, hi := rest.Start[u], rest.Start[u+1]
			q := model.Query{User: user, Items: rest.Item[lo:hi]}
			if o.Profiles != nil {
				q.Profile = o.Profiles[u]
			}
			if rest.Weight != nil {
				q.Weights = rest.Weight[lo:hi]
			}
			if o.Ratings != nil {
				q.Ratings = o.Ratings[lo-rest.Start[0] : hi-rest.Start[0]]
			}
			if times != nil {
				q.Times = times[lo-rest.Start[0] : hi-rest.Start[0]]
			}
			answers, err := ask(parts, same(o.Depth, len(parts)), q)
			if err != nil {
				return fmt.Errorf("user %d: %w", user, err)
			}
			a := gather(answers)
			// Products behind the items of the matrix, which models of content find, are no examples: nobody could have had them.
			known, _ := slices.BinarySearch(a.items, uint32(rest.NumItems))
			label := make([]bool, known)
			for i, id := range a.items[:known] {
				_, label[i] = slices.BinarySearch(held[u], id)
			}
			if slices.Contains(label, true) {
				x, width := c.features(a, &q)
				groups[n] = examples{width: width, x: x[:known*width], label: label}
			}
			return nil
		})
	}
	return groups, g.Wait()
}

// join puts groups behind each other, without empty ones. The error matches ErrNothing.
func join(groups []examples) (*examples, error) {
	e := &examples{start: []int{0}}
	for _, one := range groups {
		if one.len() == 0 {
			continue
		}
		e.width = one.width
		e.x, e.label = append(e.x, one.x...), append(e.label, one.label...)
		e.start = append(e.start, e.len())
	}
	if e.groups() == 0 {
		return nil, fmt.Errorf("hybrid: %w: of what %d users had held back no model has found any", ErrNothing, len(groups))
	}
	return e, nil
}

// Ranking ranks what models find as it has learned to. It is immutable and safe for concurrent use.
type Ranking struct {
	catalog *Catalog
	w       *Weighing
}

// NewRanking returns a ranking of what the models find that w was learned of, now made of all data; so is the catalog.
func NewRanking(c *Catalog, w *Weighing) *Ranking { return &Ranking{c, w} }

// Base implements train.Combination.
func (r *Ranking) Base() []string { return r.w.Parts() }

// Depths implements train.Combination.
func (r *Ranking) Depths(model.Query) []int { return same(r.w.depth, len(r.w.parts)) }

// Combine implements train.Combination. Cost: O(models · depth · (log depth + features + trees)).
func (r *Ranking) Combine(q model.Query, answers [][]model.Scored) []model.Scored {
	a := gather(answers)
	x, width := r.catalog.features(a, &q)
	scores := make([]float64, len(a.items))
	for i := range scores {
		scores[i] = r.w.score(x[i*width : (i+1)*width])
	}
	return a.rank(scores)
}
