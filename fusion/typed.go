package fusion

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/kith-io/kith/fusion/expression"
	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source"
)

// errSkipped is what becomes of a row that where does not take.
var errSkipped = errors.New("skipped")

// typedRows makes typed values of the rows of one source: of declared fields, or, where the mapping has columns only, of what the fast way
// found in them.
type typedRows struct {
	kind   Kind
	fields []record.Field
	// convs has one converter for each declared field, in the places of fields. None if the mapping has columns.
	convs []*converter
	// values of the row: first those of fields, then those of all columns of the source, of which only texts are set, for expressions.
	values []record.Value
	texts  []int
	where  *expression.Expression
	// unread are the fields of the row that have no value since theirs cannot be read; only with where.
	unread []bool
	// id is the place of the id of an event, -1 where there is none. Where made is set no row has one of its own; idOf are the fields whose content
	// goes into ids that are made.
	id      int
	made    bool
	idOf    []int
	need    int // fields that a row must have
	scratch []byte
	maker   *EventMaker // nil where records are wanted
}

// typedFields makes the fields of a mapping ready for a source with these columns.
func (m *Mapping) typedFields(header []string, width int) (*typedRows, error) {
	t := &typedRows{kind: m.kind(), id: -1}
	for i := range m.Fields {
		f := &m.Fields[i]
		c, err := newConverter(f, t.kind, m.Rates)
		if err == nil {
			err = c.findColumns(header, width)
		}
		if err != nil {
			return nil, under("fields."+f.Name, err)
		}
		if c.behavior && f.Default == nil && m.Behavior != "" {
			c.replacement = record.OfText(string(m.Behavior))
		}
		t.need = max(t.need, c.at+1, c.currencyAt+1)
		t.convs = append(t.convs, c)
		t.fields = append(t.fields, record.Field{Name: f.Name, Type: c.typ})
	}
	columns := header
	if header == nil {
		for i := range width {
			columns = append(columns, strconv.Itoa(i+1))
		}
	}
	t.addMeanings(m)
	for i, c := range t.convs {
		if c.f.Expr == "" {
			continue
		}
		if err := t.compile(c, i, columns); err != nil {
			return nil, under("fields."+c.f.Name, err)
		}
		t.useTexts(c.expr)
	}
	var err error
	if t.where, err = m.compileWhere(t.environment(len(t.fields), columns)); err != nil {
		return nil, err
	}
	if t.where != nil {
		t.useTexts(t.where)
	}
	slices.Sort(t.texts)
	t.texts = slices.Compact(t.texts)
	for _, at := range t.texts {
		t.need = max(t.need, at-len(t.fields)+1)
	}
	t.values = make([]record.Value, len(t.fields)+len(columns))
	t.unread = make([]bool, len(t.values))
	return t, nil
}

// findColumns finds the columns that a field names.
func (c *converter) findColumns(header []string, width int) error {
	for _, of := range []struct {
		path, name string
		at         *int
	}{{"column", c.f.Column, &c.at}, {"currency_column", c.f.CurrencyColumn, &c.currencyAt}} {
		if of.name == "" {
			continue
		}
		var err error
		if *of.at, err = find(of.name, header, width); err != nil {
			return at(of.path, "%w%s; %s", err, didYouMean(of.name, header), describe(header, width))
		}
	}
	return nil
}

// didYouMean proposes a column, if one is near.
func didYouMean(name string, header []string) string {
	s := suggest(name, header)
	if len(s) > 5 && s[:5] == "; did" {
		return s
	}
	return ""
}

// addMeanings adds the fields that records of the kind have without being declared: the behavior of events, and ids.
func (t *typedRows) addMeanings(m *Mapping) {
	if !t.kind.HasEvents() {
		return
	}
	undeclared := func(name string) bool { return record.FieldIndex(t.fields, name) < 0 }
	if t.kind == EventRows && undeclared("behavior") {
		b := m.Behavior
		switch {
		case b != "":
		case undeclared("value"):
			b = View
		default:
			b = Rating
		}
		t.fields = append(t.fields, record.Field{Name: "behavior", Type: record.Text})
		t.convs = append(t.convs, &converter{f: &Field{Name: "behavior", Constant: string(b)}, typ: record.Text, at: -1, currencyAt: -1, constant: record.OfText(string(b))})
	}
	parts := []string{"user", "item", "behavior", "value", "time"} // as the fast way has it, so that ids are the same
	if t.kind == OrderRows {
		parts = []string{"user", "item", "status", "quantity", "time"}
	}
	for _, name := range parts {
		if i := record.FieldIndex(t.fields, name); i >= 0 && t.convs[i].f.Constant == "" {
			t.idOf = append(t.idOf, i)
		}
	}
	if t.made = undeclared("id"); t.made {
		t.fields = append(t.fields, record.Field{Name: "id", Type: record.Text})
	}
	t.id = record.FieldIndex(t.fields, "id")
}

// environment returns what an expression sees: the first n fields, and the columns.
func (t *typedRows) environment(n int, columns []string) []record.Field {
	env := slices.Clone(t.fields)
	for i := n; i < len(env); i++ {
		env[i].Name = "" // not yet there
	}
	for _, name := range columns {
		env = append(env, record.Field{Name: name, Type: record.Text})
	}
	return env
}

// compile makes the expression of a field ready.
func (t *typedRows) compile(c *converter, i int, columns []string) error {
	n := i
	if c.at >= 0 {
		n++ // it sees its column, converted
	}
	var err error
	if c.expr, err = expression.Compile(c.f.Expr, t.environment(n, columns)); err != nil {
		return at("expr", "%w", err)
	}
	typ := c.expr.Type()
	switch {
	case c.typ == record.Null && typ == record.Null:
		c.typ = record.Text
	case c.typ == record.Null:
		c.typ = typ
	case typ != c.typ && typ != record.Null:
		return at("expr", "the expression makes a %s, and the field is a %s", typ, c.typ)
	}
	t.fields[i].Type = c.typ
	return c.constants()
}

// useTexts notes the columns that an expression reads.
func (t *typedRows) useTexts(e *expression.Expression) {
	for _, at := range e.Fields() {
		if at >= len(t.fields) {
			t.texts = append(t.texts, at)
		}
	}
}

// compileWhere makes the condition of a mapping ready, if it has one.
func (m *Mapping) compileWhere(env []record.Field) (*expression.Expression, error) {
	if m.Where == "" {
		return nil, nil //nolint:nilnil // no condition
	}
	e, err := expression.Compile(m.Where, env)
	if err != nil {
		return nil, at("where", "%w", err)
	}
	if e.Type() != record.Bool {
		return nil, at("where", "the condition is a %s, and not true or false", e.Type())
	}
	return e, nil
}

// typedColumns makes rows of the fast way records, for a mapping with columns.
func (m *Mapping) typedColumns(at *positions) (*typedRows, error) {
	t := &typedRows{kind: EventRows, id: -1, fields: []record.Field{
		{Name: "user", Type: record.Text},
		{Name: "item", Type: record.Text},
		{Name: "behavior", Type: record.Text},
		{Name: "value", Type: record.Number},
		{Name: "time", Type: record.Time},
	}}
	for _, c := range at.context {
		t.fields = append(t.fields, record.Field{Name: c.key, Type: record.Text})
	}
	t.fields = append(t.fields, record.Field{Name: "id", Type: record.Text})
	t.values, t.unread = make([]record.Value, len(t.fields)), make([]bool, len(t.fields))
	var err error
	t.where, err = m.compileWhere(t.fields)
	return t, err
}

// convert makes the values of a row, or says why it cannot.
func (t *typedRows) convert(r *rowReader, fields [][]byte) (repaired bool, err error) {
	if len(fields) < t.need {
		return false, fmt.Errorf("%w: %d fields, but column %d is mapped", ErrShortRow, len(fields), t.need)
	}
	for _, at := range t.texts {
		t.values[at] = record.Value{}
		if s := trimBlanks(fields[at-len(t.fields)]); len(s) > 0 {
			t.values[at] = record.OfText(string(s))
		}
	}
	if r.basket != nil && len(fields) > 0 {
		r.basket = append(r.basket[:len(r.report.Name)+1], fields[0]...)
		fields[0] = r.basket
	}
	clear(t.unread)
	var refused error
	for i, c := range t.convs {
		mended, err := t.convertField(i, fields)
		switch {
		case err != nil && t.where == nil:
			return false, fmt.Errorf("%s: %w", c.f.Name, err)
		case err != nil && refused == nil:
			refused = fmt.Errorf("%s: %w", c.f.Name, err)
		}
		if mended {
			repaired = true
			if !c.key {
				r.report.repair(Code(c.bad))
			}
		}
	}
	if refused != nil {
		if t.made {
			t.unread[len(t.fields)-1] = true
		}
		return false, t.unless(refused)
	}
	if t.made {
		t.makeID(r, fields)
	}
	if err := t.filter(); err != nil {
		return repaired, err
	}
	if t.id >= 0 && t.values[t.id].Text() == "" { // now, as the condition may be about ids
		t.makeID(r, fields)
	}
	return repaired, nil
}

// convertField makes the value of a field, and notes whether it cannot be read. One that is needed and missing is read as missing.
func (t *typedRows) convertField(i int, fields [][]byte) (repaired bool, err error) {
	c := t.convs[i]
	t.values[i] = record.Value{}
	v, repaired, err := c.ofRow(fields)
	if err == nil && c.expr != nil {
		if t.unread[i] = t.readsUnread(c.expr); t.unread[i] {
			return repaired, nil // the field that it reads is the reason
		}
		t.values[i] = v
		v = c.expr.Eval(t.values)
	}
	if err == nil {
		v, err = c.finish(v)
	}
	t.values[i], t.unread[i] = v, err != nil && !errors.Is(err, c.none)
	return repaired && err == nil, err
}

// readsUnread reports whether an expression reads a field of the row whose value cannot be read.
func (t *typedRows) readsUnread(e *expression.Expression) bool {
	return slices.ContainsFunc(e.Fields(), func(at int) bool { return t.unread[at] })
}

// unless returns why a row is refused, or errSkipped if where does not take it. What it reads must be there for that.
func (t *typedRows) unless(refused error) error {
	if t.where == nil || t.readsUnread(t.where) {
		return refused
	}
	if err := t.filter(); err != nil {
		return err
	}
	return refused
}

// skips is unless for a row of the fast way, of whose columns some cannot be read.
func (t *typedRows) skips(r *rowReader, fields [][]byte, refused error) error {
	if t.where == nil || len(fields) < r.at.need {
		return refused
	}
	errs := make([]error, len(t.fields))
	r.user, _, errs[0] = cleanKey(r.userOf(fields), "user", ErrNoUser, false)
	r.item, _, errs[1] = cleanKey(fields[r.at.item], "item", ErrNoItem, false)
	r.behavior, errs[2] = r.behaviorOf(fields)
	if r.value, _, errs[3] = r.valueOf(fields); errs[2] != nil {
		errs[3] = errs[2] // a rating needs one
	}
	r.time, errs[4] = r.timeOf(fields)
	context := r.checkContext(fields) // of all of them
	for i := range r.at.context {
		errs[5+i] = context
	}
	r.id, errs[len(errs)-1] = r.idOf(fields)
	t.take(r, fields)
	for i, err := range errs {
		missing := errors.Is(err, ErrNoUser) || errors.Is(err, ErrNoItem)
		if t.unread[i] = err != nil && !missing; missing {
			t.values[i] = record.Value{}
		}
	}
	return t.unless(refused)
}

// makeID sets the id of a row that has none.
func (t *typedRows) makeID(r *rowReader, fields [][]byte) {
	content := t.scratch[:0]
	for _, i := range t.idOf {
		if at := t.convs[i].at; at >= 0 {
			content = appendString(content, fields[at])
		} else {
			content = appendString(content, t.values[i].String())
		}
	}
	n := len(content)
	content = r.sourceOfRow().appendID(content, r.rec.Line, r.rec.Part, content)
	t.values[t.id] = record.OfText(string(content[n:]))
	t.scratch = content
}

// filter returns errSkipped for a record that where does not take.
func (t *typedRows) filter() error {
	if t.where != nil && !t.where.Eval(t.values).Bool() {
		return errSkipped
	}
	return nil
}

// take makes a record of a row of the fast way.
func (t *typedRows) take(r *rowReader, fields [][]byte) {
	t.values[0], t.values[1] = record.OfText(string(r.user)), record.OfText(string(r.item))
	t.values[2], t.values[3], t.values[4] = record.OfText(string(r.behavior)), record.OfNumber(r.value), record.Value{}
	if r.time != 0 {
		t.values[4] = record.OfTime(r.time)
	}
	for i, c := range r.at.context {
		t.values[5+i] = record.Value{}
		if s := fields[c.at]; len(s) > 0 {
			t.values[5+i] = record.OfText(string(s))
		}
	}
	id := r.id
	if len(id) == 0 {
		t.scratch = r.appendID(t.scratch[:0])
		id = t.scratch
	}
	t.values[len(t.fields)-1] = record.OfText(string(id))
}

// row makes the row of the record, as the fast way has it.
func (t *typedRows) row(r *rowReader) error {
	e, err := t.maker.Event(t.values[:len(t.fields)])
	if err != nil {
		return err
	}
	r.user, r.item = append(r.user[:0], e.User...), append(r.item[:0], e.Item...)
	r.behavior, r.value, r.time = e.Behavior, e.Value, e.Time
	r.id = append(r.id[:0], e.ID...)
	out := r.contextFields[:0]
	for _, c := range r.at.context {
		out = append(out, []byte(e.Context[c.key]))
	}
	r.contextFields = out
	r.rec.Fields = out
	return nil
}

// columns lists the positions of all columns that are read.
func (t *typedRows) columns() []int {
	var out []int
	for _, c := range t.convs {
		if c.at >= 0 {
			out = append(out, c.at)
		}
		if c.currencyAt >= 0 {
			out = append(out, c.currencyAt)
		}
	}
	for _, at := range t.texts {
		out = append(out, at-len(t.fields))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// learn finds out in which unit times are that are numbers, by the first rows.
func (t *typedRows) learn(sample []source.Record) {
	for _, c := range t.convs {
		if c.typ != record.Time || c.at < 0 {
			continue
		}
		var times [][]byte
		for _, rec := range sample {
			if c.at < len(rec.Fields) {
				times = append(times, trimBlanks(rec.Fields[c.at]))
			}
		}
		c.moments.auto.learn(times)
	}
}

// namesColumns reports whether a field names a column, which takes a header.
func (m *Mapping) namesColumns() bool {
	return slices.ContainsFunc(m.Fields, func(f Field) bool {
		return f.Column != "" && !isPosition(f.Column) || f.CurrencyColumn != "" && !isPosition(f.CurrencyColumn)
	})
}
