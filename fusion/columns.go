package fusion

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kith-io/kith/source"
)

// ErrMapping means that the mapping, or what it says about a file, is at fault,
// and not a row.
var ErrMapping = errors.New("bad mapping")

// None in place of a column says that the file has none, whatever its columns
// are called.
const None = "-"

// Columns says which column of a file holds what. A column is given by its
// name in the header, in which case does not matter, or else by its position
// from 1. If one is given by name, the first row is the header.
//
// An empty field stands for the first column with a usual name: user, user_id,
// customer, visitorid, ...; item, item_id, product, movieId, ...; weight, rating,
// value, score, count, quantity, ...; time, timestamp, date, ...; behavior, action,
// and event or type if one of its first values is a behavior that kith knows; id,
// event_id. A column that is given for something else is not considered. In a
// file without header the first two columns are user and item;
// the third is the value if it holds numbers that are no Unix times, otherwise
// the time if it holds times; the fourth is what of the two the third is not.
type Columns struct {
	User, Item string
	Value      string // the rating, or the quantity of any other behavior
	Time       string
	Behavior   string
	ID         string            // of the event, among those of its user
	Context    map[string]string // key of the context -> column
}

// roles are the parts of an event that a column can hold, in the order in
// which positions are given.
var roles = []string{"user", "item", "weight", "time", "behavior", "id"}

// slot returns the field of c for a role, or nil.
func (c *Columns) slot(role string) *string {
	switch strings.ToLower(role) {
	case "user":
		return &c.User
	case "item":
		return &c.Item
	case "weight", "value", "rating":
		return &c.Value
	case "time":
		return &c.Time
	case "behavior", "behaviour": //nolint:misspell // files have it
		return &c.Behavior
	case "id":
		return &c.ID
	}
	return nil
}

// ParseColumns reads the flag --columns, in one of three forms:
//
//	user=userId,item=movieId,weight=rating,time=timestamp
//	user,item,-,time
//	2,1,3
//
// The first gives the column of each role, by name or position; a role not
// named keeps its usual names, and "-" says that the file has no such column.
// Context is context.KEY=column. The second says what the columns hold, in the
// order of the file, with "-" for those without interest; the third gives the
// positions of user, item, weight and time. With these two the file has
// nothing else. The empty string is the zero Columns.
func ParseColumns(s string) (Columns, error) {
	if strings.TrimSpace(s) == "" {
		return Columns{}, nil
	}
	parts := strings.Split(s, ",")
	numbers := 0
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
		if isPosition(parts[i]) {
			numbers++
		}
	}
	var c Columns
	var err error
	switch {
	case strings.Contains(s, "="):
		err = c.parseNamed(parts)
	case numbers > 0:
		err = c.parsePositions(parts)
	default:
		err = c.parseOrder(parts)
	}
	if err == nil && !strings.Contains(s, "=") {
		if c.User == "" || c.Item == "" {
			err = errors.New("user and item are needed")
		}
		for _, role := range roles[2:] {
			if f := c.slot(role); *f == "" {
				*f = None
			}
		}
	}
	if err == nil {
		err = c.validate()
	}
	if err != nil {
		return Columns{}, fmt.Errorf("%w: columns %q: %w; want as user=userId,item=movieId,weight=rating,time=timestamp, or user,item,-,time, or 2,1,3 (roles: %s, context.KEY)",
			ErrMapping, s, err, strings.Join(roles, ", "))
	}
	return c, nil
}

func (c *Columns) parseNamed(parts []string) error {
	for _, p := range parts {
		role, column, ok := strings.Cut(p, "=")
		role, column = strings.TrimSpace(role), strings.TrimSpace(column)
		if !ok || column == "" {
			return fmt.Errorf("%q is not role=column", p)
		}
		if key, ok := strings.CutPrefix(role, "context."); ok {
			if c.Context == nil {
				c.Context = map[string]string{}
			}
			if c.Context[key] != "" {
				return fmt.Errorf("%s is given twice", role)
			}
			c.Context[key] = column
			continue
		}
		f := c.slot(role)
		if f == nil {
			return fmt.Errorf("unknown role %q", role)
		}
		if *f != "" {
			return fmt.Errorf("%s is given twice", role)
		}
		*f = column
	}
	return nil
}

func (c *Columns) parsePositions(parts []string) error {
	if len(parts) > 4 {
		return fmt.Errorf("%d positions are more than user, item, weight and time", len(parts))
	}
	for i, p := range parts {
		if p == None {
			continue
		}
		if !isPosition(p) {
			return fmt.Errorf("%q stands among positions", p)
		}
		*c.slot(roles[i]) = p
	}
	return nil
}

func (c *Columns) parseOrder(parts []string) error {
	for i, p := range parts {
		if p == None {
			continue
		}
		f := c.slot(p)
		if f == nil {
			return fmt.Errorf("unknown role %q", p)
		}
		if *f != "" {
			return fmt.Errorf("%s is given twice", p)
		}
		*f = strconv.Itoa(i + 1)
	}
	return nil
}

// isPosition reports whether s is a whole number above 0.
func isPosition(s string) bool {
	n, err := strconv.ParseUint(s, 10, 31)
	return err == nil && n > 0
}

func (c *Columns) validate() error {
	if c.User == None || c.Item == None {
		return errors.New("user and item are needed")
	}
	for key, column := range c.Context {
		if key == "" || column == "" || column == None {
			return fmt.Errorf("context %q has no key or no column", key)
		}
	}
	return nil
}

// named reports whether a column is given by name, which takes a header.
func (c *Columns) named() bool { return len(c.names()) > 0 }

// names lists the columns that are given by name.
func (c *Columns) names() []string {
	var out []string
	for _, role := range roles {
		if f := *c.slot(role); f != "" && f != None && !isPosition(f) {
			out = append(out, f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Context)) {
		if f := c.Context[key]; !isPosition(f) {
			out = append(out, f)
		}
	}
	return out
}

// positions says where in a record the parts of an event stand, from 0; -1
// where there is none.
type positions struct {
	user, item, value, time, behavior, id int
	context                               []contextColumn // by key
	need                                  int             // fields that a row must have
}

type contextColumn struct {
	key string
	at  int
}

// chosen lists all positions.
func (p *positions) chosen() []int {
	out := []int{p.user, p.item, p.value, p.time, p.behavior, p.id}
	for _, c := range p.context {
		out = append(out, c.at)
	}
	return out
}

// resolve finds the columns of a file with the given header, or without one
// those of its first rows.
func (c *Columns) resolve(header []string, sample []source.Record) (positions, error) {
	width := len(header)
	if header == nil {
		width = usualWidth(sample)
		if err := c.checkRagged(sample, width); err != nil {
			return positions{}, err
		}
	}
	p := positions{user: -1, item: -1, value: -1, time: -1, behavior: -1, id: -1}
	taken := map[int]string{}
	place := func(role, column string) (int, error) {
		i, err := find(column, header, width)
		if err != nil {
			return -1, at("columns."+role, "%s %w%s; %s", role, err, didYouMean(column, header), describe(header, width))
		}
		if other, ok := taken[i]; ok && !strings.HasPrefix(role, "context.") {
			return -1, at("columns."+role, "%s and %s are both column %s", other, role, column)
		}
		taken[i] = role
		return i, nil
	}
	dst := []*int{&p.user, &p.item, &p.value, &p.time, &p.behavior, &p.id}
	for i, role := range roles {
		column := *c.slot(role)
		if column == "" || column == None {
			continue
		}
		var err error
		if *dst[i], err = place(role, column); err != nil {
			return p, err
		}
	}
	for i, role := range roles {
		if *c.slot(role) != "" {
			continue
		}
		at := -1
		if header != nil {
			at = findUsual(role, header, taken)
		} else if i < 4 {
			at = guess(role, sample, width, taken)
		}
		if at >= 0 {
			*dst[i] = at
			taken[at] = role
		} else if i < 2 {
			return p, fmt.Errorf("%w: no column for the %s; %s: name it, as in columns %s=NAME", ErrMapping, role, describe(header, width), role)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Context)) {
		at, err := place("context."+key, c.Context[key])
		if err != nil {
			return p, err
		}
		p.context = append(p.context, contextColumn{key, at})
	}
	p.need = slices.Max(p.chosen()) + 1
	return p, nil
}

// find returns the place of a column given by name or position.
func find(column string, header []string, width int) (int, error) {
	at, n := -1, 0
	for i, h := range header {
		switch {
		case h == column:
			return i, nil
		case strings.EqualFold(h, column):
			at, n = i, n+1
		}
	}
	switch {
	case n == 1:
		return at, nil
	case n > 1:
		return -1, fmt.Errorf("column %q is one of %d that differ in case only; give its position", column, n)
	case !isPosition(column):
		return -1, fmt.Errorf("column %q is not there", column)
	}
	at, err := strconv.Atoi(column)
	if err != nil || at > width {
		return -1, fmt.Errorf("column %s is beyond the last", column)
	}
	return at - 1, nil
}

func describe(header []string, width int) string {
	if header == nil {
		return fmt.Sprintf("the file has no header, and rows of %d fields", width)
	}
	const most = 30
	names := strings.Join(header[:min(len(header), most)], ", ")
	if len(header) > most {
		names += ", ..."
	}
	return "the file has the columns " + names
}

// checkRagged refuses to guess the columns of rows without a header that differ in length: they are lines of items more
// likely than rows with missing fields, and all items but the first would be taken for something else.
func (c *Columns) checkRagged(sample []source.Record, width int) error {
	for _, role := range roles {
		if *c.slot(role) != "" {
			return nil
		}
	}
	usual := 0
	least, most := width, width
	for _, rec := range sample {
		n := len(rec.Fields)
		if n == width {
			usual++
		}
		least, most = min(least, n), max(most, n)
	}
	const guessed = 4 // columns of a row without a header
	if most <= max(guessed, width) || 5*usual >= 4*len(sample) {
		return nil
	}
	return fmt.Errorf("%w: the first rows have %d to %d fields: are they lines of items (format lines or baskets)? Otherwise name the columns", ErrMapping, least, most)
}

// usualWidth returns the most frequent number of fields, the smaller of two.
func usualWidth(sample []source.Record) int {
	counts := map[int]int{}
	for _, rec := range sample {
		counts[len(rec.Fields)]++
	}
	best := 0
	for _, width := range slices.Sorted(maps.Keys(counts)) {
		if counts[width] > counts[best] {
			best = width
		}
	}
	return best
}

// usual lists the usual names of each role as fold leaves them, the more
// telling first.
var usual = map[string][]string{
	"user": {
		"user", "userid", "uid", "username", "customer", "customerid", "visitor", "visitorid", "client", "clientid", "member",
		"memberid", "household", "householdid", "householdkey", "buyerid", "accountid", "reviewerid", "shopperid",
	},
	"item": {
		"item", "itemid", "iid", "product", "productid", "sku", "asin", "movieid", "filmid", "bookid", "isbn", "artistid",
		"songid", "trackid", "articleid", "gameid", "goodsid", "stockcode", "businessid",
	},
	"weight":   {"weight", "rating", "value", "score", "stars", "count", "plays", "playcount", "quantity", "qty"},
	"time":     {"time", "timestamp", "datetime", "date", "eventtime", "eventdate", "createdat", "ts", "unixtime", "unixreviewtime", "invoicedate", "transactiontimestamp"},
	"behavior": {"behavior", "behaviour", "behaviortype", "behaviourtype", "event", "eventtype", "action", "actiontype", "type"}, //nolint:misspell // files have it
	"id":       {"id", "eventid"},
}

// isUsualName is what tells a header from a first row.
func isUsualName(name string) bool {
	name = fold(name)
	for _, names := range usual {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// UsualRole returns what a column with a usual name holds: user, item, weight, time, behavior or id; "" for any other name.
func UsualRole(name string) string {
	name = fold(name)
	for _, role := range roles {
		if slices.Contains(usual[role], name) {
			return role
		}
	}
	return ""
}

// mayBeOther reports whether a usual name of the behavior column is one of
// other columns, too: the type of a product, the number of an event.
func mayBeOther(name string) bool { return fold(name) == "type" || fold(name) == "event" }

// fold leaves of a name what tells it from others: User_ID and userId are one.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// findUsual returns the first column with a usual name of role that is not taken, or -1.
func findUsual(role string, header []string, taken map[int]string) int {
	for _, name := range usual[role] {
		for i, h := range header {
			if taken[i] == "" && fold(h) == name {
				return i
			}
		}
	}
	return -1
}

// guess places a role in a file without header; see Columns.
func guess(role string, sample []source.Record, width int, taken map[int]string) int {
	order := []int{0, 1}
	looks := func(int) bool { return true }
	switch role {
	case "weight":
		order, looks = []int{2, 3}, func(i int) bool { return areNumbers(sample, width, i) && !areUnixTimes(sample, width, i) }
	case "time":
		order, looks = []int{2, 3}, func(i int) bool { return areTimes(sample, width, i) }
	case "item":
		order = []int{1, 0}
	}
	for _, i := range order {
		if i < width && taken[i] == "" && looks(i) {
			return i
		}
	}
	return -1
}

// areAll reports whether there are values at position i of the rows of the
// usual width, and all are ok.
func areAll(sample []source.Record, width, i int, ok func([]byte) bool) bool {
	n := 0
	for _, rec := range sample {
		if len(rec.Fields) != width {
			continue
		}
		if f := trimBlanks(rec.Fields[i]); len(f) > 0 {
			if !ok(f) {
				return false
			}
			n++
		}
	}
	return n > 0
}

func areNumbers(sample []source.Record, width, i int) bool {
	return areAll(sample, width, i, func(b []byte) bool {
		_, _, err := parseNumber(b, true)
		return err == nil
	})
}

// areUnixTimes takes whole numbers of nine digits and more, after March 1973
// in seconds, for times.
func areUnixTimes(sample []source.Record, width, i int) bool {
	return areAll(sample, width, i, func(b []byte) bool {
		n, ok := parseDigits(b)
		return ok && n >= 1e8
	})
}

func areTimes(sample []source.Record, width, i int) bool {
	var t timeReader
	return areAll(sample, width, i, func(b []byte) bool {
		_, err := t.parse(b)
		return err == nil
	})
}
