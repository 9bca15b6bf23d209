package fusion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check checks what refers from one part of the file to another, and tells sources what other parts say about them.
func (f *File) check() error {
	var names []string
	for i := range f.Sources {
		names = append(names, f.Sources[i].name())
	}
	for i := range f.Sources {
		m := &f.Sources[i]
		for k := range m.Joins {
			if err := f.checkJoin(m, i, k, names); err != nil {
				return err
			}
		}
		if err := f.checkKinds(m); err != nil {
			return err
		}
		if f.Users.Pseudonyms {
			if err := m.checkPseudonyms(); err != nil {
				return err
			}
		}
	}
	if f.Users.Titles != nil {
		return f.Fail("users.titles", fmt.Errorf("%w: titles are of products", ErrMapping))
	}
	if len(f.Products.Match) > 0 {
		return f.Fail("products.match", fmt.Errorf("%w: match is for users; products have titles", ErrMapping))
	}
	for _, s := range f.sections() {
		for i, name := range s.entity.Trust {
			if !slices.Contains(names, name) {
				return f.Fail(fmt.Sprintf("%s.trust[%d]", s.key, i), fmt.Errorf("%w: there is no source %q%s", ErrMapping, name, suggest(name, names)))
			}
		}
		if err := f.checkFields(s); err != nil {
			return err
		}
	}
	return nil
}

// checkJoin checks join k of source i, and hides what it takes if that is hidden in the other source. What that one takes itself has been
// hidden before: it stands before this one.
func (f *File) checkJoin(m *Mapping, i, k int, names []string) error {
	j := &m.Joins[k]
	path := fmt.Sprintf("join[%d]", k)
	fail := func(key, format string, args ...any) error {
		return m.Fail(path+key, fmt.Errorf("%w: "+format, append([]any{ErrMapping}, args...)...))
	}
	of := slices.Index(names, j.Source)
	switch {
	case of < 0 || of == i:
		return fail(".source", "there is no other source %q%s", j.Source, suggest(j.Source, names))
	case len(j.On) == 0 || len(j.Take) == 0:
		return fail("", "a join needs on and take, such as {source: orders, on: {order: order}, take: {time: time}}")
	case j.Missing != "" && j.Missing != "reject" && j.Missing != "null":
		return fail(".missing", "%q; want reject or null", j.Missing)
	}
	other := &f.Sources[of]
	if len(other.Joins) > 0 && of > i {
		if circle := f.circle(other, m.name()); circle != nil {
			return fail(".source", "the sources join each other in a circle: %s; take one of these joins out, or read its file by another source, of kind tables, that joins nothing",
				strings.Join(append([]string{m.name()}, circle...), " joins "))
		}
		return fail(".source", "%s joins %s itself; put it before this source", j.Source, other.Joins[0].Source)
	}
	for _, here := range slices.Sorted(maps.Keys(j.Take)) {
		there := j.Take[here]
		for _, hide := range []struct {
			how        string
			from, mine *[]string
		}{{"personal", &other.Personal, &m.Personal}, {"hashed", &other.Hashed, &m.Hashed}} {
			if !slices.Contains(*hide.from, there) {
				continue
			}
			if means, ok := meaningOf(m.kind(), here); ok && !means.mayHide(hide.how == "hashed") {
				return fail(".take."+here, "%s is %s in %s, and could not be the %s of %s here%s", there, hide.how, j.Source, here, m.kind(), unhide(here, there, hide.how))
			}
			if !slices.Contains(*hide.mine, here) {
				*hide.mine = append(*hide.mine, here)
			}
		}
	}
	return nil
}

// unhide says what to do about a hidden field that means something where it is taken to.
func unhide(here, there, how string) string {
	if here == "user" {
		return fmt.Sprintf("; take it out of %s there, and hide keys of users by users: {pseudonyms: true}", how)
	}
	return fmt.Sprintf("; declare the column of %s there a second time, under a name that is not %s, and take that", there, how)
}

// circle returns the names of sources that lead from one by its joins to a name, that one first; nil if it joins nothing that leads there.
func (f *File) circle(from *Mapping, to string) []string {
	seen := map[string]bool{}
	var walk func(m *Mapping) []string
	walk = func(m *Mapping) []string {
		if m == nil || seen[m.name()] {
			return nil
		}
		seen[m.name()] = true
		for k := range m.Joins {
			next := m.Joins[k].Source
			if next == to {
				return []string{m.name(), to}
			}
			if way := walk(f.Source(next)); way != nil {
				return append([]string{m.name()}, way...)
			}
		}
		return nil
	}
	return walk(from)
}

// checkKinds checks the kinds of keys that a source names: those that are said once for all rows, and those that fields may have.
func (f *File) checkKinds(m *Mapping) error {
	for _, s := range f.sections() {
		check := func(path, kind string) error {
			if slices.Contains(s.entity.Kinds, kind) {
				return nil
			}
			return m.Fail(path, fmt.Errorf("%w: %q is not one of %s.kinds%s", ErrMapping, kind, s.key, suggest(kind, s.entity.Kinds)))
		}
		key, of, carries := "user_kind", m.UserKind, m.kind().hasUsers()
		if s.key == "products" {
			key, of, carries = "item_kind", m.ItemKind, m.kind().hasItems()
		}
		if of != "" {
			if err := check(key, of); err != nil {
				return err
			}
		}
		fields := []string{key}
		switch {
		case m.kind() == LinkRows && cmp.Or(m.Of, "users") == s.key:
			if len(s.entity.Kinds) == 0 {
				continue // who joins keys needs them, who reads the links alone does not
			}
			for i, kind := range m.Keys {
				if err := check(fmt.Sprintf("keys[%d]", i), kind); err != nil {
					return err
				}
			}
			fields = []string{"left_kind", "right_kind"}
		case !carries:
			continue
		case len(s.entity.Kinds) == 0 && m.Has(key):
			return m.Fail("fields."+key, fmt.Errorf("%w: the field %s says of which kind a key is; say %s: {kinds: [...]} at the end of the file, or call it something else", ErrMapping, key, s.key))
		}
		for i := range m.Fields {
			if !slices.Contains(fields, m.Fields[i].Name) {
				continue
			}
			for path, kind := range m.Fields[i].words() {
				if err := check("fields."+m.Fields[i].Name+path, kind); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkPseudonyms refuses to store the key of a user, which a pseudonym stands for, in clear under another name.
func (m *Mapping) checkPseudonyms() error {
	user, path, columns := m.Columns.User, "columns.context.", map[string]string{}
	maps.Copy(columns, m.Columns.Context)
	for i := range m.Fields {
		f := &m.Fields[i]
		path = "fields."
		means, ok := meaningOf(m.kind(), f.Name)
		switch {
		case f.Name == "user":
			user = f.Column
		case f.Expr != "" || f.Values != nil, ok && !means.mayHide(true): // no longer the key, or not stored as it is
		default:
			columns[f.Name] = f.Column
		}
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if user == "" || !strings.EqualFold(columns[name], user) || slices.Contains(m.Personal, name) || slices.Contains(m.Hashed, name) {
			continue
		}
		return m.Fail(path+name, fmt.Errorf("%w: %s would be stored in clear, and has the key of the user, for which a pseudonym is stored; say personal: [%s], or hashed: [%s]",
			ErrMapping, name, name, name))
	}
	return nil
}

// checkFields checks that the fields that a section names are there.
func (f *File) checkFields(s section) error {
	kind := UserRows
	if s.key == "products" {
		kind = ProductRows
	}
	var have []string
	for i := range f.Sources {
		if m := &f.Sources[i]; m.Kind == kind {
			have = append(have, m.fieldNames()...)
			if rules, ok := m.Rules.(interface{ Makes() []string }); ok {
				have = append(have, rules.Makes()...)
			}
		}
	}
	slices.Sort(have)
	have = slices.Compact(have)
	check := func(path, name string) error {
		if name == "" || slices.Contains(have, name) {
			return nil
		}
		return f.Fail(s.key+path, fmt.Errorf("%w: no source of kind %s has the field %q%s", ErrMapping, kind, name, suggest(name, have)))
	}
	for _, name := range slices.Sorted(maps.Keys(s.entity.Fields)) {
		if err := check(".fields."+name, name); err != nil {
			return err
		}
	}
	for _, form := range slices.Sorted(maps.Keys(s.entity.Match)) {
		if err := check(".match."+form, s.entity.Match[form]); err != nil {
			return err
		}
	}
	if t := s.entity.Titles; t != nil {
		if err := check(".titles.field", cmp.Or(t.Field, DefaultTitle)); err != nil {
			return err
		}
		for i, name := range t.Agree {
			if err := check(fmt.Sprintf(".titles.agree[%d]", i), name); err != nil {
				return err
			}
		}
	}
	return check(".changed", s.entity.Changed)
}
