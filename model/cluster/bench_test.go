package cluster_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/cluster"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// points reads a CSV file whose last column is a class, and leaves rows out that have a field that is no number.
func points(t testing.TB, path string) (x []float32, dim int, of []int) {
	t.Helper()
	data, err := os.ReadFile(datatest.File(t, path))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]int{}
rows:
	for _, r := range records {
		dim = len(r) - 1
		var row []float32
		for _, field := range r[:dim] {
			v, err := strconv.ParseFloat(field, 32)
			if err != nil {
				continue rows
			}
			row = append(row, float32(v))
		}
		if _, known := classes[r[dim]]; !known {
			classes[r[dim]] = len(classes)
		}
		x, of = append(x, row...), append(of, classes[r[dim]])
	}
	return x, dim, of
}

// BenchmarkPoints groups public tables, to compare losses with those of scripts/bench-models/clusters.py.
func BenchmarkPoints(b *testing.B) {
	for _, c := range []struct {
		path string
		k    int
	}{
		{"classification/iris.csv", 3},
		{"classification/breast-cancer-wisconsin.csv", 2},
		{"anomaly/banknote_authentication.csv", 10},
		{"anomaly/mammography.csv", 10},
		{"anomaly/mammography.csv", 50},
	} {
		x, dim, of := points(b, c.path)
		for _, batch := range []int{0, 1000} {
			o := cluster.DefaultOptions()
			o.Restarts, o.Tolerance, o.Iterations, o.MiniBatch = 10, 0, 300, batch
			if batch > 0 {
				if len(of) < 5*batch {
					continue
				}
				o.Iterations = 100
			}
			b.Run(fmt.Sprintf("%s/k=%d/batch=%d", c.path, c.k, batch), func(b *testing.B) {
				for b.Loop() {
					r, err := cluster.KMeans(b.Context(), x, dim, []int{c.k}, o)
					if err != nil {
						b.Fatal(err)
					}
					t := r.Trials[r.Best]
					b.ReportMetric(lossOf(r), "loss")
					b.ReportMetric(adjustedRand(ints(r.Assign), of), "rand")
					b.ReportMetric(float64(t.Distances)/float64(t.Plain), "computed")
					b.ReportMetric(float64(len(t.Loss)), "passes")
				}
			})
		}
	}
}

// shop has a generated shop's interactions, and the planted taste of users and items.
type shop struct {
	rows         *similarity.Rows
	users, items []int
	tastes       int
}

// memory is a file that stays in memory.
type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

func newShop(t testing.TB, users, items int, events int64) shop {
	t.Helper()
	cfg := synthetic.DefaultConfig(users, items, events, 1)
	files := map[string]*memory{}
	_, err := synthetic.Generate(t.Context(), cfg, func(name string) (io.WriteCloser, error) {
		files[name] = &memory{}
		return files[name], nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	table := func(name string, f func(field func(column string) string)) {
		r := csv.NewReader(&files[name].Buffer)
		r.FieldsPerRecord, r.LazyQuotes = -1, true // the log has damaged rows
		head, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		for {
			record, err := r.Read()
			if err == io.EOF {
				return
			}
			if err == nil && len(record) == len(head) {
				f(func(column string) string { return record[slices.Index(head, column)] })
			}
		}
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	userTaste, itemTaste := map[string]int{}, map[string]int{}
	table(synthetic.TruthUsersFile, func(field func(string) string) { userTaste[field("user")] = number(field("cluster1")) })
	table(synthetic.TruthItemsFile, func(field func(string) string) { itemTaste[field("item")] = number(field("cluster")) })
	entries := map[string]map[string]float32{}
	table(synthetic.EventsFile, func(field func(string) string) {
		user, item := field("user"), field("item")
		if _, known := userTaste[user]; !known {
			return
		}
		if _, known := itemTaste[item]; !known {
			return
		}
		if entries[user] == nil {
			entries[user] = map[string]float32{}
		}
		entries[user][item]++
	})
	// Items are numbered by popularity, as builds number them.
	names := slices.Sorted(maps.Keys(itemTaste))
	counts, at := make([]int64, len(names)), map[string]int{}
	for i, name := range names {
		at[name] = i
	}
	for _, row := range entries {
		for name := range row {
			counts[at[name]]++
		}
	}
	s := shop{rows: &similarity.Rows{NumItems: len(names), Start: []int64{0}, Weight: []float32{}}, tastes: cfg.Clusters}
	id := map[string]uint32{}
	for rank, i := range popularity.Order(counts) {
		id[names[i]] = uint32(rank)
		s.items = append(s.items, itemTaste[names[i]])
	}
	for _, user := range slices.Sorted(maps.Keys(entries)) {
		row := slices.SortedFunc(maps.Keys(entries[user]), func(a, b string) int { return int(id[a]) - int(id[b]) })
		for _, name := range row {
			s.rows.Item, s.rows.Weight = append(s.rows.Item, id[name]), append(s.rows.Weight, entries[user][name])
		}
		s.rows.Start = append(s.rows.Start, int64(len(s.rows.Item)))
		s.users = append(s.users, userTaste[user])
	}
	return s
}

// recovered returns the model, and the adjusted Rand index of users or items.
func (s *shop) recovered(t testing.TB, of string, settings map[string]string) (*cluster.Model, float64) {
	t.Helper()
	settings["of"] = of
	m, err := trained(s.rows, 1, settings)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []int
	if of == "items" {
		for i, taste := range s.items {
			if g := m.GroupOf(uint32(i)); g >= 0 {
				got, want = append(got, g), append(want, taste)
			}
		}
		return m, adjustedRand(got, want)
	}
	for u, taste := range s.users {
		lo, hi := s.rows.Start[u], s.rows.Start[u+1]
		g, _, err := m.Assign(model.Query{User: u, Items: s.rows.Item[lo:hi], Weights: s.rows.Weight[lo:hi]})
		if err != nil {
			t.Fatal(err)
		}
		got, want = append(got, g), append(want, taste)
	}
	return m, adjustedRand(got, want)
}

// BenchmarkShop looks for the planted tastes of a shop: the clusters of items, and the strongest taste of each user, who has up to three.
func BenchmarkShop(b *testing.B) {
	s := newShop(b, 10_000, 2000, 1_000_000)
	for _, of := range []string{"users", "items"} {
		for _, k := range []int{s.tastes, 0} {
			b.Run(fmt.Sprintf("%s/k=%d", of, k), func(b *testing.B) {
				for b.Loop() {
					m, rand := s.recovered(b, of, map[string]string{"k": strconv.Itoa(k), "k-max": "60", "restarts": "3"})
					b.ReportMetric(float64(len(m.Clusters())), "groups")
					var computed, plain int64
					trials, _ := m.Trials()
					for _, t := range trials {
						computed, plain = computed+t.Distances, plain+t.Plain
					}
					b.ReportMetric(float64(computed)/float64(plain), "computed")
					b.ReportMetric(rand, "rand")
				}
			})
		}
	}
}

// TestFindsPlantedTastes: the groups of items of a small shop are its planted ones.
func TestFindsPlantedTastes(t *testing.T) {
	s := newShop(t, 1000, 300, 60_000)
	m, rand := s.recovered(t, "items", map[string]string{"k": strconv.Itoa(s.tastes), "restarts": "2"})
	if rand < 0.8 {
		t.Errorf("adjusted Rand index of %d groups is %.3f, want at least 0.8", len(m.Clusters()), rand)
	}
}
