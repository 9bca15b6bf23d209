package infer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source"
)

// ErrNothing means that no file looks like data that kith could use.
var ErrNothing = errors.New("nothing to propose")

// Files proposes a mapping for files, as YAML with comments. Paths go into it as they are. Files that look like nothing that kith could use are
// named in a comment; if all do, the error matches ErrNothing.
func Files(ctx context.Context, paths []string) (string, error) {
	var out strings.Builder
	out.WriteString("# Proposed by kith ingest --infer. Read it, change what is wrong, and try it:\n#\n#   kith ingest --dry-run --mapping THIS-FILE\n#\n" +
		"# In parentheses stands how sure a guess is.\nsources:\n")
	names := map[string]int{}
	sources := 0
	var skipped []string
	for _, path := range paths {
		t, err := look(ctx, path)
		if err != nil {
			return "", err
		}
		p, why := t.propose()
		if p == nil {
			skipped = append(skipped, path+": "+why)
			continue
		}
		base := t.base()
		if names[base]++; names[base] > 1 {
			base = fmt.Sprintf("%s-%d", base, names[base])
		}
		p.write(&out, base)
		sources++
	}
	for _, s := range skipped {
		fmt.Fprintf(&out, "# left out: %s\n", comment(s))
	}
	if sources == 0 {
		return "", fmt.Errorf("%w: %s", ErrNothing, strings.Join(skipped, "; "))
	}
	return out.String(), nil
}

// proposal is a source to be written.
type proposal struct {
	t       *table
	kind    fusion.Kind
	sure    float64
	why     []string
	columns []line // of events
	fields  []line
	extra   []line // keys of the source
	unused  []string
}

// line is a key with a value, and why.
type line struct {
	key, value, why string
}

// pick returns the column that plays a role best among those not taken.
func (t *table) pick(role string, taken map[*column]bool, fits func(*column) bool) *column {
	var best *column
	least := 0
	for _, c := range t.columns {
		if taken[c] || c.n == 0 {
			continue
		}
		if rank, ok := plays(role, c.name); ok && (best == nil || rank < least) && (fits == nil || fits(c)) {
			best, least = c, rank
		}
	}
	if best != nil {
		taken[best] = true
	}
	return best
}

func isNumber(c *column) bool { return c.mostly("number") != nil }
func isTime(c *column) bool   { return c.mostly("time") != nil }

// propose finds out what the rows of a table are. Without a proposal it says why.
func (t *table) propose() (*proposal, string) {
	if t.rows == 0 {
		return nil, "it has no rows that can be read"
	}
	if t.header == nil {
		for v := range t.columns[0].values {
			if strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[") {
				return nil, "it looks like JSON"
			}
		}
		return t.bare()
	}
	taken := map[*column]bool{}
	roles := map[string]*column{}
	for _, role := range []string{"user", "item", "order"} {
		roles[role] = t.pick(role, taken, nil)
	}
	roles["person"] = t.pick("person", taken, nil)
	roles["device"] = t.pick("device", taken, nil)
	roles["time"] = t.pick("time", taken, isTime)
	if roles["time"] == nil {
		roles["time"] = t.timeByContent(taken)
	}
	roles["quantity"] = t.pick("quantity", taken, isNumber)
	roles["price"] = t.pick("price", taken, isNumber)
	if roles["item"] == nil && roles["user"] != nil && roles["quantity"] != nil && roles["price"] != nil {
		roles["item"] = t.pick("title", taken, nil)
	}
	if roles["item"] == nil && roles["user"] != nil && roles["order"] == nil {
		roles["item"] = t.keyByContent(taken)
	}
	user, item, order := roles["user"], roles["item"], roles["order"]
	switch {
	case item != nil && item.unique() && user == nil && order == nil, item == nil && user == nil && order == nil:
		return t.table(roles, taken)
	case user != nil && item != nil && (order != nil || roles["price"] != nil && roles["quantity"] != nil), item != nil && user == nil && order != nil:
		return t.orders(roles, taken), ""
	case user != nil && item != nil:
		return t.events(roles, taken), ""
	case user != nil && order != nil:
		return t.links(order, "order", user, "customer", roles, taken), ""
	case user != nil && (roles["person"] != nil || roles["device"] != nil):
		other, kind := roles["person"], "person"
		if other == nil {
			return t.links(roles["device"], "device", user, "account", roles, taken), ""
		}
		return t.links(user, "customer", other, kind, roles, taken), ""
	case user != nil && user.unique(), item != nil:
		return t.table(roles, taken)
	case user != nil:
		return nil, "it has users (" + user.name + ", each several times) and no items"
	}
	return nil, "it has orders and neither users nor items"
}

// timeByContent returns the first column of times whose name has to do with time.
func (t *table) timeByContent(taken map[*column]bool) *column {
	for _, c := range t.columns {
		name := strings.ToLower(c.name)
		if !taken[c] && isTime(c) && (strings.Contains(name, "time") || strings.Contains(name, "date")) && c.missing == 0 {
			taken[c] = true
			return c
		}
	}
	return nil
}

// keyByContent returns a column that may hold keys of items beside a column of users.
func (t *table) keyByContent(taken map[*column]bool) *column {
	for _, c := range t.columns {
		if !taken[c] && strings.HasSuffix(fold(c.name), "id") && c.n > 0 && !c.unique() && c.distinct() > 20 {
			if _, other := plays("session", c.name); other {
				continue
			}
			taken[c] = true
			return c
		}
	}
	return nil
}

func (t *table) rowsSeen() string {
	s := strconv.Itoa(t.rows) + " rows"
	if t.rows == maxRows {
		s = "the first " + s
	}
	return s
}

// key says why a column holds keys.
func (c *column) key(what string) string {
	why := fmt.Sprintf("%s by its name (0.9), %d different", what, c.distinct())
	if c.missing > 0 {
		why += fmt.Sprintf("; %d rows have none and will be refused", c.missing)
	}
	return why
}

// events proposes a log, in the fast way.
func (t *table) events(roles map[string]*column, taken map[*column]bool) *proposal {
	p := &proposal{t: t, kind: fusion.EventRows, sure: 0.9, why: []string{"it has users and items that come again"}}
	p.columns = append(p.columns, line{"user", t.ref(roles["user"]), roles["user"].key("users")}, line{"item", t.ref(roles["item"]), t.itemWhy(roles["item"])})
	value := t.pick("rating", taken, isNumber)
	if value == nil {
		value = cmp.Or(roles["quantity"], t.pick("weight", taken, func(c *column) bool { return isNumber(c) && c.mostly("number").field.Decimal == "" }))
	} else if roles["quantity"] != nil {
		delete(taken, roles["quantity"])
	}
	if f := numberOf(value); f != nil && f.words == "numbers" {
		why := fmt.Sprintf("numbers from %v to %v (0.8)", value.low, value.high)
		if f.bad > 0 {
			why = value.but(f, fmt.Sprintf("numbers from %v to %v", value.low, value.high))
		}
		p.columns = append(p.columns, line{"value", t.ref(value), why})
	} else {
		p.columns = append(p.columns, line{"value", quote(fusion.None), "no column of ratings or quantities"})
	}
	p.time(roles["time"])
	behavior := t.behaviorColumn(taken)
	if behavior == nil {
		p.columns = append(p.columns, line{"behavior", quote(fusion.None), "no column with the few words that logs have for behaviors"})
		if value == nil {
			p.extra = append(p.extra, line{"behavior", "view", "of all rows; say purchase, cart, ... if they are"})
		} else {
			p.extra = append(p.extra, line{"behavior", "rating", "of all rows; say purchase, view, ... if the value is a quantity"})
		}
	} else {
		listed, left := behavior.listed(func(v string) bool { _, ok := behaviors[fold(v)]; return ok })
		p.columns = append(p.columns, line{"behavior", t.ref(behavior), "few different words of behaviors (0.9): " + top(behavior, listed) + left})
		p.extra = append(p.extra, line{"behaviors", "", ""})
		for _, v := range listed {
			to, why := behaviorOf(v)
			p.extra = append(p.extra, line{"  " + quote(v), to, why})
		}
	}
	p.columns = append(p.columns, line{"id", quote(fusion.None), ""})
	p.leave(taken)
	return p
}

// numberOf returns the form of the numbers of a column, which may be nil.
func numberOf(c *column) *form {
	if c == nil {
		return nil
	}
	return c.mostly("number")
}

// itemWhy says why a column is that of the items.
func (t *table) itemWhy(c *column) string {
	if _, ok := plays("item", c.name); ok {
		return c.key("items")
	}
	if _, ok := plays("title", c.name); ok {
		return strings.Replace(c.key("items"), "by its name (0.9)", "by their names, as there is no key (0.6)", 1)
	}
	return strings.Replace(c.key("items"), "by its name (0.9)", "as the one column left with keys (0.5)", 1)
}

// time proposes the column of times of events.
func (p *proposal) time(c *column) {
	if c == nil {
		p.columns = append(p.columns, line{"time", quote(fusion.None), "no column that is read as times"})
		return
	}
	f := c.mostly("time")
	p.columns = append(p.columns, line{"time", p.t.ref(c), c.when(f)})
	switch format := f.field.Format[0]; format {
	case "auto":
	case "unix":
		p.extra = append(p.extra, line{"time_unit", "s", ""})
	case "unix_ms":
		p.extra = append(p.extra, line{"time_unit", "ms", ""})
	default:
		p.extra = append(p.extra, line{"time_layout", quote(format), ""})
	}
}

// behaviorColumn returns a column of behaviors: few words, but for some rare ones, and one of them is known.
func (t *table) behaviorColumn(taken map[*column]bool) *column {
	for _, c := range t.columns {
		if taken[c] || !c.fewWords() || c.missing > 0 {
			continue
		}
		for v, n := range c.values {
			if _, ok := behaviors[fold(v)]; ok && n*rare >= c.n {
				taken[c] = true
				return c
			}
		}
	}
	return nil
}

// fewWords reports whether a column has at most 20 different values, but for rare ones in at most 5 % of the rows.
func (c *column) fewWords() bool {
	words, rows := 0, 0
	for _, n := range c.values {
		if n*rare >= c.n {
			words, rows = words+1, rows+n
		}
	}
	return words > 0 && words <= 20 && (c.n-rows)*tolerance <= c.n
}

// listed returns the words of a column that stand for something, in alphabetic order: those that are known, and others that are not rare. Left
// says which are left out.
func (c *column) listed(known func(v string) bool) (words []string, left string) {
	var rest []string
	rows := 0
	for _, v := range slices.Sorted(maps.Keys(c.values)) {
		if n := c.values[v]; known(v) || n*rare >= c.n {
			words = append(words, v)
		} else {
			rest, rows = append(rest, strconv.Quote(v)), rows+n
		}
	}
	if len(rest) == 0 {
		return words, ""
	}
	more := ""
	if n := len(rest) - 4; n > 0 {
		rest, more = rest[:4], fmt.Sprintf(" and %d others", n)
	}
	return words, fmt.Sprintf("; left out as rare and not known: %s%s, whose %d rows will be refused", strings.Join(rest, ", "), more, rows)
}

// behaviorOf translates a value of a column of behaviors.
func behaviorOf(v string) (to, why string) {
	if b, ok := behaviors[fold(v)]; ok {
		return string(b), ""
	}
	own := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.ToLower(v)), "_0123456789")
	if !fusion.Behavior(own).Valid() {
		own = "other"
	}
	return own, "not known to kith; it counts only with a weight of its own"
}

// orders proposes rows of orders.
func (t *table) orders(roles map[string]*column, taken map[*column]bool) *proposal {
	p := &proposal{t: t, kind: fusion.OrderRows, sure: 0.9, why: []string{"it has items with an order, or with quantity and price"}}
	user := roles["user"]
	if user == nil {
		p.sure = 0.7
		p.fields = append(p.fields, line{"user", t.ref(roles["order"]), "no column of users: the order stands for its customer, whom a source of links may name (0.6)"})
	} else {
		p.fields = append(p.fields, line{"user", t.ref(user), user.key("customers")})
	}
	p.fields = append(p.fields, line{"item", t.ref(roles["item"]), t.itemWhy(roles["item"])})
	if roles["order"] != nil {
		p.fields = append(p.fields, line{"order", t.ref(roles["order"]), roles["order"].key("orders")})
	}
	if q := roles["quantity"]; q != nil {
		why := "numbers, by its name (0.9)"
		if q.negative > 0 {
			why += fmt.Sprintf("; %d are negative and take purchases back", q.negative)
		}
		p.fields = append(p.fields, t.value("quantity", q, why))
	}
	if c := roles["price"]; c != nil {
		p.fields = append(p.fields, t.value("price", c, "numbers, by its name (0.9)"))
	}
	if c := t.pick("status", taken, (*column).fewWords); c != nil {
		values, left := statusValues(c)
		p.fields = append(p.fields, line{"status", "{column: " + t.ref(c) + ", values: {" + values + "}}", "few different words (0.7)" + left})
	}
	if c := roles["time"]; c != nil {
		p.fields = append(p.fields, t.value("time", c, ""))
	}
	p.attributes(taken)
	return p
}

// statusValues translates the words of a status. Left says which are left out.
func statusValues(c *column) (values, left string) {
	listed, left := c.listed(func(v string) bool { return statuses[fold(v)] != "" })
	var out []string
	for _, v := range listed {
		out = append(out, quote(v)+": "+cmp.Or(statuses[fold(v)], "purchase"))
	}
	return strings.Join(out, ", "), left
}

// links proposes pairs of keys.
func (t *table) links(left *column, leftKind string, right *column, rightKind string, roles map[string]*column, taken map[*column]bool) *proposal {
	p := &proposal{t: t, kind: fusion.LinkRows, sure: 0.8, why: []string{"it has two keys of one user"}}
	p.fields = append(p.fields,
		line{"left", t.ref(left), left.key(leftKind + "s")}, line{"left_kind", "{constant: " + leftKind + "}", ""},
		line{"right", t.ref(right), right.key(rightKind + "s")}, line{"right_kind", "{constant: " + rightKind + "}", ""})
	if c := roles["time"]; c != nil {
		p.fields = append(p.fields, t.value("time", c, ""))
	}
	taken[left], taken[right] = true, true
	p.attributes(taken)
	return p
}

// table proposes products or users with attributes.
func (t *table) table(roles map[string]*column, taken map[*column]bool) (*proposal, string) {
	key, kind, sure := roles["item"], fusion.ProductRows, 0.9
	why := "each row has another key of an item"
	if key == nil && roles["user"] != nil {
		key, kind, why = roles["user"], fusion.UserRows, "each row has another key of a user"
	}
	if key == nil {
		if key = t.uniqueKey(); key == nil {
			return nil, "no column looks like a key of users or items"
		}
		taken[key] = true
		kind, sure = kindOf(strings.ToLower(filepath.Base(t.path))), 0.6
		why = "each row has another " + key.name + ", and the name of the file says what"
		if kind == "" {
			if t.header == nil || t.pick("title", map[*column]bool{}, nil) == nil {
				return nil, "it is a table, and neither its columns nor its name say of what"
			}
			kind, sure, why = fusion.ProductRows, 0.4, "each row has another "+key.name+", and a name or a description"
		}
	}
	if !key.unique() {
		sure, why = 0.4, "it has keys of items, each several times, and no users"
	}
	p := &proposal{t: t, kind: kind, sure: sure, why: []string{why}}
	name := map[fusion.Kind]string{fusion.ProductRows: "item", fusion.UserRows: "user"}[kind]
	why = key.key(name + "s")
	if _, ok := plays(name, key.name); !ok {
		why = strings.Replace(why, "by its name (0.9)", "by its place (0.6)", 1)
	}
	p.fields = append(p.fields, line{name, t.ref(key), why})
	for role, c := range roles { // they are attributes here
		if c != nil && c != key {
			delete(taken, c)
			delete(roles, role)
		}
	}
	p.attributes(taken)
	return p, ""
}

// uniqueKey returns the first column, if each row has another value there and it is called id, key or nothing.
func (t *table) uniqueKey() *column {
	if len(t.columns) < 2 || !t.columns[0].unique() || t.columns[0].moment() != nil && t.header == nil {
		return nil
	}
	c := t.columns[0]
	if name := fold(c.name); t.header == nil && c.integers || strings.HasSuffix(name, "id") || name == "key" || name == "code" {
		return c
	}
	return nil
}

// bare proposes a mapping for a file without header.
func (t *table) bare() (*proposal, string) {
	width := t.width()
	if len(t.widths) > 3 && 5*t.widths[width] < 4*t.rows || t.sep == "" {
		return t.lists(), ""
	}
	taken := map[*column]bool{}
	if width < 2 {
		return nil, "its rows have one column"
	}
	t.columns = t.columns[:min(width, len(t.columns))]
	for i, c := range t.columns {
		c.name = strconv.Itoa(i + 1)
	}
	keys := func(c *column) bool { return c.n > 0 && (c.integers || c.number() == nil) && c.missing*10 < t.rows }
	a, b := t.columns[0], t.columns[1]
	if width > 5 || a.unique() && t.rows > 1 || !keys(a) || !keys(b) || a.distinct() < 10 || b.distinct() < 10 {
		return t.table(map[string]*column{}, taken)
	}
	p := &proposal{t: t, kind: fusion.EventRows, sure: 0.6, why: []string{"two columns of keys that come again, without names"}}
	taken[a], taken[b] = true, true
	byPlace := func(c *column, what string) string {
		return strings.Replace(c.key(what), "by its name (0.9)", "by its place (0.5)", 1)
	}
	p.columns = append(p.columns, line{"user", "1", byPlace(a, "users")}, line{"item", "2", byPlace(b, "items")})
	var value, moment *column
	for _, c := range t.columns[2:] {
		switch {
		case moment == nil && c.moment() != nil:
			moment = c
		case value == nil && c.number() != nil && c.number().words == "numbers":
			value = c
		default:
			continue
		}
		taken[c] = true
	}
	behavior := "view"
	if value != nil {
		behavior = "rating"
		p.columns = append(p.columns, line{"value", value.name, fmt.Sprintf("numbers from %v to %v (0.6)", value.low, value.high)})
	} else {
		p.columns = append(p.columns, line{"value", quote(fusion.None), ""})
	}
	p.time(moment)
	p.extra = append(p.extra, line{"behavior", behavior, "of all rows; say purchase, cart, ... if they are (0.4)"})
	p.leave(taken)
	return p, ""
}

// lists proposes lines of items.
func (t *table) lists() *proposal {
	if t.columns[0].unique() && t.sep != "," && t.sep != ";" {
		t.format = source.Lines
		return &proposal{
			t: t, kind: fusion.EventRows, sure: 0.6, extra: []line{{"behavior", "view", "of all; say purchase, ... if they are (0.4)"}},
			why: []string{"rows of different lengths, each with another first field: lines of a user and items"},
		}
	}
	t.format = source.Baskets
	return &proposal{
		t: t, kind: fusion.EventRows, sure: 0.6, extra: []line{{"behavior", "purchase", "of all (0.6)"}},
		why: []string{"rows of different lengths, whose first fields come again: baskets of items"},
	}
}
