package fusion

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/kith-io/kith/source"
)

// mappingFile is the YAML of a mapping file. All keys of a source but path are
// optional:
//
//	sources:
//	  - name: orders            # default: base name of the path
//	    path: orders.csv        # relative to the mapping file, a file, a folder, or a pattern such as logs/**/2024-*.csv.gz; "-" is standard input
//	    format: csv             # auto, csv, tsv, delimited, lines, baskets, jsonl, parquet
//	    explode: items          # of jsonl: an array whose elements become rows
//	    separator: comma        # characters, or tab, comma, semicolon, pipe, space
//	    header: auto            # auto, true, false
//	    quote: true             # false: a quote is a character like any other
//	    encoding: utf-8         # latin1, windows-1252, utf-16
//	    skip: 0                 # lines before the header or the first row
//	    ragged: false           # true: rows may differ in length from the header
//	    max_row_bytes: 1048576
//	    max_expansion: 250      # times that a compressed file may expand
//	    columns:                # by name, or by position from 1; "-" for none
//	      user: customer
//	      item: sku
//	      value: quantity       # or weight
//	      time: created
//	      behavior: status
//	      id: line
//	      context:
//	        channel: source
//	    behavior: purchase      # of rows without one
//	    behaviors:              # value of the behavior column -> behavior
//	      paid: purchase
//	      refunded: cancel
//	    time_unit: auto         # of numbers: s, ms, us, ns
//	    time_layout: 02/01/2006 # of dates that do not start with the year
//	    kind: events            # orders, products, users, links
//	    fields: {}              # instead of columns: see Field
//	    where: value > 0        # rows to take
//	    clean: []               # rules, read by another package
//	    join: []                # fields of other sources: see Join
//	    user_kind: cookie       # kind of the keys of users
//	    item_kind: ean          # kind of the keys of items
//	    of: users               # what links join: users, products
//	    keys: [cookie, account] # of links: fields called as the kinds of their keys
//	    personal: [email]       # fields that are not stored
//	    hashed: [phone]         # fields that are stored as keyed hashes
//	    lists: {tags: "|"}      # texts that are lists, and what separates them
//	rates: {EUR: 1, USD: 0.92}  # what one unit of each currency is worth
//	users: {}                   # how profiles are joined: see Entity
//	products: {}                # how products are joined: see Entity
//	secret_env: KITH_SECRET     # variable of the environment with the key of hashes
type mappingFile struct {
	Sources   []mappingEntry     `yaml:"sources" doc:"what to read"`
	Rates     map[string]float64 `yaml:"rates" doc:"what one unit of each currency is worth, in any one measure: {EUR: 1, USD: 0.92}"`
	Users     Entity             `yaml:"users" doc:"which keys are one user, and whose value counts where sources disagree"`
	Products  Entity             `yaml:"products" doc:"which keys are one product, and whose value counts where sources disagree"`
	SecretEnv string             `yaml:"secret_env" doc:"environment variable with the secret for pseudonyms and hashed fields, at least 16 characters"`
}

type mappingEntry struct {
	Name          string              `yaml:"name" doc:"goes into event ids, reports and dead letters; default: base name of the path"`
	Kind          Kind                `yaml:"kind" enum:"events,orders,products,users,links,tables" doc:"what the rows are; default events"`
	Path          string              `yaml:"path" doc:"a file, a folder or a pattern, relative to this file; - is standard input; ${NAME} is taken from the environment"`
	Format        string              `yaml:"format" doc:"auto, csv, tsv, delimited, jsonl, lines (user item item ...), baskets (item item ...), parquet"`
	Separator     string              `yaml:"separator" doc:"characters, or tab, comma, semicolon, pipe, space; default: found out"`
	Header        string              `yaml:"header" enum:"auto,true,false,yes,no" doc:"whether the first row names the columns"`
	Quote         *bool               `yaml:"quote" doc:"false: a quote is a character like any other"`
	Encoding      string              `yaml:"encoding" doc:"utf-8, latin1, windows-1252, utf-16, utf-16le, utf-16be"`
	Skip          int                 `yaml:"skip" doc:"lines before the header or the first row"`
	Ragged        bool                `yaml:"ragged" doc:"rows may differ in length from the header"`
	MaxRowBytes   int                 `yaml:"max_row_bytes" doc:"the longest row; default 1048576"`
	MaxExpansion  int                 `yaml:"max_expansion" doc:"how many times its size a compressed file may expand to; default 250"`
	Explode       string              `yaml:"explode" doc:"path of an array in JSON lines: a row for each of its elements"`
	Columns       mappingColumns      `yaml:"columns" doc:"columns of events, by name or by position from 1; - for none"`
	Behavior      Behavior            `yaml:"behavior" doc:"behavior of rows without one"`
	Behaviors     map[string]Behavior `yaml:"behaviors" doc:"value of the behavior column -> behavior"`
	TimeUnit      string              `yaml:"time_unit" enum:"auto,s,ms,us,ns" doc:"unit of times that are numbers"`
	TimeLayout    string              `yaml:"time_layout" doc:"layout of times that do not start with the year: 02/01/2006"`
	Fields        fieldList           `yaml:"fields" doc:"fields of the records, instead of columns: name -> column, or where its values come from and what is done to them"`
	Where         string              `yaml:"where" doc:"condition over the fields; rows for which it is not true are left out"`
	Clean         ast.Node            `yaml:"clean" doc:"rules that records are cleaned by"`
	Join          []Join              `yaml:"join" doc:"fields to take from rows of other sources"`
	UserKind      string              `yaml:"user_kind" doc:"kind of the keys of users, one of users.kinds; default the first"`
	ItemKind      string              `yaml:"item_kind" doc:"kind of the keys of items, one of products.kinds; default the first"`
	Keys          []string            `yaml:"keys" doc:"of links: fields with keys that were seen together, called as their kinds, instead of left and right"`
	Of            string              `yaml:"of" enum:"users,products" doc:"what links join; default users"`
	Personal      []string            `yaml:"personal" doc:"fields that may be cleaned and matched by, and are never stored"`
	Hashed        []string            `yaml:"hashed" doc:"fields that are stored as keyed hashes only"`
	Lists         map[string]string   `yaml:"lists" doc:"text fields that are lists, with what separates the entries: {tags: \"|\"}"`
	Table         string              `yaml:"table" doc:"table of a database to read"`
	Query         string              `yaml:"query" doc:"query of a database to read, instead of a table"`
	Cursor        []string            `yaml:"cursor" doc:"columns by which rows of a database are ordered and reading goes on"`
	PasswordEnv   string              `yaml:"password_env" doc:"environment variable that has the password"`
	Endpoint      string              `yaml:"endpoint" doc:"address of an object store"`
	Region        string              `yaml:"region" doc:"region of an object store"`
	Group         string              `yaml:"group" doc:"consumer group of a queue"`
	MessageFields []string            `yaml:"message_fields" doc:"paths to values in the messages of a queue"`
	Follow        bool                `yaml:"follow" doc:"wait for new messages of a queue at its end"`
}

type mappingColumns struct {
	User     string            `yaml:"user" doc:"key of the user"`
	Item     string            `yaml:"item" doc:"key of the item"`
	Value    string            `yaml:"value" doc:"rating or quantity"`
	Weight   string            `yaml:"weight" doc:"the same as value"`
	Time     string            `yaml:"time" doc:"when"`
	Behavior string            `yaml:"behavior" doc:"what the user did"`
	ID       string            `yaml:"id" doc:"of the event, among those of its user"`
	Context  map[string]string `yaml:"context" doc:"key of the context -> column"`
}

// ReadMappings reads a mapping file of which nothing but sources is wanted: without rules, joins and identities. Every mistake is an error
// that names file, line and column.
func ReadMappings(path string) ([]Mapping, error) { return ReadMappingsWith(path, MappingOptions{}) }

// MappingOptions says what a mapping file may refer to.
type MappingOptions struct {
	// Rules reads the node under the key clean of a source; its result becomes Mapping.Rules. Its errors are returned with file, line
	// and column of the node. Without it, the key is an error.
	Rules func(m *Mapping, node ast.Node) (any, error)
	// Lookup returns what stands for ${NAME} in paths. The default is os.LookupEnv.
	Lookup func(name string) (value string, ok bool)
}

// ReadMappingsWith is ReadMappings with options.
func ReadMappingsWith(path string, o MappingOptions) ([]Mapping, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseMappings(data, path, o)
}

// ReadFile reads a mapping file. Every mistake is an error that names file, line and column.
func ReadFile(path string, o MappingOptions) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseFile(data, path, o)
}

// parseMappings reads the YAML of a mapping file of which nothing but sources is wanted.
func parseMappings(data []byte, path string, o MappingOptions) ([]Mapping, error) {
	f, err := parseFile(data, path, o)
	if err != nil {
		return nil, err
	}
	return f.Alone()
}

// parseFile reads the YAML of a mapping file.
func parseFile(data []byte, path string, o MappingOptions) (*File, error) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	doc, body, err := parseDocument(path, data)
	if err != nil {
		return nil, err
	}
	var file mappingFile
	if body != nil && body.Type() != ast.CommentType {
		if err := doc.decode(body, reflect.ValueOf(&file).Elem(), ""); err != nil {
			return nil, err
		}
	}
	if len(file.Sources) == 0 {
		return nil, doc.errorAt(doc.find("sources"), "no sources; want a list under the key sources, with a path each")
	}
	names := map[string]bool{}
	out := &File{Users: file.Users, Products: file.Products, SecretEnv: file.SecretEnv, doc: doc}
	for i := range file.Sources {
		e := &file.Sources[i]
		m, err := e.mapping(filepath.Dir(path), o.Lookup)
		m.doc, m.at, m.Rates = doc, fmt.Sprintf("sources[%d]", i), file.Rates
		if err == nil {
			err = m.check()
		}
		if err == nil && names[m.name()] {
			err = at("name", "the name is taken by an earlier source; event ids depend on it: give each its own")
		}
		if err == nil && e.Clean != nil {
			m.Rules, err = readRules(&m, e.Clean, o.Rules)
		}
		if err != nil {
			return nil, m.fail(err)
		}
		names[m.name()] = true
		out.Sources = append(out.Sources, m)
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	return out, nil
}

func readRules(m *Mapping, node ast.Node, rules func(m *Mapping, node ast.Node) (any, error)) (any, error) {
	if rules == nil {
		return nil, at("clean", "rules are not applied here; take the key clean out")
	}
	read, err := rules(m, node)
	if err != nil {
		return nil, under("clean", err)
	}
	return read, nil
}

func (e *mappingEntry) mapping(dir string, lookup func(string) (string, bool)) (Mapping, error) {
	m := Mapping{
		Name: e.Name, Path: e.Path,
		Source: source.Options{
			NoQuote: e.Quote != nil && !*e.Quote, Encoding: e.Encoding, Skip: e.Skip, Ragged: e.Ragged, MaxRowBytes: e.MaxRowBytes,
			MaxExpansion: e.MaxExpansion, Explode: e.Explode,
		},
		Columns: Columns{
			User: e.Columns.User, Item: e.Columns.Item, Value: e.Columns.Value, Time: e.Columns.Time,
			Behavior: e.Columns.Behavior, ID: e.Columns.ID, Context: e.Columns.Context,
		},
		Behavior: e.Behavior, Behaviors: e.Behaviors, TimeLayout: e.TimeLayout,
		Kind: e.Kind, Fields: e.Fields, Where: e.Where,
		Joins: e.Join, UserKind: e.UserKind, ItemKind: e.ItemKind, Of: e.Of, Keys: e.Keys, Personal: e.Personal, Hashed: e.Hashed, Lists: e.Lists,
	}
	var err error
	if m.Path, err = expandPath(e.Path, lookup); err != nil {
		return m, err
	}
	if m.Path != "" && m.Path != "-" && source.Scheme(m.Path) == "" && !filepath.IsAbs(m.Path) {
		m.Path = filepath.Join(dir, m.Path)
	}
	switch {
	case e.Columns.Weight == "":
	case m.Columns.Value != "":
		return m, at("columns.weight", "columns: weight and value are the same; give one")
	default:
		m.Columns.Value = e.Columns.Weight
	}
	if e.TimeUnit != "auto" {
		m.TimeUnit = TimeUnit(e.TimeUnit)
	}
	switch e.Header {
	case "", "auto":
	case "true", "yes":
		m.Source.Header = source.HeaderYes
	case "false", "no":
		m.Source.Header = source.HeaderNo
	default:
		return m, at("header", "header is %q; want auto, true or false", e.Header)
	}
	if m.Source.Remote, err = e.remote(); err != nil {
		return m, err
	}
	if m.Source.Format, m.Source.Separator, err = source.ParseFormat(e.Format); err != nil {
		return m, &located{"format", err}
	}
	sep, err := source.ParseSeparator(e.Separator)
	if sep != "" {
		m.Source.Separator = sep
	}
	if err != nil {
		return m, &located{"separator", err}
	}
	return m, nil
}

// expandPath puts the values of variables into the path of a source.
func expandPath(path string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	rest := path
	for {
		before, after, ok := strings.Cut(rest, "${")
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, after, ok := strings.Cut(after, "}")
		if !ok {
			return path, at("path", "${ without } in %s", path)
		}
		value, ok := lookup(name)
		if !ok || value == "" {
			return path, at("path", "${%s} is not set; set the environment variable", name)
		}
		out.WriteString(value)
		rest = after
	}
}
