package main

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/server/clustertest"
)

// featuresCluster is a cluster of one server with three users: one who has bought twice, one who gave back what was bought, one who only looked.
func featuresCluster(t *testing.T) (addr string) {
	t.Helper()
	addr = addrsOf(clustertest.Start(t, clustertest.Options{Servers: 1}))
	dir := t.TempDir()
	files := map[string]string{
		"orders.csv": `user,order,item,quantity,price,state,time
ann,1,tea,2,3.5,paid,2020-01-01T10:00:00Z
ann,1,cup,1,,paid,2020-01-01T10:00:00Z
ann,2,tea,1,4,paid,2020-01-03T12:00:00Z
bob,3,cup,1,6,paid,2020-01-02T10:00:00Z
bob,3,cup,1,6,returned,2020-01-02T11:00:00Z
`,
		"views.csv":      "user,item,behavior,time\ncat,tea,view,2020-01-04\ncat,cup,wish,2020-01-04\ncat,tea,view,2030-01-04\n",
		"products.jsonl": `{"key":"tea","version":1,"attributes":{"category":"drinks, hot","price":4}}` + "\n" + `{"key":"cup","version":1,"attributes":{"category":"kitchen","price":5}}`,
		"map.yaml": `sources:
  - name: orders
    kind: orders
    path: orders.csv
    fields: {user: user, order: order, item: item, quantity: quantity, price: price, time: time, status: {column: state, values: {paid: purchase, returned: cancel}}}
`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustKith(t, "ingest", "--addr", addr, "--mapping", filepath.Join(dir, "map.yaml"))
	mustKith(t, "ingest", "--addr", addr, filepath.Join(dir, "views.csv"))
	mustKith(t, "products", "put", "--addr", addr, filepath.Join(dir, "products.jsonl"))
	return addr
}

// TestFeatures prints features of users and products, all and some, in every form.
func TestFeatures(t *testing.T) {
	addr := featuresCluster(t)
	users := func(args ...string) []string {
		return append([]string{"users", "features", "--addr", addr, "--now", "2020-01-05"}, args...)
	}
	products := func(args ...string) []string {
		return append([]string{"products", "features", "--addr", addr, "--now", "2020-01-05"}, args...)
	}

	want := `USER  EVENTS  ITEMS  ORDERS  REVENUE  LAST ORDER  DAYS AGO  SESSIONS  CATEGORY         PRICE
ann        3      2       2    16.00  2020-01-03       1.5         2  drinks, hot 75%   4.00
cat        2      2       0     0.00                             1  drinks, hot 100%   4.00
`
	got := kith(t, nil, users("cat", "ann", "nobody", "ann")...)
	if got.code != exitOK || squeezed(got.out) != squeezed(want) || got.err != "1 user has no events as of 2020-01-05T00:00:00Z\n" {
		t.Errorf("code %d, printed\n%s%s\nwant\n%s", got.code, got.out, got.err, want)
	}
	want = `PRODUCT  EVENTS  USERS  BUYERS  CONVERSION  SOLD  CANCELED  REVENUE  FIRST       LAST
cup           4      3       1       33.3%     1         1     5.00  2020-01-01  2020-01-04
tea           3      2       1       50.0%     3         0    11.00  2020-01-01  2020-01-04
`
	if got := mustKith(t, products("--all")...); squeezed(got) != squeezed(want) {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	if got := mustKith(t, products("cup")...); squeezed(got) != squeezed(want[:strings.LastIndex(want, "tea")]) {
		t.Errorf("printed\n%s", got)
	}
	if got := mustKith(t, products("cup", "--price-attribute", "nothing")...); !strings.Contains(got, " 0.00 ") {
		t.Errorf("without a price in the catalog: printed\n%s", got)
	}

	rows := featureLines(t, mustKith(t, users("--all", "-o", "json")...))
	if !slices.Equal(keysOf(rows), []string{"ann", "bob", "cat"}) {
		t.Fatalf("users %v", keysOf(rows))
	}
	days := 1.5
	ann := userFeatures{
		Key: "ann", RecencyDays: &days, RFM: &view.RFM{Recency: 1, Frequency: 1, Monetary: 1},
		User: view.User{
			Events: map[fusion.Behavior]int{fusion.Purchase: 3}, Items: 2, First: 1577872800000, Last: 1578052800000, LastOrder: 1578052800000,
			Orders: 2, Revenue: 16, Quantity: 4, Sessions: view.Sessions{Count: 2, Events: 1.5, Converted: 1},
			Categories: []view.Share{{Name: "drinks, hot", Share: 0.75}, {Name: "kitchen", Share: 0.25}},
			Prices:     &view.Prices{Mean: 4.25, Low: 4, Median: 4, High: 4},
		},
	}
	if diff := cmp.Diff(ann, rows[slices.Index(keysOf(rows), "ann")]); diff != "" {
		t.Errorf("ann: -want +got:\n%s", diff)
	}
	for _, x := range rows {
		if x.Key != "ann" && (x.RFM == nil || *x.RFM != view.RFM{} || x.RecencyDays != nil) {
			t.Errorf("%s has bought nothing, and has classes %v and recency %v", x.Key, x.RFM, x.RecencyDays)
		}
	}
	for _, x := range featureLines(t, mustKith(t, users("--all", "--no-rfm", "-o", "json")...)) {
		if x.RFM != nil {
			t.Errorf("%s has classes %v in spite of --no-rfm", x.Key, x.RFM)
		}
	}
	if one := featureLines(t, mustKith(t, users("ann", "--session-gap", "100h", "-o", "json")...)); one[0].Sessions.Count != 1 {
		t.Errorf("with a gap of 100 hours: %+v", one[0].Sessions)
	}
	if one := featureLines(t, mustKith(t, users("cat", "--now", "2031-01-01", "--stale", "-o", "json")...)); one[0].Events[fusion.View] != 2 {
		t.Errorf("in 2031: %+v", one[0])
	}

	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	said := mustKith(t, users("--all", "--out", file("u.csv"))...)
	if !strings.HasPrefix(said, file("u.csv")+": 3 users, as of 2020-01-05T00:00:00Z, in ") {
		t.Errorf("printed %q", said)
	}
	mustKith(t, users("--all", "--out", file("u.jsonl"))...)
	mustKith(t, users("--all", "--out", file("u.parquet"))...)
	if s := mustJSON[featureSummary](t, products("--all", "--out", file("p.parquet"))...); s.Rows != 2 || s.File != file("p.parquet") {
		t.Errorf("summary %+v", s)
	}
	mustKith(t, products("--all", "--out", file("p.csv"))...)
	b, err := os.ReadFile(file("u.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows, featureLines(t, string(b))); diff != "" {
		t.Errorf("file of lines: -want +got:\n%s", diff)
	}
	row := csvRow(t, file("u.csv"), "ann")
	for column, want := range map[string]string{
		"events_purchase": "3", "events_other": "0", "last_order_unix_ms": "1578052800000", "recency_days": "1.5", "revenue": "16", "rfm_monetary": "1",
		"category": "drinks, hot", "categories": `[{"name":"drinks, hot","share":0.75},{"name":"kitchen","share":0.25}]`, "price_mean": "4.25",
	} {
		if row[column] != want {
			t.Errorf("ann has %s %q in CSV, want %q", column, row[column], want)
		}
	}
	if got, want := slices.Sorted(maps.Keys(row)), columnsOf[userColumns](); !slices.Equal(got, want) {
		t.Errorf("CSV has the columns %v, Parquet %v", got, want)
	}
	if row := csvRow(t, file("u.csv"), "cat"); row["recency_days"] != "" || row["events_other"] != "1" || row["events_view"] != "1" {
		t.Errorf("cat is %v in CSV", row)
	}
	if got, want := slices.Sorted(maps.Keys(csvRow(t, file("p.csv"), "cup"))), columnsOf[productColumns](); !slices.Equal(got, want) {
		t.Errorf("CSV has the columns %v, Parquet %v", got, want)
	}
	flat, err := parquet.ReadFile[userColumns](file("u.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(flat, func(a, b userColumns) int { return strings.Compare(a.User, b.User) })
	for i := range rows {
		if diff := cmp.Diff(flatUser(&rows[i]), flat[i], cmp.AllowUnexported(userColumns{})); diff != "" {
			t.Errorf("Parquet: -want +got:\n%s", diff)
		}
	}
	if st, err := os.Stat(file("u.csv")); err != nil || st.Mode().Perm() != backupMode {
		t.Errorf("the file of users has mode %v, error %v, want %v", st.Mode(), err, os.FileMode(backupMode))
	}
}

// squeezed takes the blanks between columns together.
func squeezed(table string) string {
	var out []string
	for line := range strings.Lines(table) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

// featureLines decodes lines of JSON, and orders them by user.
func featureLines(t *testing.T, text string) (out []userFeatures) {
	t.Helper()
	for line := range strings.Lines(text) {
		var x userFeatures
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b userFeatures) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func keysOf(rows []userFeatures) (keys []string) {
	for _, x := range rows {
		keys = append(keys, x.Key)
	}
	return keys
}

// csvRow returns the row of a CSV file whose first cell is key, by column.
func csvRow(t *testing.T, path, key string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	cells, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	row := map[string]string{}
	for _, line := range cells[1:] {
		for i := range line {
			if line[0] == key {
				row[cells[0][i]] = line[i]
			}
		}
	}
	return row
}

// columnsOf returns the columns of a Parquet file, ascending.
func columnsOf[F any]() (columns []string) {
	for _, path := range parquet.SchemaOf(*new(F)).Columns() {
		columns = append(columns, strings.Join(path, "."))
	}
	slices.Sort(columns)
	return columns
}

func TestFeaturesUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"users"}, "no key"},
		{[]string{"users", "--all", "u"}, "--all, and 1 key"},
		{[]string{"users", "--all", "--stale"}, "--stale is for some keys"},
		{[]string{"users", "--no-rfm", "u"}, "--no-rfm goes with --all"},
		{[]string{"users", "--now", "yesterday", "u"}, `--now "yesterday"`},
		{[]string{"users", "--session-gap", "-1s", "u"}, "--session-gap is -1s"},
		{[]string{"products", "--all", "--out", "table.txt"}, ".parquet, .csv or .jsonl"},
		{[]string{"products", ""}, "it has no key"},
	} {
		checkUsage(t, kith(t, nil, append([]string{c.args[0], "features"}, c.args[1:]...)...), []string{c.want})
	}
}
