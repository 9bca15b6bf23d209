package fusion

import (
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// Kind is what the rows of a source are.
type Kind string

// Kinds of sources.
const (
	// EventRows are observations of a user and an item, as in a log. It is the default.
	EventRows Kind = "events"
	// OrderRows are rows of orders: a user, an item, perhaps an order, a quantity, a price and a status. They become events of
	// behavior purchase or cancel.
	OrderRows Kind = "orders"
	// ProductRows are items with attributes.
	ProductRows Kind = "products"
	// UserRows are users with attributes.
	UserRows Kind = "users"
	// LinkRows are pairs of keys of one user, such as a device and an account, or of one product.
	LinkRows Kind = "links"
	// TableRows are nothing by themselves: other sources join them.
	TableRows Kind = "tables"
)

// kinds lists all, in the order of documents.
var kinds = []Kind{EventRows, OrderRows, ProductRows, UserRows, LinkRows, TableRows}

// kind returns the kind of a mapping.
func (m *Mapping) kind() Kind {
	if m.Kind == "" {
		return EventRows
	}
	return m.Kind
}

// HasEvents reports whether rows of the kind become events.
func (k Kind) HasEvents() bool { return k == "" || k == EventRows || k == OrderRows }

// hasUsers and hasItems report whether rows of the kind are of a user, or of an item.
func (k Kind) hasUsers() bool { return k.HasEvents() || k == UserRows }
func (k Kind) hasItems() bool { return k.HasEvents() || k == ProductRows }

// meaning is a field of a kind that means something to kith. All other fields are attributes.
type meaning struct {
	name string
	typ  record.Type
	// needed fields are in every mapping, and have a value in every record.
	needed bool
	// key fields are bounded as keys are.
	key  bool
	what string
}

// mayHide reports whether a field that means something may be personal, or hashed: what goes into the context of events as it is, and
// stays what it is there. Without any other the rows would become other events.
func (m *meaning) mayHide(hashed bool) bool {
	return m.name == "order" || m.name == "price" && !hashed
}

// meanings says which fields kinds have.
var meanings = map[Kind][]meaning{
	EventRows: {
		{"user", record.Text, true, true, "key of the user"},
		{"item", record.Text, true, true, "key of the item"},
		{"behavior", record.Text, false, false, "what the user did; see values"},
		{"value", record.Number, false, false, "the rating, or the quantity of any other behavior"},
		{"time", record.Time, false, false, "when"},
		{"id", record.Text, false, true, "of the event, among those of its user; made of source, line and content if it is not given"},
	},
	OrderRows: {
		{"user", record.Text, true, true, "key of the customer"},
		{"item", record.Text, true, true, "key of the product"},
		{"order", record.Text, false, true, "key of the order"},
		{"quantity", record.Number, false, false, "how many; 1 if it is not given, negative for what is taken back"},
		{"price", record.Number, false, false, "of one piece"},
		{"status", record.Text, false, false, "purchase or cancel, after values; purchase if it is not given"},
		{"time", record.Time, false, false, "when"},
		{"id", record.Text, false, true, "of the row, among those of its user; made of source, line and content if it is not given"},
	},
	ProductRows: {{"item", record.Text, true, true, "key of the product"}},
	UserRows:    {{"user", record.Text, true, true, "key of the user"}},
	LinkRows: {
		{"left", record.Text, true, true, "a key"},
		{"right", record.Text, true, true, "another key of the same user"},
		{"left_kind", record.Text, true, true, "kind of the key on the left: device, cookie, account, ..."},
		{"right_kind", record.Text, true, true, "kind of the key on the right"},
		{"time", record.Time, false, false, "when they were seen together"},
	},
}

// meaningOf returns what a field of a kind means, if it means something.
func meaningOf(k Kind, name string) (meaning, bool) {
	i := slices.IndexFunc(meanings[k], func(m meaning) bool { return m.name == name })
	if i < 0 {
		return meaning{}, false
	}
	return meanings[k][i], true
}
