package fusion

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/datatest"
)

// TestPublicData reads public data sets as they are and finds the numbers that are known of them.
func TestPublicData(t *testing.T) {
	dir := datatest.Dir(t)
	lines, baskets := source.Options{Format: source.Lines}, source.Options{Format: source.Baskets}
	retail := Columns{User: "CustomerID", Item: "Description", Value: "Quantity", Time: "InvoiceDate"}
	type numbers struct {
		rows, users, items int64
		entries            int
		rejected           map[string]int64
	}
	tests := []struct {
		name     string
		files    []string
		m        Mapping
		want     numbers
		from, to string // days of the first and the last event
	}{
		{name: "ml-100k", files: []string{"ml-100k/u.data"}, want: numbers{rows: 100000, users: 943, items: 1682, entries: 100000}, from: "1997-09-20", to: "1998-04-22"},
		{
			name: "ml-100k, in a fixed split", files: []string{"ml-100k/ua.base", "ml-100k/ua.test"}, want: numbers{rows: 100000, users: 943, items: 1682, entries: 100000},
			from: "1997-09-20", to: "1998-04-22",
		},
		{name: "filmtrust", files: []string{"filmtrust/ratings.txt"}, want: numbers{rows: 35498, users: 1508, items: 2071, entries: 35494}}, // four pairs twice
		{
			name: "hetrec-lastfm", files: []string{"hetrec-lastfm/user_artists.dat"},
			want: numbers{rows: 92836, users: 1892, items: 17632, entries: 92834, rejected: map[string]int64{"short_row": 2}},
		}, // the counts at the top
		{
			name: "hetrec-lastfm, counts skipped", files: []string{"hetrec-lastfm/user_artists.dat"}, m: Mapping{Source: source.Options{Skip: 2}},
			want: numbers{rows: 92834, users: 1892, items: 17632, entries: 92834},
		},
		{
			name: "amazon-beauty", files: []string{"amazon-beauty/Beauty.txt"}, m: Mapping{Source: lines},
			want: numbers{rows: 198502, users: 22363, items: 12101, entries: 198502},
		},
		{name: "amazon-book", files: []string{"amazon-book/train.txt", "amazon-book/test.txt"}, m: Mapping{Source: lines}, // 88 users have no items in test.txt
			want: numbers{rows: 846522, users: 70679, items: 24915, entries: 846434, rejected: map[string]int64{"no_item": 88}}},
		{name: "groceries", files: []string{"groceries/groceries.csv"}, m: Mapping{Source: baskets}, want: numbers{rows: 43367, users: 9835, items: 169, entries: 43367}},
		{name: "mushroom", files: []string{"mushroom/mushroom.dat"}, m: Mapping{Source: baskets}, want: numbers{rows: 186852, users: 8124, items: 119, entries: 186852}},
		{
			name: "retailrocket", files: []string{"retailrocket/events.csv"}, m: Mapping{Behaviors: map[string]Behavior{"view": View, "cart": Cart, "buy": Purchase}},
			want: numbers{rows: 97381, users: 2174, items: 29905, entries: 77230}, from: "2015-05-03", to: "2015-09-18",
		},
		{
			name: "retailrocket with its test purchases", files: []string{"retailrocket/events.csv", "retailrocket/test.csv"},
			m:    Mapping{Behaviors: map[string]Behavior{"view": View, "cart": Cart, "buy": Purchase}},
			want: numbers{rows: 99555, users: 2174, items: 30113, entries: 79404}, from: "2015-05-03", to: "2015-09-18",
		},
		{name: "taobao, bought", files: []string{"taobao/buy.train.txt"}, m: Mapping{Columns: Columns{Item: "sid"}}, want: numbers{rows: 211022, users: 48749, items: 38042, entries: 211022}},
		{
			name: "taobao, in carts", files: []string{"taobao/cart.csv"}, m: Mapping{Columns: Columns{Item: "sid", Behavior: "3"}},
			want: numbers{rows: 193747, users: 37689, items: 34347, entries: 193747},
		},
		{
			name: "diginetica", files: []string{"diginetica/sample_train-item-views.csv"},
			want: numbers{rows: 12391, users: 1270, items: 3154, entries: 3924, rejected: map[string]int64{"no_user": 7681}}, from: "2016-01-03", to: "2016-06-01",
		},
		{
			name: "online-retail by customer", files: []string{"online-retail/online_retail_bm.parquet"}, m: Mapping{Columns: retail, Behavior: Purchase},
			want: numbers{rows: 541909, users: 4372, items: 3885, entries: 266596, rejected: map[string]int64{"no_user": 135080}}, from: "2010-12-01", to: "2011-12-09",
		},
		{
			name: "online-retail by invoice", files: []string{"online-retail/online_retail_st.parquet"},
			m:    Mapping{Columns: Columns{User: "InvoiceNo", Item: "StockCode"}, Behavior: Purchase, TimeLayout: "1/2/06 15:04"},
			want: numbers{rows: 240007, users: 12468, items: 3645, entries: 231160}, from: "2010-12-01", to: "2011-06-26",
		},
		{
			name: "complete-journey by household", files: []string{"complete-journey/transactions_sample.csv.gz"}, m: Mapping{Behavior: Purchase},
			want: numbers{rows: 75000, users: 2377, items: 20902, entries: 68878}, from: "2017-01-01", to: "2017-12-31",
		},
		{
			name: "complete-journey by basket", files: []string{"complete-journey/transactions_sample.csv.gz"}, m: Mapping{Columns: Columns{User: "basket_id"}},
			want: numbers{rows: 75000, users: 47243, items: 20902, entries: 75000}, from: "2017-01-01", to: "2017-12-31",
		},
		{
			name: "olist", files: []string{"olist/olist_order_items_dataset.csv"}, m: Mapping{Columns: Columns{User: "order_id"}, Behavior: Purchase},
			want: numbers{rows: 8365, users: 7360, items: 5460, entries: 7606},
		},
		{
			name: "olist, a file with a byte-order mark", files: []string{"olist/product_category_name_translation.csv"},
			m:    Mapping{Columns: Columns{User: "product_category_name", Item: "product_category_name_english"}},
			want: numbers{rows: 71, users: 71, items: 71, entries: 71},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.want.rows > 50_000 {
				t.Skip("long")
			}
			var ms []Mapping
			var tally Tally
			var all Report
			first, last := int64(MaxTime), int64(0)
			for _, file := range tt.files {
				m := tt.m
				m.Path = filepath.Join(dir, file)
				ms = append(ms, m)
				report, err := Events(t.Context(), m, nil, 0, func(batch []Event) error {
					tally.Add(batch)
					for i := range batch {
						if at := batch[i].Time; at > 0 {
							first, last = min(first, at), max(last, at)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if all.Reasons == nil {
					all.Reasons = map[string]int64{}
				}
				all.Add(report)
			}
			table, reports, err := ReadTable(t.Context(), ms, DefaultWeights(), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkTable(t, table)
			var allOfTable Report
			for i := range reports {
				allOfTable.Add(reports[i])
			}
			if !cmp.Equal(all, allOfTable, cmpopts.EquateEmpty()) || all.Read != all.Kept+all.Rejected {
				t.Errorf("reports: %+v of events, %+v of the table", all, allOfTable)
			}
			totals := tally.Totals()
			got := numbers{rows: all.Read, users: totals.Users, items: totals.Items, entries: len(table.Item), rejected: all.Reasons}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(numbers{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if tt.from != "" {
				if got := [2]string{day(first), day(last)}; got != [2]string{tt.from, tt.to} {
					t.Errorf("from %s to %s, want %s to %s", got[0], got[1], tt.from, tt.to)
				}
			}
		})
	}
}

func day(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }

// TestGroceries: trimmed keys make the most popular item what it is known to be.
func TestGroceries(t *testing.T) {
	m := Mapping{Path: filepath.Join(datatest.Dir(t), "groceries", "groceries.csv"), Source: source.Options{Format: source.Baskets}}
	milk := 0
	if _, err := Events(t.Context(), m, nil, 0, func(batch []Event) error {
		for i := range batch {
			if batch[i].Item == "whole milk" {
				milk++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if milk != 2513 {
		t.Errorf("%d baskets with whole milk, want 2513", milk)
	}
}

// TestOnlineRetail: the negative quantities of cancellations take purchases back.
func TestOnlineRetail(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	m := Mapping{
		Path:    filepath.Join(datatest.Dir(t), "online-retail", "online_retail_bm.parquet"),
		Columns: Columns{Item: "Description"}, Behavior: Purchase,
	}
	negative := 0
	if _, err := Events(t.Context(), m, nil, 0, func(batch []Event) error {
		for i := range batch {
			if batch[i].Value < 0 {
				negative++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if negative != 8905 {
		t.Errorf("%d cancellations of known customers, want 8905", negative)
	}
	table, _, err := ReadTable(t.Context(), []Mapping{m}, DefaultWeights(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range table.Weight {
		if w <= 0 {
			t.Fatalf("entry %d weighs %v", i, w)
		}
	}
}
