package clean

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/kith-io/kith/fusion/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a stream of records in memory.
type list struct {
	fields []record.Field
	rows   []record.Record
	at     int
	fail   error // in the place of io.EOF
	shared []record.Value
}

func (l *list) Fields() []record.Field { return l.fields }

// Next overwrites the record before, as streams may.
func (l *list) Next() (record.Record, error) {
	if l.at == len(l.rows) {
		if l.fail != nil {
			return record.Record{}, l.fail
		}
		return record.Record{}, io.EOF
	}
	r := l.rows[l.at]
	l.at++
	l.shared = append(l.shared[:0], r.Values...)
	r.Values = l.shared
	return r, nil
}

// table makes records of fields and rows of values: nil is missing, a string text, a float64 or int a number, an int64 a moment.
func table(fields []record.Field, rows ...[]any) *list {
	l := &list{fields: fields}
	for i, row := range rows {
		r := record.Record{Place: record.Place{Source: "test", Line: int64(i + 1)}}
		for _, v := range row {
			r.Values = append(r.Values, value(v))
		}
		l.rows = append(l.rows, r)
	}
	return l
}

func value(v any) record.Value {
	switch v := v.(type) {
	case string:
		return record.OfText(v)
	case float64:
		return record.OfNumber(v)
	case int:
		return record.OfNumber(float64(v))
	case int64:
		return record.OfTime(v)
	case bool:
		return record.OfBool(v)
	}
	return record.Value{}
}

// parse reads rules.
func parse(t testing.TB, text string) Config {
	t.Helper()
	var file struct {
		Clean Config `yaml:"clean"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return file.Clean
}

// result is all that came out of a run.
type result struct {
	rows     []record.Record
	rejected []Rejection
	report   *Report
}

// clean runs rules and checks that nothing is left on disk.
func clean(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, dir string, in *list, cfg Config, o Options,
) result {
	t.Helper()
	var out result
	o.TempDir = dir
	o.Reject = func(r Rejection) error {
		r.Record = r.Record.Clone()
		out.rejected = append(out.rejected, r)
		return nil
	}
	in.at = 0
	var err error
	out.report, err = Run(testContext(t), in, cfg, o, func(r record.Record) error {
		out.rows = append(out.rows, r.Clone())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Fatalf("left in the folder for temporary files: %v %v", left, err)
	}
	return out
}

// column returns the values of a field as text.
func (r result) column(t testing.TB, cfg Config, in *list, name string) []string {
	t.Helper()
	fields, err := cfg.Fields(in.fields)
	if err != nil {
		t.Fatal(err)
	}
	at := record.FieldIndex(fields, name)
	var out []string
	for _, row := range r.rows {
		out = append(out, row.Values[at].String())
	}
	return out
}

// lines returns the lines of records.
func lines(rows []record.Record) []int64 {
	out := make([]int64, len(rows))
	for i, r := range rows {
		out[i] = r.Place.Line
	}
	return out
}

func wantSlice[T comparable](t testing.TB, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

var errTest = errors.New("test")
