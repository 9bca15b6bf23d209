package fusion

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// parseText reads a mapping file that is a text.
func parseText(text string) (*File, error) {
	return parseFile([]byte(text), "map.yaml", MappingOptions{Lookup: func(string) (string, bool) { return "", false }})
}

// TestHiddenFields: what a row means cannot be hidden, what it has beside can, and what is hidden in another source stays so in one that takes it.
func TestHiddenFields(t *testing.T) {
	const log = "sources:\n  - {path: a, fields: {user: u, item: i, behavior: b, value: v, time: t, id: e, city: c}, "
	const orders = "sources:\n  - {path: a, kind: orders, fields: {user: u, item: i, status: s, quantity: q, price: p, order: o, time: t}, "
	const heads = "  - {name: heads, path: b, kind: tables, fields: {number: n, customer: c, mail: m, placed: {column: p, type: time}}, "
	const lines = "sources:\n  - {name: lines, path: a, kind: orders, fields: {item: i, order: o}, join: [{source: heads, on: {order: number}, take: {user: customer, "
	for _, c := range []struct{ in, want string }{
		{log + "hashed: [time]}\n", `map.yaml:2:100: a: bad mapping: time of events is what the row means (when), and would be lost or be something else; take it out of hashed`},
		{log + "personal: [behavior]}\n", "behavior of events is what the row means"},
		{log + "hashed: [city, value]}\n", "value of events is what the row means"},
		{log + "hashed: [id]}\n", "id of events is what the row means"},
		{log + "personal: [item]}\n", "item is needed"},
		{log + "personal: [city]}\n", ""},
		{orders + "hashed: [status]}\n", "status of orders is what the row means"},
		{orders + "personal: [quantity]}\n", "quantity of orders is what the row means"},
		{orders + "hashed: [price]}\n", "price of orders is what the row means"},
		{orders + "hashed: [order], personal: [price]}\n", ""},
		{"sources:\n  - {path: a, columns: {user: u, item: i, time: t}, hashed: [time]}\n", "time of events is what the row means"},
		{lines + "mail: mail}}]}\n" + heads + "hashed: [mail]}\n", ""},
		{log + "hashed: [city]}\nusers: {pseudonyms: true}\n", ""},
		{
			"sources:\n  - {path: a, fields: {user: u, item: i, buyer: U}}\nusers: {pseudonyms: true}\n",
			"map.yaml:2:49: a: bad mapping: buyer would be stored in clear, and has the key of the user, for which a pseudonym is stored; say personal: [buyer]",
		},
		{"sources:\n  - {path: a, fields: {user: u, item: i, buyer: u}, personal: [buyer]}\nusers: {pseudonyms: true}\n", ""},
		{"sources:\n  - {path: a, fields: {user: u, item: i, id: u, staff: {column: u, values: {root: yes, '*': no}}}}\nusers: {pseudonyms: true}\n", ""},
		{"sources:\n  - {path: a, fields: {user: u, item: i, buyer: u}}\n", ""},
		{"sources:\n  - {path: a, columns: {user: u, item: i, context: {buyer: u}}}\nusers: {pseudonyms: true}\n", "buyer would be stored in clear"},
		{
			lines + "time: placed}}]}\n" + heads + "personal: [placed]}\n",
			"placed is personal in heads, and could not be the time of orders here; declare the column of placed there a second time, under a name that is not personal",
		},
		{
			lines + "mail: mail}}]}\n" + heads + "hashed: [customer]}\n",
			"map.yaml:2:128: lines: bad mapping: customer is hashed in heads, and could not be the user of orders here; take it out of hashed there, and hide keys of users by users: {pseudonyms: true}",
		},
	} {
		switch _, err := parseText(c.in); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.in, err)
		case c.want != "" && (!errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v\nwant %s", c.in, err, c.want)
		}
	}

	// Through two joins, and under other names.
	f, err := parseText(`
sources:
  - {name: people, kind: users, path: p, fields: {user: id, mail: m, phone: t, city: c}, personal: [mail], hashed: [phone]}
  - {name: heads, kind: tables, path: h, fields: {number: n, customer: c}, join: [{source: people, on: {customer: user}, take: {mail: mail, tel: phone, city: city}}]}
  - {name: lines, kind: orders, path: l, fields: {item: i, order: o}, join: [{source: heads, on: {order: number}, take: {user: customer, contact: mail, tel: tel, town: city}}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2][]string{"people": {{"mail"}, {"phone"}}, "heads": {{"mail"}, {"tel"}}, "lines": {{"contact"}, {"tel"}}} {
		if m := f.Source(name); !slices.Equal(m.Personal, want[0]) || !slices.Equal(m.Hashed, want[1]) || !m.Private() {
			t.Errorf("%s: personal %v, hashed %v, private %v; want %v", name, m.Personal, m.Hashed, m.Private(), want)
		}
	}
}

// TestPrivate: with pseudonyms all sources are private that keys of users may stand in.
func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		m           Mapping
		plain, with bool
	}{
		{Mapping{}, false, true},
		{Mapping{Kind: OrderRows}, false, true},
		{Mapping{Kind: UserRows}, false, true},
		{Mapping{Kind: LinkRows}, false, true},
		{Mapping{Kind: LinkRows, Of: "users"}, false, true},
		{Mapping{Kind: LinkRows, Of: "products"}, false, false},
		{Mapping{Kind: TableRows}, false, true},
		{Mapping{Kind: ProductRows}, false, false},
		{Mapping{Kind: ProductRows, Personal: []string{"seller"}}, true, true},
		{Mapping{Kind: ProductRows, Hashed: []string{"seller"}}, true, true},
	} {
		plain := c.m.Private()
		c.m.HideUsers = true
		if with := c.m.Private(); plain != c.plain || with != c.with {
			t.Errorf("%s of %q: %v, with pseudonyms %v; want %v and %v", c.m.Kind, c.m.Of, plain, with, c.plain, c.with)
		}
	}
}

// TestFileMistakes: what refers from one part of a file to another is checked before anything is read.
func TestFileMistakes(t *testing.T) {
	const sources = `
sources:
  - {name: log, path: log.csv, fields: {user: u, item: i, user_kind: {column: k, values: {d: device, c: cookie}}}}
  - {name: seen, kind: links, path: seen.csv, keys: [account, cookie], fields: {account: a, cookie: c}}
  - {name: pairs, kind: links, path: pairs.csv, fields: {left: a, left_kind: {constant: account}, right: b, right_kind: {column: k, values: {'*': cookie, x: ~}}}}
  - {name: skus, kind: links, of: products, path: skus.csv, keys: [sku, ean], fields: {sku: s, ean: e}}
  - {name: people, kind: users, path: people.csv, fields: {user: id, mail: m}}
  - {name: goods, kind: products, path: goods.csv, fields: {item: id, title: t, brand: b, seen: {column: s, type: time}}}
`
	const users = "users: {kinds: [account, cookie, device], match: {email: mail}}\n"
	const products = "products: {kinds: [sku, ean], titles: {agree: [brand]}, changed: seen, fields: {brand: majority}}\n"
	if _, err := parseText(sources + users + products); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{
			"keys: [account, cookie], fields: {account: a, cookie: c}", "keys: [account, cooky], fields: {account: a, cooky: c}",
			`map.yaml:4:63: seen: bad mapping: "cooky" is not one of users.kinds; did you mean "cookie"?`,
		},
		{"{constant: account}", "{constant: acount}", `map.yaml:5:89: pairs: bad mapping: "acount" is not one of users.kinds; did you mean "account"?`},
		{"'*': cookie", "'*': kookie", `pairs: bad mapping: "kookie" is not one of users.kinds`},
		{"keys: [sku, ean], fields: {sku: s, ean: e}", "keys: [sku, isbn], fields: {sku: s, isbn: e}", `skus: bad mapping: "isbn" is not one of products.kinds`},
		{"d: device", "d: devise", `map.yaml:3:94: log: bad mapping: "devise" is not one of users.kinds; did you mean "device"?`},
		{"brand: majority", "brnd: majority", `map.yaml:10:87: bad mapping: no source of kind products has the field "brnd"; did you mean "brand"?`},
		{"agree: [brand]", "agree: [maker]", `no source of kind products has the field "maker"`},
		{"titles: {", "titles: {field: name, ", `no source of kind products has the field "name"`},
		{"changed: seen", "changed: sen", `no source of kind products has the field "sen"; did you mean "seen"?`},
		{"email: mail", "email: e-mail", `map.yaml:9:58: bad mapping: no source of kind users has the field "e-mail"`},
		{
			"users: {kinds: [account, cookie, device], match: {email: mail}}", "",
			`map.yaml:3:70: log: bad mapping: the field user_kind says of which kind a key is; say users: {kinds: [...]}`,
		},
	} {
		in := strings.Replace(sources+users+products, c.old, c.new, 1)
		if _, err := parseText(in); !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.new, err, c.want)
		}
	}
}

// TestJoinsOfJoins: a source may join one before it that joins itself; in the wrong order and in circles the error says what to do.
func TestJoinsOfJoins(t *testing.T) {
	table := func(name, of string) string {
		return "  - {name: " + name + ", kind: tables, path: p, fields: {k: k, v: v}, join: [{source: " + of + ", on: {k: k}, take: {v: v}}]}\n"
	}
	const end = "  - {name: d, kind: tables, path: p, fields: {k: k, v: v}}\n"
	for _, c := range []struct{ in, want string }{
		{table("b", "d") + table("a", "b") + end, ""},
		{table("a", "b") + table("b", "d") + end, "map.yaml:2:76: a: bad mapping: b joins d itself; put it before this source"},
		{table("a", "b") + table("b", "a") + end, "a: bad mapping: the sources join each other in a circle: a joins b joins a; take one of these joins out"},
		{table("a", "b") + table("b", "c") + table("c", "a") + end, "in a circle: a joins b joins c joins a; "},
	} {
		switch _, err := parseText("sources:\n" + c.in); {
		case c.want == "" && err != nil:
			t.Error(err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s%v\nwant %s", c.in, err, c.want)
		}
	}
}
