package pipeline_test

import (
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// shopDir generates a dirty shop.
func shopDir(t testing.TB, users, items int, events int64) string {
	t.Helper()
	dir := t.TempDir()
	cfg := synthetic.DefaultConfig(users, items, events, 5)
	cfg.Planted = synthetic.DefaultPlanted()
	if _, err := synthetic.Generate(t.Context(), cfg, func(name string) (io.WriteCloser, error) {
		return os.Create(filepath.Join(dir, name))
	}, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// table returns the rows of a CSV file by column.
func table(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1 // some rows are planted to be short
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, fields := range all[1:] {
		row := map[string]string{}
		for i, f := range fields {
			row[all[0][i]] = f
		}
		out = append(out, row)
	}
	return out
}

// atLeast prints a share, and fails if it is too small.
func atLeast(t *testing.T, what string, part, whole int, least float64) {
	t.Helper()
	share := float64(part) / float64(whole)
	t.Logf("%s: %d of %d, %.4f", what, part, whole, share)
	if whole == 0 || share < least {
		t.Errorf("%s: %.4f, want at least %.3f", what, share, least)
	}
}

// TestShop fuses the files of a generated shop by the mapping that comes with it, and compares the result with what is planted.
func TestShop(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a shop of 200,000 events")
	}
	const events = 200_000
	dir := shopDir(t, 20_000, 6000, events)
	f, err := pipeline.Read(filepath.Join(dir, synthetic.FusionFile), fusion.MappingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := runFile(t, f, pipeline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.events) != events {
		t.Errorf("%d events are left, want %d: all duplicates and damaged rows found, and no other", len(got.events), events)
	}

	// Who: the key of an event is that under which its true user's first account goes.
	truth := map[string]string{} // key -> user, "" for what several use
	for _, row := range table(t, filepath.Join(dir, synthetic.TruthAccountsFile)) {
		truth[row["account"]] = row["user"]
	}
	for _, row := range table(t, filepath.Join(dir, synthetic.TruthKeysFile)) {
		truth[row["key"]] = row["user"]
	}
	said := map[string]string{} // event -> key in the files
	for _, file := range []string{synthetic.EventsFile, synthetic.OrdersFile} {
		for _, row := range table(t, filepath.Join(dir, file)) {
			if user := strings.TrimSpace(row["user"]); user != "" {
				said[row["event"]] = user
			}
		}
	}
	of := map[string]map[string]bool{} // key of the result -> true users
	anonymous, known, right := 0, 0, 0
	for i := range got.events {
		e := &got.events[i]
		user := truth[said[e.ID]]
		if user == "" {
			continue
		}
		if of[e.User] == nil {
			of[e.User] = map[string]bool{}
		}
		of[e.User][user] = true
		if strings.HasPrefix(said[e.ID], "D") {
			anonymous++
			if e.User == user {
				known++
			}
		}
		if e.User == user {
			right++
		}
	}
	mixed := 0
	for _, users := range of {
		if len(users) > 1 {
			mixed++
		}
	}
	atLeast(t, "events under the first account of their user", right, len(got.events), 0.97)
	atLeast(t, "events without a login whose user is found", known, anonymous, 0.9)
	atLeast(t, "users of the result that are one person", len(of)-mixed, len(of), 0.99)

	// What: listings of the supplier are at their product.
	var lines []string
	for _, row := range table(t, filepath.Join(dir, synthetic.SupplierFile)) {
		lines = append(lines, row["sku"])
	}
	item := map[string]string{}
	for _, row := range table(t, filepath.Join(dir, synthetic.TruthSKUsFile)) {
		item[row["sku"]] = row["item"]
	}
	joined, wrong := 0, 0
	for key, r := range got.products {
		l, err := pipeline.ParseLineage(r.Places)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range l.Rows {
			if row.Source != "supplier" || strings.HasPrefix(key, "supplier:") {
				continue
			}
			if joined++; item[lines[row.Line-2]] != key {
				wrong++
			}
		}
	}
	atLeast(t, "listings joined to the right product", joined-wrong, joined, 0.99)
	atLeast(t, "listings joined", joined, len(lines), 0.88)

	// Whose value counts: brands by majority, prices by time.
	brands, prices, n := 0, 0, 0
	for _, row := range table(t, filepath.Join(dir, synthetic.TruthAttributesFile)) {
		a := attributes(got.products[row["item"]])
		n++
		if a["brand"] == row["brand"] {
			brands++
		}
		if a["price"] == strings.TrimSuffix(strings.TrimSuffix(row["price"], "0"), ".0") || a["price"] == row["price"] {
			prices++
		}
	}
	atLeast(t, "brands that are right", brands, n, 0.98)
	atLeast(t, "prices that are right", prices, n, 0.97)
}

// TestOlist: orders of real customers get their time and status from another file, and their customers become the people that they are.
func TestOlist(t *testing.T) {
	data := datatest.Dir(t)
	t.Setenv("KITH_DATA", data)
	f, err := pipeline.Read(filepath.Join("..", "..", "examples", "olist.yaml"), fusion.MappingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := runFile(t, f, pipeline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	orders, states := map[string]string{}, map[string]string{}
	for _, row := range table(t, filepath.Join(data, "olist", "olist_orders_dataset.csv")) {
		orders[row["order_id"]], states[row["order_id"]] = row["customer_id"], row["order_status"]
	}
	people := map[string]string{}
	distinct := map[string]bool{}
	for _, row := range table(t, filepath.Join(data, "olist", "olist_customers_dataset.csv")) {
		people[row["customer_id"]] = row["customer_unique_id"]
		distinct[row["customer_unique_id"]] = true
	}
	if len(got.events) != 8365 || len(got.profiles) != len(distinct) || len(distinct) != 8016 {
		t.Errorf("%d events, %d profiles of %d people", len(got.events), len(got.profiles), len(distinct))
	}
	for _, e := range got.events {
		order := e.Context["order"]
		canceled := states[order] == "canceled" || states[order] == "unavailable"
		if e.User != people[orders[order]] || e.Time == 0 || canceled != (e.Behavior == fusion.Cancel) {
			t.Fatalf("event %+v of order %s of customer %s, who is %s; its state is %s", e, order, orders[order], people[orders[order]], states[order])
		}
	}
}
