package clean

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kith-io/kith/fusion/record"
)

// ErrConfig means that rules cannot be used; the error that wraps it names the rule, the key and what would do.
var ErrConfig = errors.New("bad cleaning rules")

// ErrMemory means that what cannot be spilled does not fit the memory limit: the groups of a rule with the key by.
var ErrMemory = errors.New("too little memory for cleaning")

// Config is the rules of a source, in the order in which they run. In a mapping file it is a list (docs/cleaning.md):
//
//	clean:
//	  - rule: repair
//	    name: prices
//	    fields: [price]
//	    as: number
//	  - rule: duplicates
//	    fields: [event]
type Config struct {
	Rules []Rule
}

// Rule is a rule and what reports call it.
type Rule struct {
	// Name is unique among the rules; empty means the kind, and its number where the kind is there more than once.
	Name string
	Spec Spec

	at    string            // where the rule stands in its file, "" if that is unknown
	keyAt map[string]string // where its keys stand
}

// Spec says what a rule does. It is one of Repair, Text, Range, Pattern, Allowed, Missing, Duplicates, Outliers, Normalize and Bots.
type Spec interface {
	// kind is the word of the rule in mapping files.
	kind() string
	// check reports what is wrong whatever the fields, as a *keyError.
	check() error
	// targets are the fields whose values the rule may change.
	targets() []string
	// build makes the rule for records of some fields, and returns the fields of the records that come out. Errors are *keyErrors.
	build(env *env, fields []record.Field) (rule, []record.Field, error)
}

// Actions on a value that a rule finds bad.
const (
	ActionReject    = "reject"    // the record goes to Options.Reject
	ActionNull      = "null"      // the value becomes missing
	ActionWinsorize = "winsorize" // the value becomes the bound that it is beyond
	ActionFlag      = "flag"      // the record is marked
)

// keyError is what is wrong with a key of a rule.
type keyError struct {
	key, text string
}

func (e *keyError) Error() string { return e.key + ": " + e.text }

func wrong(key, format string, args ...any) error {
	return &keyError{key, fmt.Sprintf(format, args...)}
}

// oneOf checks a word.
func oneOf(key, got string, words ...string) error {
	for _, w := range words {
		if got == w {
			return nil
		}
	}
	last := len(words) - 1
	if last == 0 {
		return wrong(key, "%q is unknown; want %s", got, words[0])
	}
	return wrong(key, "%q is unknown; want %s or %s", got, strings.Join(words[:last], ", "), words[last])
}

// orDefault returns the word, or the default for none.
func orDefault(word, def string) string {
	if word == "" {
		return def
	}
	return word
}

// needFields checks the key fields.
func needFields(fields []string) error {
	if len(fields) == 0 {
		return wrong("fields", "is missing; name one field at least")
	}
	for i, f := range fields {
		if f == "" {
			return wrong("fields", "has an empty name")
		}
		for _, other := range fields[:i] {
			if f == other {
				return wrong("fields", "has %q twice", f)
			}
		}
	}
	return nil
}

// firstError returns the first error.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// find returns the position of a field that has one of the types; no types mean any.
func find(fields []record.Field, key, name string, types ...record.Type) (int, error) {
	i := record.FieldIndex(fields, name)
	if i < 0 {
		names := make([]string, len(fields))
		for j, f := range fields {
			names[j] = f.Name
		}
		return 0, wrong(key, "there is no field %q; there are %s", name, strings.Join(names, ", "))
	}
	if len(types) == 0 {
		return i, nil
	}
	words := make([]string, len(types))
	for j, t := range types {
		if fields[i].Type == t {
			return i, nil
		}
		words[j] = t.String()
	}
	return 0, wrong(key, "field %q is %s, and the rule works on %s; a rule repair before it may help", name, fields[i].Type, strings.Join(words, " or "))
}

// findAll is find for the key fields.
func findAll(fields []record.Field, names []string, types ...record.Type) ([]int, error) {
	out := make([]int, len(names))
	for i, name := range names {
		var err error
		if out[i], err = find(fields, "fields", name, types...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findBy returns the position of the field of the key by, or -1 for none.
func findBy(fields []record.Field, name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	return find(fields, "by", name)
}

// fault adds to an error of a rule which rule it is, and where.
func (r *Rule) fault(i int, err error) error {
	at := r.at
	var key *keyError
	if errors.As(err, &key) && r.keyAt[key.key] != "" {
		at = r.keyAt[key.key]
	}
	if at != "" {
		at += ": "
	}
	kind := "none"
	if r.Spec != nil {
		kind = r.Spec.kind()
	}
	name := ""
	if r.Name != "" && r.Name != kind {
		name = fmt.Sprintf(" %q", r.Name)
	}
	return fmt.Errorf("%w: %srule %d%s (%s): %w", ErrConfig, at, i+1, name, kind, err)
}

// Validate checks what can be checked without knowing the fields.
func (c *Config) Validate() error {
	names := make(map[string]int, len(c.Rules))
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Spec == nil {
			return r.fault(i, wrong("rule", "is missing; want one of %s", strings.Join(kinds(), ", ")))
		}
		if err := r.Spec.check(); err != nil {
			return r.fault(i, err)
		}
		if r.Name == "" {
			continue
		}
		if first, twice := names[r.Name]; twice {
			return r.fault(i, wrong("name", "rule %d has the same", first+1))
		}
		names[r.Name] = i
	}
	return nil
}

// names returns what reports call the rules.
func (c *Config) names() []string {
	taken := make(map[string]bool, len(c.Rules))
	count := make(map[string]int, len(c.Rules))
	for _, r := range c.Rules {
		taken[r.Name] = true
		count[r.Spec.kind()]++
	}
	out := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		out[i] = r.Name
		if r.Name != "" {
			continue
		}
		out[i] = r.Spec.kind()
		if count[out[i]] > 1 || taken[out[i]] {
			out[i] = fmt.Sprintf("%s %d", out[i], i+1)
		}
		for taken[out[i]] {
			out[i] += "'"
		}
		taken[out[i]] = true
	}
	return out
}

// Fields returns the fields of the records that come out of the rules for records of the given fields: a repair changes a type, and
// bots adds a field. The error says which rule does not fit the fields.
func (c *Config) Fields(in []record.Field) ([]record.Field, error) {
	_, fields, err := c.build(&env{}, in)
	return fields, err
}

// Makes returns the names of the fields that the rules add to records.
func (c Config) Makes() []string {
	var out []string
	for _, r := range c.Rules {
		if bots, ok := r.Spec.(*Bots); ok && bots.Action != ActionReject {
			out = append(out, bots.mark())
		}
	}
	return out
}

// Names returns what reports call the rules, in their order.
func (c *Config) Names() []string { return c.names() }

// Whole returns the names of the rules that need the whole source, for records of the given fields.
func (c *Config) Whole(in []record.Field) ([]string, error) {
	rules, _, err := c.build(&env{}, in)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, name := range c.names() {
		if _, whole := rules[i].rule.(wholeRule); whole {
			out = append(out, name)
		}
	}
	return out, nil
}

// builtRule is a rule and the fields of the records that come to it.
type builtRule struct {
	rule   rule
	fields []record.Field
}

// build makes the rules. They have no files until they are used.
func (c *Config) build(e *env, fields []record.Field) ([]builtRule, []record.Field, error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	rules := make([]builtRule, len(c.Rules))
	for i := range c.Rules {
		made, next, err := c.Rules[i].Spec.build(e, fields)
		if err != nil {
			return nil, nil, c.Rules[i].fault(i, err)
		}
		rules[i] = builtRule{made, fields}
		fields = next
	}
	return rules, fields, nil
}
