package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kith-io/kith/fusion/identity"
)

// Lineage says what a record of the catalog was made of. It is kept as the record's places, in JSON.
type Lineage struct {
	// Keys are those of sources that are one with the record's, the canonical one first; at most maxKeys of KeyCount, and fewer where a record has no
	// room. Empty for a key that was joined to none.
	Keys     []LineageKey `json:"keys,omitempty"`
	KeyCount int          `json:"key_count,omitempty"`
	// Rows are those that the record was made of, at most maxRows of RowCount, as Keys are.
	Rows     []LineageRow `json:"rows,omitempty"`
	RowCount int          `json:"row_count"`
	// Fields say where each attribute comes from.
	Fields map[string]LineageField `json:"fields,omitempty"`
}

// Bounds of a lineage.
const (
	maxKeys   = 50
	maxRows   = 50
	maxOthers = 3
)

// LineageKey is a key of a source.
type LineageKey identity.Key

// MarshalJSON writes a key as a list of kind and text, which is short.
func (k LineageKey) MarshalJSON() ([]byte, error) { return json.Marshal([2]string{k.Kind, k.Text}) }

// UnmarshalJSON reads what MarshalJSON writes.
func (k *LineageKey) UnmarshalJSON(b []byte) error {
	var of [2]string
	if err := json.Unmarshal(b, &of); err != nil {
		return err
	}
	k.Kind, k.Text = of[0], of[1]
	return nil
}

// LineageRow is a row of a source, and the rules that changed it.
type LineageRow struct {
	Source string   `json:"source"`
	File   string   `json:"file,omitempty"`
	Line   int64    `json:"line"`
	Part   int      `json:"part,omitempty"`
	Rules  []string `json:"rules,omitempty"`
	// Changed is when the row was changed last, in Unix milliseconds, if it says so.
	Changed int64 `json:"changed_unix_ms,omitempty"`
}

// LineageField says where the value of an attribute comes from.
type LineageField struct {
	// Row is the place in Rows of the row with the value, -1 for one that is not among them.
	Row int `json:"row"`
	// Method chose it, among Agree rows with this value and Others with another one, of which the best are told.
	Method string         `json:"method,omitempty"`
	Agree  int            `json:"agree,omitempty"`
	Others int            `json:"others,omitempty"`
	Next   []LineageOther `json:"next,omitempty"`
}

// LineageOther is a value that did not count.
type LineageOther struct {
	Row   int    `json:"row"`
	Value string `json:"value"`
}

// ErrNoLineage means that the places of a record were not written by a run of a mapping.
var ErrNoLineage = errors.New("no lineage")

// ParseLineage reads the places of a record, or returns an error that matches ErrNoLineage.
func ParseLineage(places []byte) (*Lineage, error) {
	if len(places) == 0 {
		return nil, fmt.Errorf("%w: the record has no places; it was put as it is", ErrNoLineage)
	}
	var l Lineage
	if err := json.Unmarshal(places, &l); err != nil || l.RowCount == 0 && l.KeyCount == 0 {
		return nil, fmt.Errorf("%w: the places of the record are of another program", ErrNoLineage)
	}
	return &l, nil
}

// lineageSteps say how much of a lineage is kept, less with each step, where a record has no room for more: of each field the values that did not
// count, keys and rows. After the last one, where values come from is left out, too.
var lineageSteps = [...]struct{ others, keys, rows int }{
	{maxOthers, maxKeys, maxRows}, {1, maxKeys, maxRows}, {0, maxKeys, maxRows}, {0, 20, 20}, {0, 8, 8}, {0, 3, 3}, {0, 1, 1}, {0, 1, 1},
}

// shorten leaves out what a step does not keep. Steps are taken one after the other.
func (l *Lineage) shorten(step int) {
	keep := lineageSteps[step]
	l.Keys, l.Rows = l.Keys[:min(len(l.Keys), keep.keys)], l.Rows[:min(len(l.Rows), keep.rows)]
	if step == len(lineageSteps)-1 {
		l.Fields = nil
	}
	kept := func(row int) int {
		if row >= len(l.Rows) {
			return -1
		}
		return row
	}
	for name, x := range l.Fields {
		x.Row = kept(x.Row)
		x.Next = x.Next[:min(len(x.Next), keep.others)]
		for i := range x.Next {
			x.Next[i].Row = kept(x.Next[i].Row)
		}
		l.Fields[name] = x
	}
}
