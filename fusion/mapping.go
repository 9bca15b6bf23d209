package fusion

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion/expression"
	"github.com/kith-io/kith/source"
)

// Mapping says how to read one source and what its columns mean. With Path
// alone it suits files whose columns have usual names or order.
type Mapping struct {
	// Name of the source goes into event ids, reports and dead letters. The
	// default is the base name of the path, or the address of a service. Ids depend on it: a file that was
	// moved is known again by its name.
	Name string
	// Path of the file; "-" is standard input, and a URL a service.
	Path string
	// Source says how to read the file. KnownName is set by this package. In
	// format Baskets the user is the name of the source, ':' and the line, so that
	// the baskets of two sources are not one, nor those of a customer. Of several files the name goes before the line, after '/'.
	Source source.Options
	// Columns says what the columns hold.
	Columns Columns
	// Behavior of rows without one. The default is Rating for a file with a
	// value column and no behavior column, View for one with neither. If there is a
	// behavior column, rows with an empty field are refused without a default.
	Behavior Behavior
	// Behaviors translates the values of the behavior column; case does not
	// matter unless two keys differ in it only. A value that is not in it is
	// refused. If it is empty, the values are names of behaviors themselves.
	Behaviors map[string]Behavior
	// TimeUnit of times written as numbers.
	TimeUnit TimeUnit
	// TimeLayout is the layout of the times, in the way of package time. Empty
	// means numbers and dates with the year first (RFC 3339, 2006-01-02 15:04:05,
	// 2006/01/02, ...). Times without zone are UTC.
	TimeLayout string
	// Kind of the rows; empty is EventRows.
	Kind Kind
	// Fields says where the values of records come from. A source of events needs none: then Columns does.
	Fields []Field
	// Where is a condition, in the language of package expression, over the fields of the records; rows for which it is not true are left out. For a
	// source with Columns the fields are user, item, behavior, value, time, id and the keys of the context.
	Where string
	// Rates is what one unit of each currency is worth, in any one measure.
	Rates map[string]float64
	// Joins are fields to take from rows of other sources of the same file.
	Joins []Join
	// UserKind and ItemKind are the kinds of keys, where a file says which keys are one. Of is what links join, users or products.
	UserKind, ItemKind, Of string
	// Keys are the fields of links with keys that were seen together, called as their kinds: where there are more than two, or some may be missing.
	Keys []string
	// Personal fields are not stored, Hashed ones as keyed hashes only. Rows of a source with either go to dead letters without their content.
	// In a File, fields that joins take are what they are in the other source.
	Personal, Hashed []string
	// HideUsers says that keys of users are not shown, as they are replaced by pseudonyms; see Private.
	HideUsers bool
	// Lists are text fields that are lists, with what separates their entries.
	Lists map[string]string
	// Rules is what the reader of rules made of the key clean; see ReadMappingsWith. This package does not look into it.
	Rules any

	doc *document // of the mapping file, nil without one
	at  string    // of the source in it
}

// SourceName returns the name of the source, as reports have it.
func (m *Mapping) SourceName() string { return m.name() }

// name returns the name of the source.
func (m *Mapping) name() string {
	switch {
	case m.Name != "":
		return m.Name
	case m.Path == "-":
		return "stdin"
	case source.Scheme(m.Path) != "": // the address, and what is read there; never a password
		return strings.TrimSuffix(source.PublicName(m.Path)+"/"+m.Source.Remote.Table, "/")
	}
	return filepath.Base(m.Path)
}

// validate returns an error that matches ErrMapping, or that of the part at fault.
func (m *Mapping) validate() error {
	err := m.check()
	if err == nil {
		return nil
	}
	return m.fail(err)
}

// fail names, in an error about the source, the source and the place in the mapping file, as far as they are known.
func (m *Mapping) fail(err error) error {
	name := m.name()
	if m.Path == "" && m.Name == "" {
		name = "source without name"
	}
	l := (*located)(nil)
	if !errors.As(err, &l) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if m.doc == nil {
		return fmt.Errorf("%s: %s: %w", name, l.path, err)
	}
	p := m.doc.find(join(m.at, l.path))
	if e := (*expression.Error)(nil); errors.As(err, &e) && e.Line == 1 && !p.block {
		p.column += e.Column - 1
	}
	return fmt.Errorf("%s:%s: %s: %w", m.doc.file, p, name, err)
}

func (m *Mapping) check() error {
	if m.Path == "" {
		return at("path", `no path; give the file, or "-" for standard input`)
	}
	if err := m.checkSource(); err != nil {
		return err
	}
	if err := m.Columns.validate(); err != nil {
		return at("columns", "columns: %w", err)
	}
	if m.Behavior != "" && !m.Behavior.Valid() {
		return at("behavior", "behavior %q; %s", string(m.Behavior), behaviorRule)
	}
	for _, value := range slices.Sorted(maps.Keys(m.Behaviors)) {
		if b := m.Behaviors[value]; !b.Valid() {
			return at("behaviors."+value, "behaviors: %q is %q; %s", value, string(b), behaviorRule)
		}
	}
	if m.Columns.Behavior == None && len(m.Behaviors) > 0 {
		return at("behaviors", "behaviors are given, but no column for them")
	}
	if !m.TimeUnit.valid() {
		return at("time_unit", "time unit %q; want s, ms, us or ns", string(m.TimeUnit))
	}
	if m.TimeLayout != "" {
		if m.TimeUnit != TimeAuto {
			return at("time_layout", "time unit %q and time layout %q exclude each other", string(m.TimeUnit), m.TimeLayout)
		}
		if err := checkLayout(m.TimeLayout); err != nil {
			return &located{"time_layout", err}
		}
	}
	if err := m.checkFields(); err != nil {
		return err
	}
	return m.checkUse()
}

// checkSource checks how the file is read, and says which key is at fault.
func (m *Mapping) checkSource() error {
	err := m.Source.Validate()
	if err == nil {
		return nil
	}
	one := []struct {
		key string
		o   source.Options
	}{
		{"encoding", source.Options{Encoding: m.Source.Encoding}},
		{"skip", source.Options{Skip: m.Source.Skip}},
		{"max_row_bytes", source.Options{MaxRowBytes: m.Source.MaxRowBytes}},
		{"separator", source.Options{Separator: m.Source.Separator}},
	}
	for _, part := range one {
		if part.o.Validate() != nil {
			return &located{part.key, err}
		}
	}
	return &located{"format", err}
}

const behaviorRule = "want view, search, cart, purchase, cancel, rating, or a name of up to 32 characters a-z, 0-9, _ and - that starts with a letter"

// behaviorTable finds behaviors by the values of a column.
type behaviorTable struct {
	byValue map[string]Behavior
	given   bool // byValue is all there is
	none    Behavior
}

func (m *Mapping) behaviorTable() behaviorTable {
	t := behaviorTable{byValue: map[string]Behavior{}, given: len(m.Behaviors) > 0, none: m.Behavior}
	for value, b := range m.Behaviors {
		lower := strings.ToLower(strings.TrimSpace(value))
		if _, ok := m.Behaviors[lower]; !ok {
			t.byValue[lower] = b
		}
	}
	for value, b := range m.Behaviors {
		t.byValue[strings.TrimSpace(value)] = b
	}
	return t
}

// knowsAny reports whether a column holds, in any row of the sample, one of the
// behaviors that are given, or else one with a meaning to kith. It tells a
// column of behaviors from one that is only called "type".
func (t *behaviorTable) knowsAny(sample []source.Record, at int) bool {
	for _, rec := range sample {
		if at >= len(rec.Fields) {
			continue
		}
		switch b, err := t.of(trimBlanks(rec.Fields[at])); {
		case err != nil:
		case t.given:
			return true
		default:
			switch b {
			case View, Search, Cart, Purchase, Cancel, Rating:
				return true
			}
		}
	}
	return false
}

// maxNewBehaviors bounds what a column of something else can do to memory.
const maxNewBehaviors = 1000

// of returns the behavior that a trimmed field names.
func (t *behaviorTable) of(field []byte) (Behavior, error) {
	if b, ok := t.byValue[string(field)]; ok {
		return b, nil
	}
	if len(field) == 0 {
		if t.none == "" {
			return "", fmt.Errorf("%w: the field is empty", ErrBadBehavior)
		}
		return t.none, nil
	}
	if len(field) > MaxKeyBytes {
		return "", fmt.Errorf("%w: %.40q", ErrBadBehavior, field)
	}
	lower := strings.ToLower(string(field))
	b, ok := t.byValue[lower]
	if !ok {
		b = Behavior(lower)
		ok = !t.given && b.Valid()
	}
	if !ok {
		return "", fmt.Errorf("%w: %.40q", ErrBadBehavior, field)
	}
	if len(t.byValue) < maxNewBehaviors {
		t.byValue[string(field)] = b
	}
	return b, nil
}
