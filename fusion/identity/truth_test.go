package identity_test

import (
	"bytes"
	"encoding/csv"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// shop is the files of a generated shop.
type shop map[string]*bytes.Buffer

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }

func generate(t testing.TB, change func(*synthetic.Planted)) shop {
	t.Helper()
	cfg := synthetic.DefaultConfig(20_000, 6000, 20_000, 5)
	cfg.Planted = synthetic.DefaultPlanted()
	if change != nil {
		change(cfg.Planted)
	}
	s := shop{}
	if _, err := synthetic.Generate(t.Context(), cfg, func(name string) (io.WriteCloser, error) {
		s[name] = &bytes.Buffer{}
		return nopCloser{s[name]}, nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// table returns the rows of a file by column.
func table(t testing.TB, in io.Reader) []map[string]string {
	t.Helper()
	all, err := csv.NewReader(in).ReadAll()
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

func (s shop) rows(t testing.TB, name string) []map[string]string {
	t.Helper()
	return table(t, bytes.NewReader(s[name].Bytes()))
}

// quality is of pairs: which of those found are true, and which of those that are true were found.
type quality struct{ found, right, truth float64 }

func (q quality) precision() float64 { return q.right / q.found }
func (q quality) recall() float64    { return q.right / q.truth }
func (q quality) f1() float64        { return 2 * q.right / (q.found + q.truth) }

// pairwise compares a clustering with the truth, pair by pair. What is of nobody ("") is one with nothing.
func pairwise(truth, found map[string]string) quality {
	choose := func(n int) float64 { return float64(n) * float64(n-1) / 2 }
	inTruth, inFound, inBoth := map[string]int{}, map[string]int{}, map[[2]string]int{}
	for k, owner := range truth {
		inFound[found[k]]++
		if owner != "" {
			inTruth[owner]++
			inBoth[[2]string{owner, found[k]}]++
		}
	}
	var q quality
	for _, n := range inTruth {
		q.truth += choose(n)
	}
	for _, n := range inFound {
		q.found += choose(n)
	}
	for _, n := range inBoth {
		q.right += choose(n)
	}
	return q
}

func (q quality) check(t *testing.T, what string, precision, recall float64) {
	t.Helper()
	t.Logf("%s: precision %.4f, recall %.4f, F1 %.4f (%.0f pairs found, %.0f true)", what, q.precision(), q.recall(), q.f1(), q.found, q.truth)
	if !(q.precision() >= precision) || !(q.recall() >= recall) {
		t.Errorf("%s: precision %.4f, recall %.4f; want at least %.3f and %.3f", what, q.precision(), q.recall(), precision, recall)
	}
}

// linkKeys joins the keys of users by sightings, the table of devices, and pairs of accounts. It returns what each key was found to be, and whose it is.
func linkKeys(t *testing.T, s shop, accounts []identity.Pair) (*identity.Entities, map[string]string, map[string]string) {
	t.Helper()
	l, err := identity.NewLinks(identity.UserLinks("account", "cookie", "device"))
	if err != nil {
		t.Fatal(err)
	}
	add := func(a, b identity.Key) {
		t.Helper()
		if err := l.Add(a, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range s.rows(t, synthetic.SightingsFile) {
		account, cookie, device := key("account", r["account"]), key("cookie", r["cookie"]), key("device", r["device"])
		add(cookie, device)
		add(account, cookie)
		add(account, device)
	}
	for _, r := range s.rows(t, synthetic.IdentitiesFile) {
		add(key("account", r["user"]), key("device", r["device"]))
	}
	for _, p := range accounts {
		add(key("account", p.A), key("account", p.B))
	}
	truth, found := map[string]string{}, map[string]string{}
	whose := func(k identity.Key, user string) {
		if err := l.AddKey(k); err != nil {
			t.Fatal(err)
		}
		truth[k.String()] = user
	}
	for _, r := range s.rows(t, synthetic.TruthAccountsFile) {
		whose(key("account", r["account"]), r["user"])
	}
	for _, r := range s.rows(t, synthetic.TruthKeysFile) {
		whose(key(r["kind"], r["key"]), r["user"])
	}
	e, err := l.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for canonical, keys := range e.All() {
		for _, k := range keys {
			found[k.String()] = canonical.String()
		}
	}
	r := e.Report
	t.Logf("%d keys, %d links, %d entities; ignored %v; hubs %v, %d links dropped; %d glued; largest %v with %d keys",
		r.Keys, r.Links, r.Entities, r.Ignored, r.Hubs, r.Dropped, r.Glued, r.Largest, r.LargestKeys)
	return e, found, truth
}

func TestPlantedLinks(t *testing.T) {
	s := generate(t, func(p *synthetic.Planted) { p.Twice = 0 })
	e, found, truth := linkKeys(t, s, nil)
	pairwise(truth, found).check(t, "links", 0.99, 0.99)
	if len(e.Report.Ignored) != 2 || e.Report.Hubs["device"] == 0 || len(e.Report.Samples) == 0 {
		t.Errorf("nothing was ignored or no hub was found: %+v", e.Report)
	}
}

func matchAccounts(t *testing.T, s shop, change func(*identity.MatchConfig)) ([]identity.Pair, identity.MatchReport) {
	t.Helper()
	cfg := identity.PersonMatch()
	cfg.Options.Country = "49"
	if change != nil {
		change(&cfg)
	}
	m, err := identity.NewMatcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.rows(t, synthetic.AccountsFile) {
		if err := m.Add(r["account"], []string{r["email"], r["phone"], r["name"], r["postcode"], r["name"]}); err != nil {
			t.Fatal(err)
		}
	}
	pairs, report, err := m.Match(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pairs, report
}

// grouped returns what each key is when pairs are joined.
func grouped(t *testing.T, truth map[string]string, pairs []identity.Pair) map[string]string {
	t.Helper()
	l, err := identity.NewLinks(identity.ProductLinks("x"))
	if err != nil {
		t.Fatal(err)
	}
	for k := range truth {
		if err := l.AddKey(key("x", k)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		if err := l.Add(key("x", p.A), key("x", p.B)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := l.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for k := range truth {
		c, ok := e.Canonical(key("x", k))
		if !ok {
			t.Fatalf("%s got lost", k)
		}
		found[k] = c.Text
	}
	return found
}

func TestPlantedAccounts(t *testing.T) {
	s := generate(t, nil)
	truth := map[string]string{}
	for _, r := range s.rows(t, synthetic.TruthAccountsFile) {
		truth[r["account"]] = r["user"]
	}
	pairs, report := matchAccounts(t, s, nil)
	for _, w := range report.Weights {
		t.Logf("%-8s m %.4f u %.2e: %+.1f bits, %+.1f bits", w.Field, w.M, w.U, w.Agree, w.Disagree)
	}
	t.Logf("threshold %.1f bits; %d pairs compared, %d matched, %d joined, %d refused, %d blocks too large", report.Threshold, report.Compared, report.Matched,
		report.Joined, report.Refused, report.Oversized)
	found := grouped(t, truth, pairs)
	q := pairwise(truth, found)
	q.check(t, "scored accounts", 0.98, 0.90)
	if q.f1() < 0.95 {
		t.Errorf("F1 of scored accounts is %.4f, want at least 0.95", q.f1())
	}

	probabilities := []float64{0.5, 0.8, 0.9, 0.95, 0.99}
	if testing.Short() {
		probabilities = []float64{0.8} // one goroutine does the same for all
	}
	for _, p := range probabilities {
		others, _ := matchAccounts(t, s, func(c *identity.MatchConfig) { c.Probability = p })
		q := pairwise(truth, grouped(t, truth, others))
		t.Logf("at probability %v: precision %.4f, recall %.4f, F1 %.4f", p, q.precision(), q.recall(), q.f1())
		if p == 0.8 {
			q.check(t, "scored accounts at 0.8", 0.95, 0.95)
		}
	}
	// With a secret the result is the same.
	hashed, _ := matchAccounts(t, s, func(c *identity.MatchConfig) { c.Secret = []byte("secret") })
	if !slices.Equal(hashed, pairs) {
		t.Errorf("%d pairs with a secret, %d without; want the same", len(hashed), len(pairs))
	}

	_, all, owners := linkKeys(t, s, pairs)
	pairwise(owners, all).check(t, "accounts, then links", 0.98, 0.97)
	_, all, _ = linkKeys(t, s, nil)
	q = pairwise(owners, all)
	t.Logf("links without scored accounts: precision %.4f, recall %.4f", q.precision(), q.recall())
}

func TestPlantedProducts(t *testing.T) {
	s := generate(t, nil)
	truth, changes := map[string]string{}, map[string]string{}
	for _, r := range s.rows(t, synthetic.TruthSKUsFile) {
		truth[r["sku"]] = r["item"]
		changes[r["sku"]] = r["changes"]
	}
	products := s.rows(t, synthetic.ProductsFile)
	for _, r := range products {
		truth[r["item"]] = r["item"]
	}
	for _, tt := range []struct {
		name              string
		synonyms          map[string]string
		attributes        []string
		half              bool // of the shop's catalog is missing, so that half of the supplier's listings have no counterpart, only similar ones
		precision, recall float64
	}{
		{"titles alone", nil, nil, false, 0.99, 0.86},
		{"titles and category", nil, []string{"category"}, false, 0.99, 0.86},
		{"titles, category, synonyms", synthetic.Synonyms(), []string{"category"}, false, 0.99, 0.90},
		{"titles, category, brand, synonyms", synthetic.Synonyms(), []string{"category", "brand"}, false, 0.99, 0.88},
		{"half missing: titles, category, synonyms", synthetic.Synonyms(), []string{"category"}, true, 0.88, 0.90},
		{"half missing: titles, category, brand, synonyms", synthetic.Synonyms(), []string{"category", "brand"}, true, 0.97, 0.88},
	} {
		if testing.Short() && tt.half != (len(tt.attributes) == 2) {
			continue // one goroutine does the same for all
		}
		truth := maps.Clone(truth)
		cfg := identity.DefaultTitles()
		cfg.Synonyms = tt.synonyms
		titles, err := identity.NewTitles(cfg)
		if err != nil {
			t.Fatal(err)
		}
		add := func(source, key, title string, r map[string]string) {
			p := identity.Product{Key: key, Source: source, Title: title}
			for _, a := range tt.attributes {
				p.Attributes = append(p.Attributes, r[a])
			}
			if err := titles.Add(p); err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range products {
			if tt.half && i%2 == 1 {
				delete(truth, r["item"])
				continue
			}
			add("shop", r["item"], r["name"], r)
		}
		for _, r := range s.rows(t, synthetic.SupplierFile) {
			add("supplier", r["sku"], r["title"], r)
		}
		pairs, report, err := titles.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d listings, %d pairs compared, %d matched, %d joined", tt.name, report.Products, report.Compared, report.Matched, report.Joined)
		found := grouped(t, truth, pairs)
		pairwise(truth, found).check(t, tt.name, tt.precision, tt.recall)
		if tt.half {
			continue
		}
		all, missed := map[string]int{}, map[string]int{}
		for sku, change := range changes {
			for _, c := range strings.Fields(change) {
				all[c]++
				if found[sku] != found[truth[sku]] {
					missed[c]++
				}
			}
		}
		t.Logf("missed by change: %v of %v", missed, all)
	}
}

// TestPlantedConflicts settles brand, price and weight of products that three sources have.
func TestPlantedConflicts(t *testing.T) {
	s := generate(t, nil)
	day := func(text string) int64 {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d.UnixMilli()
	}
	item := map[string]string{}
	for _, r := range s.rows(t, synthetic.TruthSKUsFile) {
		item[r["sku"]] = r["item"]
	}
	claims := map[string]map[string][]identity.Claim{"brand": {}, "price": {}, "weight_g": {}}
	read := func(source, file, date string, key func(map[string]string) string, cents bool) {
		for i, r := range s.rows(t, file) {
			number := func(text string) record.Value {
				if text == "" {
					return record.Value{}
				}
				x, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				return record.OfNumber(x)
			}
			price := number(r["price"])
			if cents {
				price = record.OfNumber(number(r["price_cents"]).Number() / 100)
			}
			for field, v := range map[string]record.Value{"brand": record.OfText(r["brand"]), "price": price, "weight_g": number(r["weight_g"])} {
				claims[field][key(r)] = append(claims[field][key(r)], identity.Claim{
					Value: v, Place: record.Place{Source: source, Line: int64(i + 2)}, Time: day(r[date]), Timed: true,
				})
			}
		}
	}
	read("shop", synthetic.ProductsFile, "added", func(r map[string]string) string { return r["item"] }, false)
	read("supplier", synthetic.SupplierFile, "updated", func(r map[string]string) string { return item[r["sku"]] }, true)
	read("market", synthetic.MarketplaceFile, "updated", func(r map[string]string) string { return r["item"] }, false)
	for _, tt := range []struct {
		field string
		rule  identity.Rule
		least float64 // of what can be known
	}{
		{"brand", identity.Rule{Method: identity.Majority, Order: []string{"shop"}}, 0.995},
		{"price", identity.Rule{Method: identity.Newest}, 1},
		{"weight_g", identity.Rule{Method: identity.Trust, Order: []string{"supplier", "market"}}, 0.9},
	} {
		right, conflicts, all := 0, 0, 0
		for _, r := range s.rows(t, synthetic.TruthAttributesFile) {
			got := tt.rule.Settle(claims[tt.field][r["item"]])
			if got.Value.IsNull() {
				continue
			}
			all++
			if got.Conflict() {
				conflicts++
			}
			want := r[tt.field]
			if x, err := strconv.ParseFloat(want, 64); err == nil && got.Value.Type() == record.Number {
				if math.Abs(x-got.Value.Number()) < 0.001 {
					right++
				}
			} else if got.Value.Text() == want {
				right++
			}
		}
		t.Logf("%s by %v: %d of %d right, %d with a conflict", tt.field, tt.rule.Method, right, all, conflicts)
		if conflicts == 0 || float64(right)/float64(all) < tt.least {
			t.Errorf("%s by %v: %d of %d right, %d with a conflict; want conflicts, and a share of at least %v", tt.field, tt.rule.Method, right, all, conflicts, tt.least)
		}
	}
}

// TestOlistCustomers joins the customer of each order to the person. Every order has a customer id of its own there.
func TestOlistCustomers(t *testing.T) {
	f, err := os.Open(datatest.File(t, "olist/olist_customers_dataset.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	l, err := identity.NewLinks(identity.UserLinks("person", "customer"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table(t, f) {
		if err := l.Add(key("customer", r["customer_id"]), key("person", r["customer_unique_id"])); err != nil {
			t.Fatal(err)
		}
	}
	e, err := l.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.Report.Entities != 8016 || e.Report.ByKind["customer"] != 8135 || len(e.Report.Hubs) != 0 {
		t.Errorf("%+v; want 8016 persons of 8135 customers, and no hub", e.Report)
	}
}
