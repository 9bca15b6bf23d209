package clean

import (
	"bytes"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// shop is the files of a generated shop.
type shop map[string]*shopFile

type shopFile struct{ bytes.Buffer }

func (*shopFile) Close() error { return nil }

// generateShop makes a shop with a share of fraudulent users.
func generateShop(t testing.TB, fraud float64) (shop, *synthetic.Summary) {
	t.Helper()
	files := shop{}
	cfg := synthetic.DefaultConfig(3000, 600, 120_000, 1)
	cfg.Fraud = fraud
	summary, err := synthetic.Generate(t.Context(), cfg, func(name string) (io.WriteCloser, error) {
		files[name] = &shopFile{}
		return files[name], nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return files, summary
}

// readCSV returns a file as records of texts; empty fields are missing.
func readCSV(t testing.TB, in io.Reader, comma rune) *list {
	t.Helper()
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.LazyQuotes, r.Comma = -1, true, comma
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	l := &list{}
	for _, name := range rows[0] {
		l.fields = append(l.fields, record.Field{Name: name, Type: record.Text})
	}
	for i, row := range rows[1:] {
		rec := record.Record{Place: record.Place{Source: "shop", Line: int64(i + 2)}, Values: make([]record.Value, len(l.fields))}
		for j, text := range row {
			if text != "" {
				rec.Values[j] = record.OfText(text)
			}
		}
		l.rows = append(l.rows, rec)
	}
	return l
}

// shopRules clean the logs of a generated shop.
const shopRules = `
clean:
  - {rule: text, fields: [user, item]}
  - {rule: missing, fields: [user, item, event, STATUS], with: drop}
  - {rule: pattern, fields: [STATUS], match: '^[a-z]+$'}
  - {rule: repair, fields: [time], as: time}
NUMBERS  - {rule: duplicates, fields: [event]}
`

// rulesOf returns the rules for a log: the names of the columns differ, and one has numbers. Damaged copies carry the id of the good row, so what finds
// them stands before what finds duplicates.
func rulesOf(log string) string {
	status, numbers := "behavior", ""
	if log == synthetic.OrdersFile {
		status, numbers = "status", "  - {rule: repair, name: numbers, fields: [quantity], as: number}\n"
	}
	return strings.NewReplacer("STATUS", status, "NUMBERS", numbers).Replace(shopRules)
}

// score is how well records were found.
type score struct{ found, right, planted int }

func (s score) precision() float64 { return float64(s.right) / float64(max(s.found, 1)) }
func (s score) recall() float64    { return float64(s.right) / float64(max(s.planted, 1)) }

func (s score) log(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d planted, %d found, %d of them right: precision %.4f, recall %.4f", what, s.planted, s.found, s.right, s.precision(), s.recall())
}

// TestPlantedDirt finds exactly the planted rows in both logs, in little memory.
func TestPlantedDirt(t *testing.T) {
	files, summary := generateShop(t, 0.005)
	kept := 0
	for _, name := range []string{synthetic.EventsFile, synthetic.OrdersFile} {
		in := readCSV(t, &files[name].Buffer, ',')
		out := clean(t, t.TempDir(), in, parse(t, rulesOf(name)), Options{MemoryLimit: 1 << 18})
		kept += len(out.rows)
		found := map[string]int64{}
		duplicates := score{planted: int(summary.Dirty[name]["duplicate"])}
		seen := map[record.Value]bool{}
		rejected := map[int64]string{}
		for _, r := range out.rejected {
			rejected[r.Record.Place.Line] = r.Rule
		}
		at := record.FieldIndex(in.fields, "event")
		var last []record.Value
		for _, r := range in.rows {
			if rule, ok := rejected[r.Place.Line]; ok {
				found[rule]++
				if rule == "duplicates" {
					duplicates.found++
					// A planted duplicate stands right behind its original, and is the same.
					if same := seen[r.Values[at]] && equalValues(last, r.Values); same {
						duplicates.right++
					}
				}
			}
			seen[r.Values[at]] = true
			last = r.Values
		}
		duplicates.log(t, name+" duplicates")
		if duplicates.precision() != 1 || duplicates.recall() != 1 {
			t.Errorf("%s: %+v", name, duplicates)
		}
		dirty := summary.Dirty[name]
		t.Logf("%s: planted %v, found %v", name, dirty, found)
		if n := dirty["bad_number"]; name == synthetic.OrdersFile && out.report.Rules[4].Rejected != n {
			t.Errorf("%d bad numbers, want %d", out.report.Rules[4].Rejected, n)
		}
		if got := out.report.Rules[0].Changed; got != dirty["blanks"] {
			t.Errorf("%s: %d rows with blanks, want %d", name, got, dirty["blanks"])
		}
		if got := out.report.Rules[3].Rejected; got != dirty["bad_time"] {
			t.Errorf("%s: %d bad times, want %d", name, got, dirty["bad_time"])
		}
	}
	if int64(kept) != summary.Events {
		t.Errorf("%d good rows, want %d", kept, summary.Events)
	}
}

func equalValues(a, b []record.Value) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestPlantedOutliers looks for the order lines of fraudulent users by their quantities, and for prices that a slip of the decimal point
// has made a hundred times as large.
func TestPlantedOutliers(t *testing.T) {
	files, _ := generateShop(t, 0.005)
	fraud := map[string]bool{}
	for _, r := range readCSV(t, &files[synthetic.TruthOrdersFile].Buffer, ',').rows {
		fraud[r.Values[0].Text()] = true
	}
	orders := readCSV(t, &files[synthetic.OrdersFile].Buffer, ',')
	order := record.FieldIndex(orders.fields, "order")
	cfg := parse(t, `
clean:
  - {rule: repair, fields: [quantity], as: number, action: "null"}
  - {rule: outliers, fields: [quantity], method: zscore}
`)
	out := clean(t, t.TempDir(), orders, cfg, Options{MemoryLimit: 1 << 18})
	s := score{found: len(out.rejected)}
	for _, r := range orders.rows {
		if fraud[r.Values[order].Text()] {
			s.planted++
		}
	}
	for _, r := range out.rejected {
		if fraud[r.Record.Values[order].Text()] {
			s.right++
		}
	}
	s.log(t, "quantities of fraudulent orders, by z-score")
	if s.precision() < 0.95 || s.recall() < 0.7 {
		t.Errorf("precision %.3f, recall %.3f", s.precision(), s.recall())
	}

	products := readCSV(t, &files[synthetic.ProductsFile].Buffer, ',')
	price := record.FieldIndex(products.fields, "price")
	slips := map[int64]bool{}
	for i := 0; i < len(products.rows); i += 40 {
		r := &products.rows[i]
		x, err := strconv.ParseFloat(r.Values[price].Text(), 64)
		if err != nil {
			t.Fatal(err)
		}
		r.Values[price] = record.OfText("$" + strconv.FormatFloat(100*x, 'f', 2, 64))
		slips[r.Place.Line] = true
	}
	for _, method := range []string{"iqr", "modified_zscore", "zscore"} {
		cfg := parse(t, `
clean:
  - {rule: repair, fields: [price], as: number}
  - {rule: normalize, fields: [price], method: log1p}
  - {rule: outliers, fields: [price], by: category, method: `+method+`}
`)
		s := score{planted: len(slips)}
		for _, r := range clean(t, t.TempDir(), products, cfg, Options{}).rejected {
			s.found++
			if slips[r.Record.Place.Line] {
				s.right++
			}
		}
		s.log(t, "prices a hundred times too large, by "+method)
		// A cheap article that costs a hundred times as much may still cost what others of its category do.
		if s.precision() < 0.9 || s.recall() < 0.6 {
			t.Errorf("%s: precision %.3f, recall %.3f", method, s.precision(), s.recall())
		}
	}
}

// TestPlantedBots finds the users of the pattern burst, by user or by device, with the default thresholds.
func TestPlantedBots(t *testing.T) {
	files, _ := generateShop(t, 0.02)
	burst, device := map[string]bool{}, map[string]string{}
	for _, r := range readCSV(t, &files[synthetic.TruthUsersFile].Buffer, ',').rows {
		if r.Values[len(r.Values)-1].Text() == "burst" {
			burst[r.Values[0].Text()] = true
		}
	}
	for _, r := range readCSV(t, &files[synthetic.IdentitiesFile].Buffer, ',').rows {
		device[r.Values[0].Text()] = r.Values[1].Text()
	}
	in := readCSV(t, &files[synthetic.EventsFile].Buffer, ',')
	cfg := parse(t, rulesOf(synthetic.EventsFile)+"  - {rule: bots, user: user, time: time, item: item}\n")
	out := clean(t, t.TempDir(), in, cfg, Options{MemoryLimit: 1 << 18})
	user := record.FieldIndex(in.fields, "user")
	var s score
	found, events := map[string]bool{}, map[string]int{}
	for _, r := range out.rows {
		u := r.Values[user].Text()
		events[u]++
		if r.Values[len(r.Values)-1].Bool() {
			found[u] = true
		}
	}
	for u, n := range events {
		owner := u
		if o, ok := device[u]; ok {
			owner = o
		}
		// A visit has 15 clicks at least; who has no visit of more than the threshold cannot be told.
		if burst[owner] && n > DefaultBotEvents {
			s.planted++
		}
		if found[u] {
			s.found++
			if burst[owner] {
				s.right++
			}
		}
	}
	s.log(t, "users and devices of the pattern burst with more than 24 events")
	if s.precision() != 1 || s.recall() < 0.8 || s.planted < 10 {
		t.Errorf("precision %.3f, recall %.3f of %d", s.precision(), s.recall(), s.planted)
	}
}

// TestRealUsersAreNoBots runs the default thresholds over two real logs, in which nothing is known to be a bot.
func TestRealUsersAreNoBots(t *testing.T) {
	dir := datatest.Dir(t)
	for _, tt := range []struct {
		file        string
		comma       rune
		rules       string
		read, users float64
	}{
		{
			"retailrocket/events.csv", ',',
			"[{rule: repair, fields: [timestamp], as: time, layouts: [unix]}, {rule: bots, user: user, time: timestamp, item: item}]",
			97381, 2174,
		},
		{
			"diginetica/sample_train-item-views.csv", ';',
			"[{rule: repair, fields: [timeframe], as: time, layouts: [unix_ms]}, {rule: bots, user: session_id, time: timeframe, item: item_id}]",
			12391, 2500,
		},
	} {
		f, err := os.Open(filepath.Join(dir, tt.file))
		if err != nil {
			t.Fatal(err)
		}
		in := readCSV(t, f, tt.comma)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		out := clean(t, t.TempDir(), in, parse(t, "clean: "+tt.rules), Options{MemoryLimit: 1 << 18})
		r := out.report.Rules[1]
		if float64(out.report.Kept) != tt.read || r.Changed != 0 || r.Statistics[0].Value < tt.users*0.9 {
			t.Errorf("%s: %d records kept, %d of bots, %v", tt.file, out.report.Kept, r.Changed, r.Statistics)
		}
		t.Logf("%s: %v", tt.file, r.Statistics)
	}
}
