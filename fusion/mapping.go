package fusion

import (
	"fmt"
	"path/filepath"
	"strings"

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
	// the baskets of two sources are not one, nor those of a customer.
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
}

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
	name := m.name()
	if m.Path == "" && m.Name == "" {
		name = "source without name"
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (m *Mapping) check() error {
	if m.Path == "" {
		return fmt.Errorf(`%w: no path; give the file, or "-" for standard input`, ErrMapping)
	}
	if err := m.Source.Validate(); err != nil {
		return err
	}
	if err := m.Columns.validate(); err != nil {
		return fmt.Errorf("%w: columns: %w", ErrMapping, err)
	}
	if m.Behavior != "" && !m.Behavior.Valid() {
		return fmt.Errorf("%w: behavior %q; %s", ErrMapping, string(m.Behavior), behaviorRule)
	}
	for value, b := range m.Behaviors {
		if !b.Valid() {
			return fmt.Errorf("%w: behaviors: %q is %q; %s", ErrMapping, value, string(b), behaviorRule)
		}
	}
	if m.Columns.Behavior == None && len(m.Behaviors) > 0 {
		return fmt.Errorf("%w: behaviors are given, but no column for them", ErrMapping)
	}
	if !m.TimeUnit.valid() {
		return fmt.Errorf("%w: time unit %q; want s, ms, us or ns", ErrMapping, string(m.TimeUnit))
	}
	if m.TimeLayout != "" {
		if m.TimeUnit != TimeAuto {
			return fmt.Errorf("%w: time unit %q and time layout %q exclude each other", ErrMapping, string(m.TimeUnit), m.TimeLayout)
		}
		return checkLayout(m.TimeLayout)
	}
	return nil
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
