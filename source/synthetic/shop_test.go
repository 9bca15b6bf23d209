package synthetic

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory collects files in memory.
type memory map[string]*memoryFile

type memoryFile struct {
	bytes.Buffer
	closed bool
}

func (f *memoryFile) Close() error { f.closed = true; return nil }

func (m memory) create(name string) (io.WriteCloser, error) {
	f := &memoryFile{}
	m[name] = f
	return f, nil
}

// rows returns the rows of a file by column name, without the header. Rows may be short.
func (m memory) rows(t testing.TB, name string) []map[string]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(m[name].Bytes()))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]map[string]string, 0, len(all)-1)
	for _, fields := range all[1:] {
		row := make(map[string]string, len(fields))
		for i, f := range fields {
			row[all[0][i]] = f
		}
		out = append(out, row)
	}
	return out
}

func (m memory) truth(t testing.TB) Truth {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(m[TruthFile].Bytes()))
	d.DisallowUnknownFields()
	var out Truth
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func generate(t testing.TB, cfg Config) (memory, *Summary) {
	t.Helper()
	m := memory{}
	s, err := Generate(context.Background(), cfg, m.create, nil) //nolint:usetesting // theShop belongs to no test
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range m {
		if !f.closed {
			t.Errorf("%s is not closed", name)
		}
	}
	return m, s
}

// row is a good row of either log, or one of several copies.
type row struct {
	time               time.Time
	id, user, item     string
	session, order     string
	behavior           string
	quantity           int
	price              float64
	padded, fromOrders bool
}

// log is what a careful reader makes of both logs.
type log struct {
	rows []row // both logs, each in its order
	dirt map[string]map[string]int64
}

// readLog reads both logs without knowing where faults were planted.
func readLog(t testing.TB, m memory) log {
	t.Helper()
	l := log{dirt: map[string]map[string]int64{}}
	for _, name := range []string{EventsFile, OrdersFile} {
		l.dirt[name] = map[string]int64{}
		columns := 6
		if name == OrdersFile {
			columns = 9
		}
		seen := ""
		for _, f := range m.rows(t, name) {
			fault := func(kind string) { l.dirt[name][kind]++ }
			if len(f) < columns {
				fault("short_row")
				continue
			}
			r := row{id: f["event"], user: strings.TrimSpace(f["user"]), item: strings.TrimSpace(f["item"]), session: f["session"], order: f["order"]}
			r.padded = r.user != f["user"] || r.item != f["item"]
			r.fromOrders = name == OrdersFile
			r.behavior = f["behavior"] + f["status"]
			var err error
			if r.time, err = time.Parse(time.RFC3339, f["time"]); err != nil {
				fault("bad_time")
				continue
			}
			if r.fromOrders {
				if r.quantity, err = strconv.Atoi(f["quantity"]); err != nil {
					fault("bad_number")
					continue
				}
				if r.price, err = strconv.ParseFloat(f["price"], 64); err != nil || r.price <= 0 {
					t.Fatalf("price in %v: %v", f, err)
				}
			}
			switch {
			case r.user == "":
				fault("missing_user")
			case r.item == "":
				fault("missing_item")
			case !known(r.behavior, r.fromOrders):
				fault("bad_behavior")
			case r.id == seen:
				fault("duplicate")
			default:
				if r.padded {
					fault("blanks")
				}
				seen = r.id
				l.rows = append(l.rows, r)
			}
		}
	}
	return l
}

func known(name string, order bool) bool {
	for b, n := range behaviorNames {
		if n == name {
			return order == (behavior(b) >= purchase)
		}
	}
	return false
}
