package pipeline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kith-io/kith/catalog"
)

// largeLineage is one with as much of everything as there can be.
func largeLineage() *Lineage {
	l := &Lineage{KeyCount: 70, RowCount: 90, Fields: map[string]LineageField{}}
	for i := range maxKeys {
		l.Keys = append(l.Keys, LineageKey{"cookie", fmt.Sprintf("%d%s", i, strings.Repeat("c", 200))})
	}
	for i := range maxRows {
		l.Rows = append(l.Rows, LineageRow{Source: "source", Line: int64(i)})
	}
	for i := range 30 {
		f := LineageField{Row: i, Method: "trust", Agree: 1, Others: 5}
		for k := range maxOthers {
			f.Next = append(f.Next, LineageOther{k, strings.Repeat("v", sampleBytes)})
		}
		l.Fields[fmt.Sprintf("field%02d", i)] = f
	}
	return l
}

// TestLineageThatIsTooLarge: of a lineage no more is left out than must be.
func TestLineageThatIsTooLarge(t *testing.T) {
	for _, c := range []struct {
		name                          string
		room                          int // of the record, for its lineage
		others, keys, fields, atLeast int
	}{
		{"room for all", 63 << 10, 3, maxKeys, 30, 45 << 10},
		{"for one other value each", 40 << 10, 1, maxKeys, 30, 20 << 10},
		{"for no others", 20 << 10, 0, maxKeys, 30, 10 << 10},
		{"for some keys", 10 << 10, 0, 20, 30, 5 << 10},
		{"for hardly any", 2300, 0, 1, 30, 1 << 10},
		{"for nothing but a row", 1 << 10, 0, 1, 0, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := catalog.Record{Key: "k", Attributes: []catalog.Attribute{{Name: "x", Value: catalog.Value{Type: catalog.Text, Text: strings.Repeat("x", catalog.MaxRecordBytes-c.room)}}}}
			if err := (&fuser{}).check(&rec, largeLineage()); err != nil {
				t.Fatal(err)
			}
			got, err := ParseLineage(rec.Places)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Keys) != c.keys || got.KeyCount != 70 || got.RowCount != 90 || len(got.Fields) != c.fields || len(rec.Places) < c.atLeast {
				t.Errorf("%d bytes, %d keys of %d, %d rows of %d, %d fields", len(rec.Places), len(got.Keys), got.KeyCount, len(got.Rows), got.RowCount, len(got.Fields))
			}
			for name, f := range got.Fields {
				if len(f.Next) != c.others || f.Row >= len(got.Rows) || f.Agree != 1 {
					t.Errorf("%s: %d others, row %d of %d", name, len(f.Next), f.Row, len(got.Rows))
				}
			}
		})
	}
	b, err := json.Marshal(largeLineage())
	if err != nil || len(b) > 63<<10 {
		t.Errorf("%d bytes, %v: the first case has no room for all", len(b), err)
	}
}
