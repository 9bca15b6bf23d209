package fusion

import (
	"fmt"
	"slices"

	"github.com/kith-io/kith/source"
)

// File is what a mapping file says: sources, and how what they say is joined.
type File struct {
	Sources []Mapping
	// Users and Products say which keys are one, and whose values count.
	Users, Products Entity
	// SecretEnv names the environment variable with the secret of pseudonyms and of hashed fields.
	SecretEnv string

	doc *document // nil without a file
}

// Entity says which keys are one user or one product, and whose value counts where sources disagree. The zero Entity joins nothing: every
// key is itself, and the first source in the order of the file is believed.
type Entity struct {
	// Kinds of keys by priority: the key of the first kind stands for all that are joined to it. None means that keys have no kinds.
	Kinds []string `yaml:"kinds" doc:"kinds of keys by priority, such as account, cookie, device"`
	// MaxEntities is the most keys of the first kind that a key of another kind may lead to; one that leads to more joins none. 0 is the default
	// of package identity.
	MaxEntities int `yaml:"max_entities" doc:"a key that leads to more keys of the first kind joins none of them; default 1 for users, 10 for products"`
	// Match names the fields of profiles by which accounts of one person are found: email, phone, name, postcode.
	Match map[string]string `yaml:"match" doc:"fields by which accounts of one person are found by score: email, phone, name, postcode -> field"`
	// Probability that a match is true, and Expected, the second accounts of a person on average; 0 are the defaults of package identity.
	Probability float64 `yaml:"probability" doc:"how likely a match by score must be; default 0.95"`
	Expected    float64 `yaml:"expected" doc:"how many other accounts a person has on average; default 0.1"`
	// Titles finds products that are listed twice.
	Titles *Titles `yaml:"titles" doc:"finds products of different sources by similar titles"`
	// Settle is the method by which fields are settled: trust, newest, majority, longest, max, min. Fields has those with another one.
	Settle string            `yaml:"settle" enum:"trust,newest,majority,longest,max,min" doc:"whose value counts where sources disagree; default trust"`
	Fields map[string]string `yaml:"fields" doc:"fields that are settled in another way: field -> trust, newest, majority, longest, max, min"`
	// Trust has the names of sources, the most trusted first. The others follow in the order of the file.
	Trust []string `yaml:"trust" doc:"names of sources, the most trusted first; default the order of the file"`
	// Changed is the field that says when a row was changed last.
	Changed string `yaml:"changed" doc:"the field that says when a row was changed; needed by newest"`
	// Pseudonyms says that keys are replaced by keyed hashes.
	Pseudonyms bool `yaml:"pseudonyms" doc:"keys are stored as keyed hashes only; needs secret_env"`
}

// DefaultTitle is the field with the title of a product if the mapping names none.
const DefaultTitle = "title"

// Titles says when two products are one by their titles; see package identity.
type Titles struct {
	Field      string            `yaml:"field" doc:"the field with the title; default title"`
	Agree      []string          `yaml:"agree" doc:"fields that must agree where both have them, such as brand"`
	Similarity float64           `yaml:"similarity" doc:"the least similarity of titles, 0 to 1; default 0.6"`
	Synonyms   map[string]string `yaml:"synonyms" doc:"words that are written as another one"`
}

// Join takes fields from the rows of another source.
type Join struct {
	// Source is the name of the other source.
	Source string `yaml:"source" doc:"name of the source to take fields from"`
	// On has the fields that must be equal: of this source, and of the other.
	On map[string]string `yaml:"on" doc:"fields that must be equal: here -> there"`
	// Take has the fields that are taken, under their names here.
	Take map[string]string `yaml:"take" doc:"fields to take: name here -> there"`
	// Missing says what becomes of a row without a counterpart: reject, or null.
	Missing string `yaml:"missing" enum:"reject,null" doc:"what to do with a row that has no counterpart: reject it (default), or take nothing"`
}

// Joins reports whether an entity says more than the zero one.
func (e *Entity) Joins() bool {
	return len(e.Kinds) > 0 || len(e.Match) > 0 || e.Titles != nil || e.Settle != "" || len(e.Fields) > 0 || len(e.Trust) > 0 || e.Changed != "" || e.Pseudonyms
}

// Alone returns the sources of a file for one who reads each by itself, or an error if that gives something else than the file says.
func (f *File) Alone() ([]Mapping, error) {
	const remedy = "is for kith ingest, which joins sources; take it out to read each source by itself"
	for _, s := range f.sections() {
		if s.entity.Joins() {
			return nil, f.Fail(s.key, fmt.Errorf("%w: %s %s", ErrMapping, s.key, remedy))
		}
	}
	for i := range f.Sources {
		m := &f.Sources[i]
		if len(m.Joins) > 0 && m.Kind.HasEvents() {
			return nil, m.Fail("join", fmt.Errorf("%w: join %s", ErrMapping, remedy))
		}
	}
	return f.Sources, nil
}

// section is a part of the file about what is one.
type section struct {
	key    string
	entity *Entity
}

func (f *File) sections() []section { return []section{{"users", &f.Users}, {"products", &f.Products}} }

// Fail returns an error about a key of the file, such as users.kinds, with its place.
func (f *File) Fail(path string, err error) error {
	if f.doc == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s:%s: %w", f.doc.file, f.doc.find(path), err)
}

// Fail returns an error about a key of the source, such as join[0].on, with its name, and its place if it is from a file.
func (m *Mapping) Fail(path string, err error) error { return m.fail(&located{path, err}) }

// Source returns the source of a name, or nil.
func (f *File) Source(name string) *Mapping {
	i := slices.IndexFunc(f.Sources, func(m Mapping) bool { return m.name() == name })
	if i < 0 {
		return nil
	}
	return &f.Sources[i]
}

// checkUse checks what is said about the use of fields.
func (m *Mapping) checkUse() error {
	k := m.kind()
	switch {
	case m.Of != "" && k != LinkRows:
		return at("of", "only links join keys; the source is of kind %s", k)
	case m.Of != "" && m.Of != "users" && m.Of != "products":
		return at("of", "%q; want users or products", m.Of)
	case len(m.Keys) > 0 && k != LinkRows:
		return at("keys", "only links have keys; the source is of kind %s", k)
	case len(m.Keys) == 1:
		return at("keys", "one key alone is linked to nothing; name two or more")
	case m.UserKind != "" && !k.hasUsers():
		return at("user_kind", "rows of %s have no user", k)
	case m.ItemKind != "" && !k.hasItems():
		return at("item_kind", "rows of %s have no item", k)
	case len(m.Lists) > 0 && k != ProductRows && k != UserRows:
		return at("lists", "lists are attributes of products and users; the source is of kind %s", k)
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"personal", m.Personal}, {"hashed", m.Hashed}, {"keys", m.Keys}} {
		for i, name := range list.names {
			path := fmt.Sprintf("%s[%d]", list.key, i)
			if err := m.checkHidden(path, list.key, name); err != nil {
				return err
			}
			if !m.Has(name) {
				return at(path, "there is no field %q%s", name, suggest(name, m.fieldNames()))
			}
		}
	}
	for name, separator := range m.Lists {
		if separator == "" {
			return at("lists."+name, "no separator; want one, such as '|'")
		}
	}
	return nil
}

// checkHidden refuses to hide what rows are made of.
func (m *Mapping) checkHidden(path, how, name string) error {
	means, ok := meaningOf(m.kind(), name)
	switch {
	case !ok || how != "keys" && means.mayHide(how == "hashed"):
		return nil
	case means.needed:
		return at(path, "%s is needed; keys of users are replaced by users.pseudonyms", name)
	case how == "keys":
		return nil
	}
	return at(path, "%s of %s is what the row means (%s), and would be lost or be something else; take it out of %s, and declare the column a second time, under another name, for what is to be %s",
		name, m.kind(), means.what, how, how)
}

// takes reports whether a join makes a field.
func (m *Mapping) takes(field string) bool {
	return slices.ContainsFunc(m.Joins, func(j Join) bool { return j.Take[field] != "" })
}

// fieldNames returns the names of declared fields; of columns, those of the context.
func (m *Mapping) fieldNames() []string {
	var names []string
	for i := range m.Fields {
		names = append(names, m.Fields[i].Name)
	}
	for name := range m.Columns.Context {
		names = append(names, name)
	}
	for i := range m.Joins {
		for name := range m.Joins[i].Take {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Has reports whether a source declares a field, among them those of the context and those that joins make.
func (m *Mapping) Has(field string) bool { return slices.Contains(m.fieldNames(), field) }

// Local reports whether a source is of files, which can be opened again at no cost to others.
func (m *Mapping) Local() bool { return m.Path != "-" && source.Scheme(m.Path) == "" }

// Private reports whether a source has what must not be shown: personal or hashed fields, or keys of users that are stored as pseudonyms.
// Any table may have such keys, for others to join.
func (m *Mapping) Private() bool {
	if len(m.Personal) > 0 || len(m.Hashed) > 0 {
		return true
	}
	k := m.kind()
	return m.HideUsers && (k.hasUsers() || k == TableRows || k == LinkRows && m.Of != "products")
}
