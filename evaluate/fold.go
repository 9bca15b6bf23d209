package evaluate

import (
	"cmp"
	"slices"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

// fold is one fold of a division, in dense ids. Users are numbered as in the table. Items are numbered by descending number of users in
// the training data, ties by key; those below train.NumItems have any, the others are in no model but those that know products by their attributes.
type fold struct {
	train *similarity.Rows
	// times has the times of the entries of train, nil if the table has none.
	times []int64
	// items are the keys of all items of the table: train's first.
	items []string
	// history has what queries know of train's users, and historyTimes its times: train itself, unless users are held back as a whole. Its
	// NumItems is that of train: what no model knows is left out.
	history      *similarity.Rows
	historyTimes []int64
	// hidden has what may not be in an answer beside the history; nil for nothing. Its NumItems is that of test.
	hidden *similarity.Rows
	// historyEntries is the number of entries that are in queries alone, of the table, also those of items without training data.
	historyEntries int
	// test has the rows of train's users; its NumItems counts all items of the table.
	test *similarity.Rows
	// relevant is the rows of test with only those entries that count as relevant. Without weights.
	relevant *similarity.Rows
}

// newFold takes fold number f out of a division. Test entries with a weight of at least threshold are relevant; 0 takes all.
// Cost: O(entries · log(entries of a user)); memory: 8 bytes for each training and 12 for each test entry.
func newFold(t *fusion.Table, d *Division, f int, threshold float64) *fold {
	counts := make([]int64, len(t.Items))
	for p, id := range t.Item {
		if d.trains(int64(p), f) {
			counts[id]++
		}
	}
	dense := make([]uint32, len(t.Items))
	known := 0
	for rank, id := range popularity.Order(counts) {
		dense[id] = uint32(rank)
		if counts[id] > 0 {
			known++
		}
	}
	out := &fold{items: make([]string, len(t.Items))}
	for id, rank := range dense {
		out.items[rank] = t.Items[id]
	}
	out.train, out.times = takeRows(t, dense, known, func(p int64) bool { return d.trains(p, f) })
	out.history, out.historyTimes = out.train, out.times
	if d.History != nil {
		out.history, out.historyTimes = takeRows(t, dense, known, func(p int64) bool {
			return d.trains(p, f) || d.History[p] && int(dense[t.Item[p]]) < known
		})
	}
	for _, only := range d.History {
		if only {
			out.historyEntries++
		}
	}
	if d.Hidden != nil {
		out.hidden, _ = takeRows(t, dense, len(t.Items), func(p int64) bool { return d.Hidden[p] })
	}
	out.test, _ = takeRows(t, dense, len(t.Items), func(p int64) bool { return d.TestOf[p] == int32(f) })
	out.relevant = out.test
	if threshold != 0 {
		out.relevant, _ = takeRows(t, dense, len(t.Items), func(p int64) bool {
			return d.TestOf[p] == int32(f) && weightOf(t, p) >= threshold
		})
	}
	return out
}

func weightOf(t *fusion.Table, p int64) float64 {
	if t.Weight == nil {
		return 1
	}
	return float64(t.Weight[p])
}

// takeRows returns the matrix of the entries that keep says, with items renumbered, and their times, nil if the table has none.
func takeRows(t *fusion.Table, dense []uint32, numItems int, keep func(entry int64) bool) (rows *similarity.Rows, times []int64) {
	type entry struct {
		item   uint32
		weight float32
		time   int64
	}
	rows = &similarity.Rows{NumItems: numItems, Start: make([]int64, 1, len(t.Users)+1)}
	if t.Weight != nil {
		rows.Weight = []float32{}
	}
	var row []entry
	for u := range t.Users {
		row = row[:0]
		for p := t.Start[u]; p < t.Start[u+1]; p++ {
			if keep(p) {
				e := entry{item: dense[t.Item[p]], weight: float32(weightOf(t, p))}
				if t.Time != nil {
					e.time = t.Time[p]
				}
				row = append(row, e)
			}
		}
		slices.SortFunc(row, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
		for _, e := range row {
			rows.Item = append(rows.Item, e.item)
			if rows.Weight != nil {
				rows.Weight = append(rows.Weight, e.weight)
			}
			if t.Time != nil {
				times = append(times, e.time)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows, times
}

// itemsOf returns the items and weights of a row; the weights are nil if all are one.
func itemsOf(r *similarity.Rows, u int) (items []uint32, weights []float32) {
	lo, hi := r.Start[u], r.Start[u+1]
	if r.Weight != nil {
		weights = r.Weight[lo:hi]
	}
	return r.Item[lo:hi], weights
}

// FoldCounts says what one fold consists of.
type FoldCounts struct {
	// TrainEntries, TestEntries, HistoryEntries and HiddenEntries add up to the entries of the table.
	TrainEntries int `json:"train_entries"`
	TestEntries  int `json:"test_entries"`
	// HistoryEntries are in queries only, HiddenEntries are neither used nor allowed in answers.
	HistoryEntries int `json:"history_entries,omitempty"`
	HiddenEntries  int `json:"hidden_entries,omitempty"`
	// CatalogItems is the number of items with training entries: what can be recommended.
	CatalogItems int `json:"catalog_items"`
	// RelevantEntries is the number of test entries that count as relevant for top-N.
	RelevantEntries int `json:"relevant_entries"`
	// TestUsers is the number of users with relevant entries, over whom top-N metrics are averaged; LeftOutUsers is the others.
	TestUsers    int `json:"test_users"`
	LeftOutUsers int `json:"left_out_users"`
	// ColdUsers is the number of test users without training entries.
	ColdUsers int `json:"cold_users"`
	// ColdEntries is the number of relevant entries whose item has no training entry, so that only a model of content can find it.
	ColdEntries int `json:"cold_entries"`
}

func (f *fold) counts() FoldCounts {
	c := FoldCounts{
		TrainEntries:    len(f.train.Item),
		TestEntries:     len(f.test.Item),
		HistoryEntries:  f.historyEntries,
		CatalogItems:    f.train.NumItems,
		RelevantEntries: len(f.relevant.Item),
	}
	if f.hidden != nil {
		c.HiddenEntries = len(f.hidden.Item)
	}
	for u := range f.relevant.NumUsers() {
		relevant, _ := itemsOf(f.relevant, u)
		if len(relevant) == 0 {
			c.LeftOutUsers++
			continue
		}
		c.TestUsers++
		if history, _ := itemsOf(f.train, u); len(history) == 0 {
			c.ColdUsers++
		}
	}
	for _, id := range f.relevant.Item {
		if int64(id) >= int64(f.train.NumItems) {
			c.ColdEntries++
		}
	}
	return c
}
