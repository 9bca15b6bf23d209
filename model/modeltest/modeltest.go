// Package modeltest is the conformance suite that every model for top-N passes: right answers where they are known, and
// the promises that hold for any data.
package modeltest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Recommender is a model for top-N. Run calls it from several goroutines at a time.
type Recommender interface {
	// Recommend answers a query about the matrix that the model was made from. It must not change the slices of q.
	Recommend(q model.Query) ([]model.Scored, error)
}

// Explainer is a Recommender that can say where a score comes from. Run checks that too if a model implements it.
type Explainer interface {
	// Explain returns the contributions of items of the history to the score of an item; they add up to it.
	Explain(q model.Query, item uint32) ([]model.Contribution, error)
}

// NewModel makes a model from a valid users×items matrix. Weights may be nil.
type NewModel func(rows *similarity.Rows) (Recommender, error)

// Run tests a personal model: all that RunImpersonal tests, and that it finds the structure of a matrix of tastes.
func Run(t *testing.T, newModel NewModel) {
	t.Run("structure", func(t *testing.T) { testStructure(t, newModel) })
	RunImpersonal(t, newModel)
}

// RunImpersonal tests a model that may give everybody the same.
func RunImpersonal(t *testing.T, newModel NewModel) {
	t.Run("answers", func(t *testing.T) { testAnswers(t, newModel) })
	t.Run("ties", func(t *testing.T) { testTies(t, newModel) })
	t.Run("cold start", func(t *testing.T) { testColdStart(t, newModel) })
	t.Run("empty input", func(t *testing.T) { testEmptyInput(t, newModel) })
	t.Run("refused queries", func(t *testing.T) { testRefused(t, newModel) })
	t.Run("concurrency", func(t *testing.T) { testConcurrency(t, newModel) })
}

const (
	blocks        = 4  // tastes
	blockItems    = 12 // items of one taste
	blockUsers    = 30 // users of one taste
	missing       = 3  // items of the own taste that a user does not have
	structureRows = blocks * blockUsers
)

// Blocks returns a matrix of 120 users and 48 items with four tastes: item i is of taste i mod 4, user u of taste u mod 4.
// A user has all items of the own taste but three, and none of another. right holds these three for each user: the only
// right answer to a query of three items.
func Blocks() (rows *similarity.Rows, right [][]uint32) {
	rows = &similarity.Rows{NumItems: blocks * blockItems, Start: []int64{0}}
	for u := range structureRows {
		taste, n := u%blocks, u/blocks
		var lacks []uint32
		for i := range blockItems {
			id := uint32(i*blocks + taste)
			if (i+blockItems-n%blockItems)%blockItems < missing {
				lacks = append(lacks, id)
			} else {
				rows.Item = append(rows.Item, id)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
		right = append(right, lacks)
	}
	return rows, right
}

func row(r *similarity.Rows, u int) model.Query {
	q := model.Query{User: u, Items: r.Item[r.Start[u]:r.Start[u+1]]}
	if r.Weight != nil {
		q.Weights = r.Weight[r.Start[u]:r.Start[u+1]]
	}
	return q
}

func testStructure(t *testing.T, newModel NewModel) {
	rows, right := Blocks()
	m, err := newModel(rows)
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	for u := range rows.NumUsers() {
		q := row(rows, u)
		q.N = missing
		answer, err := m.Recommend(q)
		if err != nil {
			t.Fatalf("user %d: %v", u, err)
		}
		got := items(answer)
		slices.Sort(got)
		if !slices.Equal(got, right[u]) {
			t.Errorf("user %d: Recommend = %v, want items %v", u, answer, right[u])
		}
		for _, s := range answer {
			if s.Filled {
				t.Errorf("user %d: item %d is filled in, want it found", u, s.Item)
			}
		}
		q.WithSeen, q.N = true, blockItems
		answer, err = m.Recommend(q)
		if err != nil {
			t.Fatalf("user %d, with seen: %v", u, err)
		}
		for _, s := range answer {
			if int(s.Item)%blocks != u%blocks {
				t.Errorf("user %d, with seen: item %d of another taste in the first %d", u, s.Item, blockItems)
			}
		}
	}
	for taste := range uint32(blocks) {
		q := model.Query{User: -1, Items: []uint32{taste, taste + 5*blocks}, N: blockItems - 2}
		answer, err := m.Recommend(q)
		if err != nil {
			t.Fatalf("basket %v: %v", q.Items, err)
		}
		for _, s := range answer {
			if s.Item%blocks != taste || s.Filled {
				t.Errorf("basket %v: got %+v, want a found item of the same taste", q.Items, s)
			}
		}
	}
}

func items(answer []model.Scored) []uint32 {
	ids := make([]uint32, len(answer))
	for i, s := range answer {
		ids[i] = s.Item
	}
	return ids
}

// drawRows draws a small matrix, with or without weights.
func drawRows(t *rapid.T) *similarity.Rows {
	r := &similarity.Rows{NumItems: rapid.IntRange(1, 30).Draw(t, "items"), Start: []int64{0}}
	weighed := rapid.Bool().Draw(t, "weighed")
	for range rapid.IntRange(0, 25).Draw(t, "users") {
		q := drawHistory(t, r.NumItems, weighed)
		r.Item, r.Weight = append(r.Item, q.Items...), append(r.Weight, q.Weights...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	if weighed && r.Weight == nil {
		r.Weight = []float32{}
	}
	return r
}

func drawHistory(t *rapid.T, numItems int, weighed bool) model.Query {
	q := model.Query{User: -1}
	for id := range numItems {
		if rapid.IntRange(0, 3).Draw(t, "has") > 0 {
			continue
		}
		q.Items = append(q.Items, uint32(id))
		if weighed {
			q.Weights = append(q.Weights, float32(rapid.IntRange(1, 10).Draw(t, "weight"))/2)
		}
	}
	return q
}

// testAnswers checks what holds for every answer: exactly N unseen items (unless the catalog ends), in range, in order,
// found before filled, the same first n for any N, and a query that is only read.
func testAnswers(t *testing.T, newModel NewModel) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		m, err := newModel(rows)
		if err != nil {
			t.Fatalf("new model: %v", err)
		}
		q := drawHistory(t, rows.NumItems, rapid.Bool().Draw(t, "weighed"))
		if u := rapid.IntRange(-1, rows.NumUsers()-1).Draw(t, "user"); u >= 0 {
			q = row(rows, u)
		}
		q.N = rapid.IntRange(0, rows.NumItems+3).Draw(t, "n")
		q.WithSeen = rapid.IntRange(0, 4).Draw(t, "seen") == 0
		ids, weights := slices.Clone(q.Items), slices.Clone(q.Weights)
		answer, err := m.Recommend(q)
		if err != nil {
			t.Fatalf("Recommend: %v", err)
		}
		if err := checkAnswer(&q, rows.NumItems, answer); err != nil {
			t.Fatalf("Recommend(%+v) = %+v: %v", q, answer, err)
		}
		shorter := q
		shorter.N = rapid.IntRange(0, q.N).Draw(t, "shorter")
		first, err := m.Recommend(shorter)
		if err != nil {
			t.Fatalf("Recommend: %v", err)
		}
		if !slices.Equal(first, answer[:min(shorter.N, len(answer))]) {
			t.Fatalf("for N=%d %v, want the first of N=%d %v", shorter.N, first, q.N, answer)
		}
		if e, ok := m.(Explainer); ok {
			for _, s := range answer {
				if err := checkExplanation(e, &q, s); err != nil {
					t.Fatalf("Recommend(%+v): item %d: %v", q, s.Item, err)
				}
			}
		}
		if !slices.Equal(ids, q.Items) || !slices.Equal(weights, q.Weights) {
			t.Fatalf("the query was changed from %v %v to %v %v", ids, weights, q.Items, q.Weights)
		}
	})
}

func checkAnswer(q *model.Query, numItems int, answer []model.Scored) error {
	if want := min(q.N, numItems-len(q.Excluded())); len(answer) != want {
		return fmt.Errorf("%d items, want %d", len(answer), want)
	}
	have := map[uint32]bool{}
	for i, s := range answer {
		switch {
		case int(s.Item) >= numItems:
			return fmt.Errorf("item %d of %d", s.Item, numItems)
		case have[s.Item]:
			return fmt.Errorf("item %d twice", s.Item)
		case slices.Contains(q.Excluded(), s.Item):
			return fmt.Errorf("item %d was seen", s.Item)
		case math.IsNaN(s.Score) || math.IsInf(s.Score, 0):
			return fmt.Errorf("score %v of item %d", s.Score, s.Item)
		case s.Filled && s.Score != 0:
			return fmt.Errorf("filled item %d has score %v, want 0", s.Item, s.Score)
		}
		have[s.Item] = true
		if i == 0 || s.Filled {
			continue
		}
		before := answer[i-1]
		if before.Filled || cmp.Or(cmp.Compare(s.Score, before.Score), cmp.Compare(before.Item, s.Item)) >= 0 {
			return fmt.Errorf("%+v before %+v", before, s)
		}
	}
	return nil
}

func checkExplanation(e Explainer, q *model.Query, s model.Scored) error {
	cs, err := e.Explain(*q, s.Item)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	var sum float64
	for i, c := range cs {
		if !slices.Contains(q.Items, c.Item) {
			return fmt.Errorf("contribution of item %d, which is not in the history", c.Item)
		}
		if i > 0 && cmp.Or(cmp.Compare(c.Score, cs[i-1].Score), cmp.Compare(cs[i-1].Item, c.Item)) >= 0 {
			return fmt.Errorf("contribution %+v before %+v", cs[i-1], c)
		}
		sum += c.Score
	}
	if sum != s.Score {
		return fmt.Errorf("contributions %v add up to %v, want %v", cs, sum, s.Score)
	}
	return nil
}

// testTies gives every item the same users, so that all scores are equal and ids decide.
func testTies(t *testing.T, newModel NewModel) {
	const numUsers, numItems = 6, 9
	rows := &similarity.Rows{NumItems: numItems, Start: []int64{0}}
	for range numUsers {
		for id := range uint32(numItems) {
			rows.Item = append(rows.Item, id)
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	m, err := newModel(rows)
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{2, 5}, N: 5})
	if err != nil {
		t.Fatalf("Recommend: %v", err)
	}
	if got, want := items(answer), []uint32{0, 1, 3, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("equal scores: items %v, want %v", got, want)
	}
}

// testColdStart asks for a user of whom nothing is known: the answer is the popular items, and says so.
func testColdStart(t *testing.T, newModel NewModel) {
	// Users of items 0 to 5: 2, 3, 0, 3, 1, 0.
	rows := &similarity.Rows{
		NumItems: 6,
		Start:    []int64{0, 3, 6, 9, 9},
		Item:     []uint32{0, 1, 3, 1, 3, 4, 0, 1, 3},
	}
	m, err := newModel(rows)
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	for name, q := range map[string]model.Query{
		"nobody":                   {User: -1, N: 6},
		"user without events":      {User: 3, N: 6},
		"item that nobody has":     {User: -1, Items: []uint32{2}, N: 5},
		"the same, with seen ones": {User: -1, Items: []uint32{2}, N: 6, WithSeen: true},
	} {
		answer, err := m.Recommend(q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := slices.DeleteFunc([]uint32{1, 3, 0, 4, 2, 5}, func(id uint32) bool { return slices.Contains(q.Excluded(), id) })
		if got := items(answer); !slices.Equal(got, want) {
			t.Errorf("%s: items %v, want %v", name, got, want)
		}
	}
}

func testEmptyInput(t *testing.T, newModel NewModel) {
	for name, rows := range map[string]*similarity.Rows{
		"no users, no items": {Start: []int64{0}},
		"no items":           {Start: []int64{0, 0, 0}},
		"no users":           {NumItems: 3, Start: []int64{0}},
		"no entries":         {NumItems: 3, Start: []int64{0, 0, 0}},
	} {
		m, err := newModel(rows)
		if err != nil {
			t.Errorf("%s: new model: %v", name, err)
			continue
		}
		answer, err := m.Recommend(model.Query{User: -1, N: 5})
		if err != nil {
			t.Errorf("%s: Recommend: %v", name, err)
			continue
		}
		var want []uint32
		for id := range rows.NumItems {
			want = append(want, uint32(id))
		}
		if got := items(answer); !slices.Equal(got, want) {
			t.Errorf("%s: items %v, want %v", name, got, want)
		}
	}
}

func testRefused(t *testing.T, newModel NewModel) {
	rows, _ := Blocks()
	m, err := newModel(rows)
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	for name, q := range map[string]model.Query{
		"item out of range": {User: -1, Items: []uint32{1, uint32(rows.NumItems)}, N: 3},
		"user out of range": {User: rows.NumUsers(), N: 3},
		"item twice":        {User: -1, Items: []uint32{1, 1}, N: 3},
		"items descend":     {User: -1, Items: []uint32{2, 1}, N: 3},
		"negative N":        {User: -1, N: -1},
		"weight missing":    {User: -1, Items: []uint32{1, 2}, Weights: []float32{1}, N: 3},
	} {
		if _, err := m.Recommend(q); !errors.Is(err, model.ErrQuery) {
			t.Errorf("%s: Recommend(%+v) gives error %v, want one matching ErrQuery", name, q, err)
		}
		if e, ok := m.(Explainer); ok {
			if _, err := e.Explain(q, 0); !errors.Is(err, model.ErrQuery) {
				t.Errorf("%s: Explain(%+v) gives error %v, want one matching ErrQuery", name, q, err)
			}
		}
	}
	if e, ok := m.(Explainer); ok {
		if _, err := e.Explain(model.Query{User: -1}, uint32(rows.NumItems)); !errors.Is(err, model.ErrQuery) {
			t.Errorf("Explain of an item out of range gives error %v, want one matching ErrQuery", err)
		}
	}
}

// testConcurrency asks one model, and a second one from the same data, for everybody at the same time.
func testConcurrency(t *testing.T, newModel NewModel) {
	rows, _ := Blocks()
	var answers [4][][]model.Scored
	var errs [len(answers)]error
	var wg sync.WaitGroup
	for second := range 2 {
		m, err := newModel(rows)
		if err != nil {
			t.Fatalf("new model: %v", err)
		}
		for g := second * 2; g < second*2+2; g++ {
			wg.Go(func() {
				for u := range rows.NumUsers() {
					q := row(rows, u)
					q.N = 20
					answer, err := m.Recommend(q)
					if err != nil {
						errs[g] = err
						return
					}
					answers[g] = append(answers[g], answer)
				}
			})
		}
	}
	wg.Wait()
	for g := range answers {
		if errs[g] != nil {
			t.Fatalf("goroutine %d: %v", g, errs[g])
		}
		for u := range answers[g] {
			if !slices.Equal(answers[g][u], answers[0][u]) {
				t.Errorf("user %d: goroutine %d got %v, the first %v", u, g, answers[g][u], answers[0][u])
			}
		}
	}
}
