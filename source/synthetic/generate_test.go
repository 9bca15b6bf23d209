package synthetic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is the hash of all files of a small shop. It changes when the output
// does, which users notice: say so in the change log.
const golden = "10fd719286ec03c1da260e5c4ccd6ccde2f57f81f26802ce6ce5f9816f3ab478"

func hash(m memory) string {
	h := sha256.New()
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		sum := sha256.Sum256(m[name].Bytes())
		h.Write([]byte(name))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	cfg := DefaultConfig(300, 200, 5000, 7)
	first, _ := generate(t, cfg)
	second, _ := generate(t, cfg)
	if a, b := hash(first), hash(second); a != b {
		t.Fatalf("two runs differ: %s and %s", a, b)
	}
	if got := hash(first); got != golden {
		t.Errorf("hash is %s; want %s", got, golden)
	}
	cfg.Seed = 8
	other, _ := generate(t, cfg)
	for _, name := range []string{ProductsFile, UsersFile, IdentitiesFile, EventsFile, OrdersFile, TruthFile} {
		if other[name].String() == first[name].String() {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
}

// TestCounts reads the files back: as many good rows as asked for, faults and counts as the truth
// says, everything in order of time, and all keys known.
func TestCounts(t *testing.T) {
	for _, cfg := range []Config{
		DefaultConfig(500, 300, 20_000, 1),
		DefaultConfig(1, 1, 1, 2),
		DefaultConfig(1, 1, 777, 3),
		DefaultConfig(10_000, 3, 1000, 4),
		DefaultConfig(5, 3000, 1000, 5),
		func() Config {
			c := DefaultConfig(100, 100, 10_000, 6)
			c.Days, c.Dirty, c.Fraud, c.Anonymous, c.NewItems, c.NewUsers = 1, 0.3, 0.5, 1, 0.9, 0.5
			return c
		}(),
	} {
		m, s := generate(t, cfg)
		l := readLog(t, m)
		if s.Events != cfg.Events || int64(len(l.rows)) != cfg.Events {
			t.Errorf("%d users, %d events: summary says %d events, the files have %d", cfg.Users, cfg.Events, s.Events, len(l.rows))
		}
		if d := cmp.Diff(l.dirt, s.Dirty); d != "" {
			t.Errorf("%d users, %d events: faults in the files (-) and in the summary (+):\n%s", cfg.Users, cfg.Events, d)
		}
		checkLog(t, m, l, s)
		truth := m.truth(t)
		files := truth.Summary.Files
		if d := cmp.Diff(append(files, File{TruthFile, 0, int64(m[TruthFile].Len())}), s.Files); d != "" {
			t.Errorf("files in the truth (-) and in the summary (+):\n%s", d)
		}
		for _, f := range s.Files {
			if int64(m[f.Name].Len()) != f.Bytes {
				t.Errorf("%s has %d bytes; the summary says %d", f.Name, m[f.Name].Len(), f.Bytes)
			}
			if strings.HasSuffix(f.Name, ".csv") && int64(strings.Count(m[f.Name].String(), "\n")) != f.Rows+1 {
				t.Errorf("%s has not the %d rows that the summary says", f.Name, f.Rows)
			}
		}
		truth.Summary.Files = s.Files
		if d := cmp.Diff(truth.Summary, s); d != "" {
			t.Errorf("summary in the truth (-) and returned (+):\n%s", d)
		}
		if d := cmp.Diff(truth.Config, cfg); d != "" {
			t.Errorf("configuration in the truth (-) and given (+):\n%s", d)
		}
	}
}

func checkLog(t *testing.T, m memory, l log, s *Summary) {
	t.Helper()
	items, users, devices := map[string]string{}, map[string]string{}, map[string]string{}
	for _, r := range m.rows(t, ProductsFile) {
		items[r["item"]] = r["added"]
	}
	for _, r := range m.rows(t, UsersFile) {
		users[r["user"]] = r["signup"]
	}
	for _, r := range m.rows(t, IdentitiesFile) {
		devices[r["device"]] = r["user"]
	}
	if len(items) != m.truth(t).Config.Items || len(users) != m.truth(t).Config.Users {
		t.Errorf("%d items and %d users", len(items), len(users))
	}
	behaviors := map[string]int64{"view": 0, "search": 0, "cart": 0, "purchase": 0, "cancel": 0}
	orders, canceled, owner := map[string]int64{}, map[string]int64{}, map[string]string{}
	anonymous, lines := int64(0), int64(0)
	for i, r := range l.rows {
		if i > 0 && r.fromOrders == l.rows[i-1].fromOrders && r.time.Before(l.rows[i-1].time) {
			t.Fatalf("row %v comes after %v", r, l.rows[i-1])
		}
		behaviors[r.behavior]++
		if u, ok := devices[r.user]; ok && !r.fromOrders {
			anonymous++
			r.user = u
		}
		day := r.time.Format("2006-01-02")
		if signup, ok := users[r.user]; !ok || signup > day {
			t.Fatalf("user %q of %v is unknown or signs up later, on %q", r.user, r, signup)
		}
		if added, ok := items[r.item]; !ok || added > day {
			t.Fatalf("item %q of %v is unknown or appears later, on %q", r.item, r, added)
		}
		switch r.behavior {
		case "purchase":
			orders[r.order]++
			lines++
			owner[r.order] = r.user
		case "cancel":
			canceled[r.order]++
			if owner[r.order] != r.user {
				t.Fatalf("%v cancels an order of %q", r, owner[r.order])
			}
		}
	}
	for o, n := range canceled {
		if orders[o] != n {
			t.Errorf("order %s has %d lines, of which %d are canceled", o, orders[o], n)
		}
	}
	got := Summary{
		Sessions: s.Sessions, Events: int64(len(l.rows)), Behaviors: behaviors, Orders: int64(len(orders)), Canceled: int64(len(canceled)),
		Lines: lines, Anonymous: anonymous, Dirty: l.dirt, Files: s.Files,
	}
	frauds := map[string]string{}
	for _, r := range m.rows(t, TruthUsersFile) {
		if r["fraud"] != "" {
			frauds[r["user"]] = r["fraud"]
		}
	}
	got.FraudUsers = int64(len(frauds))
	for _, r := range l.rows {
		if u, ok := devices[r.user]; ok {
			r.user = u
		}
		if frauds[r.user] != "" {
			got.FraudEvents++
		}
	}
	fraudOrders := map[string]string{}
	for _, r := range m.rows(t, TruthOrdersFile) {
		fraudOrders[r["order"]] = r["user"]
		if r["fraud"] != frauds[r["user"]] {
			t.Errorf("order %v is fraud, but not the user", r)
		}
	}
	for o, u := range owner {
		if (frauds[u] != "") != (fraudOrders[o] == u) {
			t.Errorf("order %s of %s: fraud of the user %q, order listed for %q", o, u, frauds[u], fraudOrders[o])
		}
	}
	got.FraudOrders = int64(len(fraudOrders))
	if d := cmp.Diff(&got, s); d != "" {
		t.Errorf("files (-) and summary (+):\n%s", d)
	}
}

func TestNamesAreUnique(t *testing.T) {
	m, _ := generate(t, DefaultConfig(1, 60_000, 1, 1)) // more than there are combinations
	seen := map[string]bool{}
	for _, r := range m.rows(t, ProductsFile) {
		if seen[r["name"]] {
			t.Fatalf("two items are named %q", r["name"])
		}
		seen[r["name"]] = true
	}
	if len(seen) != 60_000 {
		t.Errorf("%d names", len(seen))
	}
}

var errDisk = errors.New("disk full")

type failing struct{ closed *int }

func (f failing) Write([]byte) (int, error) { return 0, errDisk }
func (f failing) Close() error              { *f.closed++; return nil }

func TestErrors(t *testing.T) {
	cfg := DefaultConfig(100, 100, 50_000, 1)
	for _, name := range []string{ProductsFile, UsersFile, EventsFile, OrdersFile, MappingFile, TruthFile} {
		m, closed := memory{}, 0
		_, err := Generate(t.Context(), cfg, func(n string) (io.WriteCloser, error) {
			if n == name {
				return failing{&closed}, nil
			}
			return m.create(n)
		}, nil)
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), name) || closed != 1 {
			t.Errorf("%s cannot be written: error %v, %d times closed", name, err, closed)
		}
		_, err = Generate(t.Context(), cfg, func(n string) (io.WriteCloser, error) {
			if n == name {
				return nil, errDisk
			}
			return m.create(n)
		}, nil)
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s cannot be created: error %v", name, err)
		}
		for n, f := range m {
			if !f.closed {
				t.Errorf("%s cannot be created: %s stays open", name, n)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	last := int64(0)
	_, err := Generate(ctx, cfg, memory{}.create, func(done, total int64) {
		if last = done; total != cfg.Events {
			t.Errorf("total is %d", total)
		}
		stop()
	})
	if !errors.Is(err, context.Canceled) || last == 0 || last >= cfg.Events {
		t.Errorf("canceled after %d events: error %v", last, err)
	}
}

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"Users":          func(c *Config) { c.Users = 0 },
		"Items":          func(c *Config) { c.Items = -1 },
		"Events":         func(c *Config) { c.Events = 0 },
		"Days":           func(c *Config) { c.Days = 40_000 },
		"Clusters":       func(c *Config) { c.Clusters = c.Items + 1 },
		"Rules":          func(c *Config) { c.Rules = -1 },
		"Zipf":           func(c *Config) { c.Zipf = 6 },
		"Head":           func(c *Config) { c.Head = -1 },
		"Activity":       func(c *Config) { c.Activity = 4 },
		"Explore":        func(c *Config) { c.Explore = 2 },
		"NewItems":       func(c *Config) { c.NewItems = 1 },
		"NewUsers":       func(c *Config) { c.NewUsers = 1 },
		"Fraud":          func(c *Config) { c.Fraud = 1 },
		"Anonymous":      func(c *Config) { c.Anonymous = -1 },
		"Dirty":          func(c *Config) { c.Dirty = 1 },
		"Start":          func(c *Config) { c.Start = c.Start.AddDate(1000, 0, 0) },
		"Funnel.View":    func(c *Config) { c.Funnel.View.Exit += 0.1 },
		"Funnel.Start":   func(c *Config) { c.Funnel.Start = Step{View: 0.5, Exit: 0.5} },
		"Funnel.Cancel":  func(c *Config) { c.Funnel.Cancel = 1.1 },
		"Season.Growth":  func(c *Config) { c.Season.Growth = -1 },
		"Season.Weekly":  func(c *Config) { c.Season.Weekly[3] = 0 },
		"Season.Daily":   func(c *Config) { c.Season.Daily[23] = -1 },
		"Season.Yearly":  func(c *Config) { c.Season.Yearly = 1 },
		"Season.PeakDay": func(c *Config) { c.Season.PeakDay = 400 },
		"Season.Cluster": func(c *Config) { c.Season.Cluster = 1 },
	} {
		cfg := DefaultConfig(100, 100, 1000, 1)
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		m := memory{}
		_, err := Generate(t.Context(), cfg, m.create, nil)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), field) || len(m) > 0 {
			t.Errorf("%s out of bounds: error %v, %d files", field, err, len(m))
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	cfg := DefaultConfig(20_000, 5000, int64(b.N), 1)
	b.ReportAllocs()
	s, err := Generate(b.Context(), cfg, discard{}.create, nil)
	if err != nil {
		b.Fatal(err)
	}
	bytes := int64(0)
	for _, f := range s.Files {
		bytes += f.Bytes
	}
	b.SetBytes(bytes / int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

func (d discard) create(string) (io.WriteCloser, error) { return d, nil }
