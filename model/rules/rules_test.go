package rules_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/rules"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/datatest"
)

func settings(t interface{ Fatal(...any) }, given map[string]string) model.Settings {
	s, err := model.ParseSettings(rules.Kind.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trainOn trains on a matrix with some workers and returns the file.
func trainOn(rows *similarity.Rows, s model.Settings, workers, threads int) ([]byte, error) {
	return train.Run(context.Background(), rules.Kind, s, train.Split(rows, nil, workers), train.Options{Workers: workers, Threads: threads})
}

func TestModel(t *testing.T) {
	for _, score := range []string{"sum", "most"} {
		t.Run(score, func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				file, err := trainOn(rows, settings(t, map[string]string{"score": score, "min-support": "1"}), 2, 2)
				if err != nil {
					return nil, err
				}
				return rules.Read(file)
			})
		})
	}
}

// matrix makes rows of transactions.
func matrix(transactions [][]uint32, items int) *similarity.Rows {
	r := &similarity.Rows{NumItems: items, Start: []int64{0}}
	for _, t := range transactions {
		r.Item = append(r.Item, t...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r
}

func drawTransactions(t *rapid.T, items int) (out [][]uint32) {
	for range rapid.IntRange(0, 25).Draw(t, "transactions") {
		var set []uint32
		for id := range uint32(items) {
			if rapid.IntRange(0, 2).Draw(t, "has") > 0 {
				set = append(set, id)
			}
		}
		out = append(out, set)
	}
	return out
}

// bruteForce counts every set of items.
func bruteForce(transactions [][]uint32, items, maxLength int, least uint32) map[string]uint32 {
	out := map[string]uint32{}
	for bits := 1; bits < 1<<items; bits++ {
		var set []uint32
		for id := range items {
			if bits>>id&1 == 1 {
				set = append(set, uint32(id))
			}
		}
		if maxLength > 0 && len(set) > maxLength {
			continue
		}
		var n uint32
		for _, t := range transactions {
			if !slices.ContainsFunc(set, func(id uint32) bool { return !slices.Contains(t, id) }) {
				n++
			}
		}
		if n >= least {
			out[fmt.Sprint(set)] = n
		}
	}
	return out
}

func collect(s *rules.Itemsets) map[string]uint32 {
	out := map[string]uint32{}
	for set, n := range s.All() {
		out[fmt.Sprint(set)] = n
	}
	return out
}

func TestMineIsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.IntRange(1, 9).Draw(t, "items")
		transactions := drawTransactions(t, items)
		o := rules.Options{
			MinSupport:  float64(rapid.IntRange(1, 12).Draw(t, "least")),
			MaxLength:   rapid.IntRange(0, items).Draw(t, "length"),
			MaxItemsets: 1 << items, Threads: rapid.IntRange(1, 3).Draw(t, "threads"),
		}
		want := bruteForce(transactions, items, o.MaxLength, uint32(o.MinSupport))
		got, err := rules.Mine(t.Context(), slices.Values(transactions), items, o)
		if err != nil {
			t.Fatal(err)
		}
		if sets := collect(got); !maps.Equal(sets, want) || got.Len() != len(want) {
			t.Fatalf("%d sets %v, want %d %v", got.Len(), sets, len(want), want)
		}
		if o.MaxItemsets = len(want) - 1; o.MaxItemsets >= 0 {
			if _, err := rules.Mine(t.Context(), slices.Values(transactions), items, o); !errors.Is(err, rules.ErrTooMany) {
				t.Fatalf("with one set fewer allowed the error is %v", err)
			}
		}
	})
}

// TestWorkersAgree: the same file with any number of workers and threads, and the rules in it are those of all pairs of sets.
func TestWorkersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.IntRange(1, 8).Draw(t, "items")
		transactions := slices.DeleteFunc(drawTransactions(t, items), func(set []uint32) bool { return len(set) == 0 }) // none is an event
		least, length := rapid.IntRange(1, 6).Draw(t, "least"), rapid.IntRange(2, 5).Draw(t, "length")
		s := settings(t, map[string]string{"min-support": strconv.Itoa(least), "max-length": strconv.Itoa(length), "min-confidence": "0.4", "min-lift": "0.9"})
		rows := matrix(transactions, items)
		want, err := trainOn(rows, s, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{3, 5} {
			got, err := trainOn(rows, s, workers, 4)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%d workers make another file", workers)
			}
		}
		m, err := rules.Read(want)
		if err != nil {
			t.Fatal(err)
		}
		counts := bruteForce(transactions, items, length, uint32(least))
		expected := map[string]bool{}
		for set, both := range counts {
			for _, c := range strings.Fields(strings.Trim(set, "[]")) {
				var left []string
				for _, id := range strings.Fields(strings.Trim(set, "[]")) {
					if id != c {
						left = append(left, id)
					}
				}
				a := counts[fmt.Sprint(left)]
				confidence := float64(both) / float64(a)
				if a > 0 && confidence >= 0.4 && float64(both)*float64(len(transactions))/(float64(a)*float64(counts["["+c+"]"])) >= 0.9 {
					expected[fmt.Sprintf("%v %s %d %d", left, c, both, a)] = true
				}
			}
		}
		var before rules.Rule
		n := 0
		for r := range m.All() {
			if key := fmt.Sprintf("%v %d %d %d", r.Antecedent, r.Consequent, r.Count, r.AntecedentCount); !expected[key] {
				t.Fatalf("rule %s is not among %v", key, expected)
			}
			if n > 0 && (r.Lift > before.Lift || r.Lift == before.Lift && r.Confidence > before.Confidence) {
				t.Fatalf("%+v after %+v", r, before)
			}
			before = r
			n++
		}
		if n != len(expected) || n != m.Len() || m.Itemsets() != uint64(len(counts)) || m.Transactions() != uint64(len(transactions)) {
			t.Fatalf("%d rules of %d sets in %d transactions, want %d of %d in %d", n, m.Itemsets(), m.Transactions(), len(expected), len(counts), len(transactions))
		}
		// Each rule is found from the items of its sides, and by a history that has its left side.
		history := rapid.SliceOfDistinct(rapid.Uint32Range(0, uint32(items)-1), rapid.ID[uint32]).Draw(t, "history")
		slices.Sort(history)
		matching, err := m.Matching(history)
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted []string
		for r := range matching {
			got = append(got, fmt.Sprint(r))
		}
		from, to := 0, 0
		for id := range uint32(items) {
			f, err := m.From(id)
			if err != nil {
				t.Fatal(err)
			}
			for r := range f {
				if from++; !slices.Contains(r.Antecedent, id) {
					t.Fatalf("From(%d) gives %+v", id, r)
				}
			}
			g, err := m.To(id)
			if err != nil {
				t.Fatal(err)
			}
			for r := range g {
				if to++; r.Consequent != id {
					t.Fatalf("To(%d) gives %+v", id, r)
				}
			}
		}
		for r := range m.All() {
			from -= len(r.Antecedent)
			if !slices.ContainsFunc(r.Antecedent, func(id uint32) bool { return !slices.Contains(history, id) }) {
				wanted = append(wanted, fmt.Sprint(r))
			}
		}
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) || from != 0 || to != n {
			t.Fatalf("history %v matches %v, want %v; %d rules too many by left sides, %d by right ones of %d", history, got, wanted, from, to, n)
		}
	})
}

// TestMeasures has the measures of one rule by hand: of 8 transactions 4 have a, 5 have b, and 3 both.
func TestMeasures(t *testing.T) {
	transactions := [][]uint32{{0, 1}, {0, 1}, {0, 1}, {0}, {1}, {1}, {}, {}}
	sets, err := rules.Mine(t.Context(), slices.Values(transactions), 2, rules.Options{MinSupport: 1, MaxItemsets: 10})
	if err != nil {
		t.Fatal(err)
	}
	all, err := sets.Rules(8, rules.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := rules.Sort(all, "confidence"); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("rules %+v, want two", all)
	}
	r := all[0] // a → b
	for name, x := range map[string][2]float64{
		"support": {r.Support, 3.0 / 8}, "confidence": {r.Confidence, 3.0 / 4}, "lift": {r.Lift, 3.0 / 4 / (5.0 / 8)},
		"leverage": {r.Leverage, 3.0/8 - 4.0/8*5/8}, "conviction": {r.Conviction, (1 - 5.0/8) / (1 - 3.0/4)},
	} {
		if math.Abs(x[0]-x[1]) > 1e-15 {
			t.Errorf("%s is %v, want %v", name, x[0], x[1])
		}
	}
	if err := rules.Sort(all, "luck"); err == nil {
		t.Error("rules are sorted by luck")
	}
}

// groceries are the transactions of the data set of that name, items by name ascending.
func groceries(t testing.TB) (transactions [][]uint32, names []string) {
	f, err := os.Open(datatest.File(t, "groceries/groceries.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		for i := range line {
			line[i] = strings.TrimSpace(line[i])
			names = append(names, line[i])
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, line := range lines {
		var set []uint32
		for _, name := range line {
			id, _ := slices.BinarySearch(names, name)
			set = append(set, uint32(id))
		}
		slices.Sort(set)
		transactions = append(transactions, slices.Compact(set))
	}
	return transactions, names
}

// TestGroceries has the counts of package arules of R on these data (Hahsler, Grün and Hornik, JSS 14(15), 2005 [hahsler2005]): 410 rules at support 0.001 and confidence 0.8, 15 at
// 0.01 and 0.5.
func TestGroceries(t *testing.T) {
	transactions, names := groceries(t)
	if len(transactions) != 9835 || len(names) != 169 {
		t.Fatalf("%d transactions of %d items, want 9,835 of 169", len(transactions), len(names))
	}
	for _, c := range []struct {
		support, confidence string
		sets                uint64
		rules               int
	}{{"0.001", "0.8", 13492, 410}, {"0.01", "0.5", 333, 15}} {
		s := settings(t, map[string]string{"min-support": c.support, "min-confidence": c.confidence, "max-length": "10", "min-lift": "0"})
		file, err := trainOn(matrix(transactions, len(names)), s, 3, 2)
		if err != nil {
			t.Fatal(err)
		}
		m, err := rules.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		if m.Len() != c.rules || m.Itemsets() != c.sets {
			t.Errorf("support %s, confidence %s: %d rules of %d sets, want %d of %d", c.support, c.confidence, m.Len(), m.Itemsets(), c.rules, c.sets)
		}
	}
}

func mushroom(t testing.TB) (transactions [][]uint32) {
	text, err := os.ReadFile(datatest.File(t, "mushroom/mushroom.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var set []uint32
		for _, field := range strings.Fields(line) {
			id, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			set = append(set, uint32(id))
		}
		slices.Sort(set)
		transactions = append(transactions, set)
	}
	return transactions
}

// eclat counts frequent sets by intersection of lists of transactions (Zaki, IEEE TKDE 12(3), 2000 [zaki2000]): another way than that of the package. It calls f with the length and the
// count of each.
func eclat(transactions [][]uint32, items int, least int, f func(length, count int)) {
	type column []uint64
	words := (len(transactions) + 63) / 64
	var columns []column
	for id := range items {
		c, n := make(column, words), 0
		for i, t := range transactions {
			if _, ok := slices.BinarySearch(t, uint32(id)); ok {
				c[i/64] |= 1 << (i % 64)
				n++
			}
		}
		if n >= least {
			columns = append(columns, c)
		}
	}
	var grow func(length int, columns []column)
	grow = func(length int, columns []column) {
		for i, a := range columns {
			n := 0
			for _, w := range a {
				n += ones(w)
			}
			f(length, n)
			var next []column
			for _, b := range columns[i+1:] {
				c, n := make(column, words), 0
				for k := range c {
					c[k] = a[k] & b[k]
					n += ones(c[k])
				}
				if n >= least {
					next = append(next, c)
				}
			}
			grow(length+1, next)
		}
	}
	grow(1, columns)
}

func ones(w uint64) (n int) {
	for ; w != 0; w &= w - 1 {
		n++
	}
	return n
}

// TestMushroom compares with Eclat, and with the number of frequent sets of these data that is known.
func TestMushroom(t *testing.T) {
	transactions := mushroom(t)
	for _, c := range []struct {
		support float64
		least   int
		want    int
	}{{0.4, 3250, 565}, {0.3, 2438, 2735}, {0.2, 1625, 53583}} {
		sets, err := rules.Mine(t.Context(), slices.Values(transactions), 120, rules.Options{MinSupport: c.support, MaxItemsets: 1e6, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		if sets.Len() != c.want {
			t.Errorf("support %v: %d sets, want %d", c.support, sets.Len(), c.want)
		}
		if c.support < 0.3 {
			continue // the twin takes long
		}
		got, want := map[[2]int]int{}, map[[2]int]int{}
		for set, n := range sets.All() {
			got[[2]int{len(set), int(n)}]++
		}
		eclat(transactions, 120, c.least, func(length, count int) { want[[2]int{length, count}]++ })
		if !maps.Equal(got, want) {
			t.Errorf("support %v: sets by length and count are not those of Eclat", c.support)
		}
	}
}

// TestAcross: of five visits, views of 0 lead to purchases of 2, and items on the left are viewed, those on the right bought.
func TestAcross(t *testing.T) {
	view := func(item uint32) train.Event { return train.Event{Item: item, Behavior: 0, Value: 1} }
	buy := func(item uint32) train.Event { return train.Event{Item: item, Behavior: 1, Value: 1} }
	users := [][]train.Event{
		{view(0), view(1), buy(2)}, {view(0), buy(2), buy(1)}, {view(0), view(2), buy(2)}, {view(1), {Item: 0, Behavior: 1, Value: 1, Time: 3_600_000}, {Item: 1, Behavior: 1, Value: 1, Time: 7_200_000}}, {view(0), view(1), {Item: train.NoItem}},
	}
	rows := matrix([][]uint32{{0, 1, 2}, {0, 1, 2}, {0, 2}, {0, 1}, {0, 1}}, 3)
	run := func(workers int, given map[string]string) (*rules.Model, error) {
		data := train.Split(rows, nil, workers)
		for _, d := range data {
			d.Shape.Behaviors = []string{"view", "purchase"}
			first, end := d.Shape.FirstUser[d.Worker], d.Shape.FirstUser[d.Worker+1]
			d.Events = func(_ context.Context, f func(int, []train.Event) error) error {
				for u := first; u < end; u++ {
					if err := f(u, users[u]); err != nil {
						return err
					}
				}
				return nil
			}
		}
		file, err := train.Run(t.Context(), rules.Kind, settings(t, given), data, train.Options{})
		if err != nil {
			return nil, err
		}
		return rules.Read(file)
	}
	for workers := 1; workers <= 4; workers++ {
		m, err := run(workers, map[string]string{"min-support": "1", "min-lift": "0", "from": "view"})
		if err != nil {
			t.Fatal(err)
		}
		to, err := m.To(2)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for r := range to {
			got = append(got, fmt.Sprintf("%v %d/%d of %d", r.Antecedent, r.Count, r.AntecedentCount, r.ConsequentCount))
		}
		want := []string{"[0] 3/4 of 3", "[0 1] 1/2 of 3", "[1] 1/3 of 3"}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers: rules to 2 are %q, want %q", workers, got, want)
		}
	}
	if m, err := run(2, map[string]string{"min-support": "1", "per": "visit"}); err != nil || m.Transactions() != 5 { // the last buys after an hour
		t.Errorf("by visit: %+v, error %v, want 5 transactions", m, err)
	}
	m, err := run(2, map[string]string{"min-support": "1", "min-lift": "0"})
	if err != nil {
		t.Fatal(err)
	}
	if m.Transactions() != 4 || m.Len() != 4 {
		t.Errorf("purchases alone: %d rules of %d transactions, want 4 of 4", m.Len(), m.Transactions())
	}
	for _, given := range []map[string]string{{"behavior": "cart"}, {"from": "cart"}} {
		if _, err := run(1, given); err == nil || !strings.Contains(err.Error(), "view") {
			t.Errorf("%v: error %v, want one that names the behaviors there are", given, err)
		}
	}
	if _, err := trainOn(rows, settings(t, map[string]string{"from": "view"}), 1, 1); err == nil {
		t.Error("a matrix has no behaviors, but there is no error")
	}
}

// TestBounded: too many sets are an error that says what to do, with any number of workers.
func TestBounded(t *testing.T) {
	wide := make([]uint32, 40)
	for i := range wide {
		wide[i] = uint32(i)
	}
	for workers := 1; workers <= 3; workers++ {
		s := settings(t, map[string]string{"max-itemsets": "1000", "max-length": "64"})
		_, err := trainOn(matrix([][]uint32{wide, wide, wide}, 40), s, workers, 2)
		if !errors.Is(err, rules.ErrTooMany) || !strings.Contains(err.Error(), "min-support") {
			t.Errorf("%d workers: error %v, want one matching ErrTooMany that names min-support", workers, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rules.Mine(ctx, slices.Values([][]uint32{wide}), 40, rules.Options{MinSupport: 1, MaxItemsets: math.MaxInt}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	rows, _ := modeltest.Blocks()
	for _, given := range []map[string]string{{"min-support": "20"}, {"min-support": "200"}} {
		file, err := trainOn(rows, settings(f, given), 1, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		for _, at := range []int{9, 12, 17, 40, 64, len(file) - 1} {
			damaged := slices.Clone(file)
			damaged[at] ^= 0x81
			f.Add(damaged)
		}
		f.Add(file[:len(file)-4])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := rules.Read(file)
		if err != nil {
			if !errors.Is(err, rules.ErrCorrupt) {
				t.Fatalf("error %v, want one matching ErrCorrupt", err)
			}
			return
		}
		var history []uint32
		for id := range uint32(min(m.Items(), 100)) {
			history = append(history, id)
		}
		answer, err := m.Recommend(model.Query{User: -1, Items: history, N: 10, WithSeen: true})
		if err != nil || len(answer) != min(10, m.Items()) {
			t.Fatalf("answer %v, error %v", answer, err)
		}
		n := 0
		for r := range m.All() {
			if n++; !(r.Confidence > 0 && r.Confidence <= 1) {
				t.Fatalf("rule %+v", r)
			}
		}
		if n != m.Len() {
			t.Fatalf("%d rules, want %d", n, m.Len())
		}
	})
}

func BenchmarkMine(b *testing.B) {
	bought, names := groceries(b)
	for _, c := range []struct {
		name         string
		transactions [][]uint32
		items        int
		support      float64
	}{{"groceries/support=0.001", bought, len(names), 0.001}, {"mushroom/support=0.1", mushroom(b), 120, 0.1}, {"mushroom/support=0.2", mushroom(b), 120, 0.2}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				sets, err := rules.Mine(b.Context(), slices.Values(c.transactions), c.items, rules.Options{MinSupport: c.support, MaxItemsets: 1e8, Threads: 1})
				if err != nil {
					b.Fatal(err)
				}
				n = sets.Len()
			}
			b.ReportMetric(float64(n), "sets")
		})
	}
}

func BenchmarkRules(b *testing.B) {
	sets, err := rules.Mine(b.Context(), slices.Values(mushroom(b)), 120, rules.Options{MinSupport: 0.2, MaxItemsets: 1e8, Threads: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		all, err := sets.Rules(8124, rules.Limits{MinConfidence: 0.8})
		if err != nil {
			b.Fatal(err)
		}
		n = len(all)
	}
	b.ReportMetric(float64(n), "rules")
}
