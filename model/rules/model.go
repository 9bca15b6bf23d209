package rules

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// Finder is what a model of rules can tell beside recommendations. It is safe for concurrent use. The rules of an answer are the caller's.
type Finder interface {
	train.Model
	// From yields the rules with an item on the left, and To those with it on the right, most lift first. They return an error matching model.ErrQuery for an
	// item that is not of the model.
	From(item uint32) (iter.Seq[Rule], error)
	To(item uint32) (iter.Seq[Rule], error)
	// All yields all rules, most lift first.
	All() iter.Seq[Rule]
	// Matching yields the rules whose left side is part of a history, ascending and unique items.
	Matching(history []uint32) (iter.Seq[Rule], error)
	// Len returns the number of rules, Itemsets that of the frequent sets that they were made of, and Transactions that of the data.
	Len() int
	Itemsets() uint64
	Transactions() uint64
}

var _ Finder = (*Model)(nil)

// Model is rules, in a file in memory. It is immutable and safe for concurrent use.
type Model struct {
	users                  int
	transactions, itemsets uint64
	most                   bool
	// Parts of the file.
	left, right, rows, antecedents []byte
	popular                        []uint32
	// byFirst has, for each item, the rules with it first on the left; byLeft those with it anywhere on the left, byRight those with it on the right.
	byFirst, byLeft, byRight postings
}

// postings are lists of rules, one for each item, ascending.
type postings struct{ start, rule []uint32 }

func (p *postings) of(item uint32) []uint32 { return p.rule[p.start[item]:p.start[item+1]] }

// newPostings makes lists of what each yields: items of rules, in the order of rules.
func newPostings(items int, each func(yield func(item, rule uint32))) postings {
	p := postings{start: make([]uint32, items+2)}
	each(func(item, _ uint32) { p.start[item+2]++ })
	for i := 2; i < len(p.start); i++ {
		p.start[i] += p.start[i-1]
	}
	p.rule = make([]uint32, p.start[items+1])
	each(func(item, rule uint32) {
		p.rule[p.start[item+1]] = rule
		p.start[item+1]++
	})
	p.start = p.start[:items+1]
	return p
}

func (m *Model) index() {
	m.byFirst = newPostings(m.Items(), func(yield func(item, rule uint32)) {
		for i := range m.Len() {
			begin, _ := m.antecedent(i)
			yield(word(m.antecedents, begin), uint32(i))
		}
	})
	m.byLeft = newPostings(m.Items(), func(yield func(item, rule uint32)) {
		for i := range m.Len() {
			for k, end := m.antecedent(i); k < end; k++ {
				yield(word(m.antecedents, k), uint32(i))
			}
		}
	})
	m.byRight = newPostings(m.Items(), func(yield func(item, rule uint32)) {
		for i := range m.Len() {
			yield(word(m.rows, 4*i), uint32(i))
		}
	})
}

// Items returns the number of items, Len that of the rules.
func (m *Model) Items() int { return len(m.left) / 4 }

// Len implements Finder.
func (m *Model) Len() int { return len(m.rows) / 16 }

// Transactions implements Finder.
func (m *Model) Transactions() uint64 { return m.transactions }

// Itemsets implements Finder.
func (m *Model) Itemsets() uint64 { return m.itemsets }

// antecedent returns where the left side of a rule lies.
func (m *Model) antecedent(rule int) (begin, end int) {
	if rule > 0 {
		begin = int(word(m.rows, 4*rule-3))
	}
	return begin, int(word(m.rows, 4*rule+1))
}

// rule returns a rule by its place.
func (m *Model) rule(i int) Rule {
	r := Rule{Consequent: word(m.rows, 4*i), AntecedentCount: word(m.rows, 4*i+2), Count: word(m.rows, 4*i+3)}
	r.ConsequentCount = word(m.right, int(r.Consequent))
	for k, end := m.antecedent(i); k < end; k++ {
		r.Antecedent = append(r.Antecedent, word(m.antecedents, k))
	}
	r.measure(m.transactions)
	return r
}

// All implements Finder.
func (m *Model) All() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for i := range m.Len() {
			if !yield(m.rule(i)) {
				return
			}
		}
	}
}

func (m *Model) listed(p *postings, item uint32) (iter.Seq[Rule], error) {
	if int64(item) >= int64(m.Items()) {
		return nil, fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, m.Items())
	}
	return func(yield func(Rule) bool) {
		for _, i := range p.of(item) {
			if !yield(m.rule(int(i))) {
				return
			}
		}
	}, nil
}

// From implements Finder. Cost: that of the rules that are taken.
func (m *Model) From(item uint32) (iter.Seq[Rule], error) { return m.listed(&m.byLeft, item) }

// To implements Finder. Cost: that of the rules that are taken.
func (m *Model) To(item uint32) (iter.Seq[Rule], error) { return m.listed(&m.byRight, item) }

// matching calls f with the rules whose left side is part of a history.
func (m *Model) matching(history []uint32, f func(rule int) bool) {
	for at, first := range history {
		for _, i := range m.byFirst.of(first) {
			begin, end := m.antecedent(int(i))
			rest, ok := history[at+1:], true
			for k := begin + 1; k < end && ok; k++ {
				var n int
				n, ok = slices.BinarySearch(rest, word(m.antecedents, k))
				rest = rest[n:]
			}
			if ok && !f(int(i)) {
				return
			}
		}
	}
}

// Matching implements Finder. The rules come in the order of the first items of their left sides, and then of lift. Cost: the rules whose first item is in the history.
func (m *Model) Matching(history []uint32) (iter.Seq[Rule], error) {
	q := model.Query{User: -1, Items: history}
	if err := q.Check(m.Items(), m.users); err != nil {
		return nil, err
	}
	return func(yield func(Rule) bool) {
		m.matching(history, func(i int) bool { return yield(m.rule(i)) })
	}, nil
}

// unit is one of the score: sums of whole numbers depend on no order.
const unit = 1 << 32

// Recommend returns the items that the rules of the history lead to, by the sum of their confidence, or by the most of it (setting score), and then the popular ones. Weights of the history are not
// looked at. Cost: the rules whose first item is in the history.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(m.Items(), m.users); err != nil {
		return nil, err
	}
	scores := map[uint32]int64{}
	m.matching(q.Items, func(i int) bool {
		to := word(m.rows, 4*i)
		if _, seen := slices.BinarySearch(q.Excluded(), to); seen {
			return true
		}
		x := int64(math.Round(unit * float64(word(m.rows, 4*i+3)) / float64(word(m.rows, 4*i+2))))
		if m.most {
			scores[to] = max(scores[to], x)
		} else {
			scores[to] += x
		}
		return true
	})
	top := make([]model.Scored, 0, len(scores))
	for item, x := range scores {
		top = append(top, model.Scored{Item: item, Score: float64(x) / unit})
	}
	slices.SortFunc(top, model.Scored.Compare)
	return model.Fill(top[:min(q.N, len(top))], q.N, m.popular, q.Excluded()), nil
}
