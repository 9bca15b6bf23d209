package fusion

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document is a YAML file whose values are known by their places: sources[0].fields.price.unit.
type document struct {
	file    string
	places  map[string]place
	anchors map[string]ast.Node
	depth   int
}

// place is where a value stands in a mapping file; both count from 1.
type place struct {
	line, column int
	block        bool // its text begins on the next line
}

func (p place) String() string { return fmt.Sprintf("%d:%d", p.line, p.column) }

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{line: 1, column: 1}
	}
	return place{line: t.Position.Line, column: t.Position.Column}
}

// parseDocument reads the one document of a file.
func parseDocument(file string, data []byte) (*document, ast.Node, error) {
	d := &document{file: file, places: map[string]place{}, anchors: map[string]ast.Node{}}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		at, message := place{line: 1, column: 1}, err.Error()
		if e, ok := err.(interface { //nolint:errorlint // the parser does not wrap
			GetToken() *token.Token
			GetMessage() string
		}); ok {
			at, message = placeOf(e.GetToken()), e.GetMessage()
		}
		return nil, nil, d.errorAt(at, "%s", oneLine(message))
	}
	var body ast.Node
	for _, doc := range parsed.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return nil, nil, d.errorAt(placeOf(doc.Body.GetToken()), "more than one document in the file; put all sources into one list")
		}
		body = doc.Body
	}
	return d, body, nil
}

// oneLine makes one line of a message.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (d *document) errorAt(at place, format string, args ...any) error {
	return fmt.Errorf("%s:%s: %w: %s", d.file, at, ErrMapping, fmt.Sprintf(format, args...))
}

// find returns the place of a value, or of the nearest value around it that is in the file.
func (d *document) find(path string) place {
	for {
		if at, ok := d.places[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{line: 1, column: 1}
		}
		path = path[:i]
	}
}

// maxDepth bounds the nesting of a mapping file, and chains of aliases.
const maxDepth = 50

// decode fills v, a structure of strings, numbers, truth values, lists, maps, and structures with yaml tags, with what a node says.
// A scalar may stand for a list of one, and for a structure with a field tagged ",short".
func (d *document) decode(n ast.Node, v reflect.Value, path string) error {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		return d.errorAt(placeOf(n.GetToken()), "values are nested too deeply")
	}
	if comment, ok := n.(*ast.CommentGroupNode); ok {
		return d.errorAt(placeOf(comment.GetToken()), "there is nothing but comments")
	}
	n, err := d.resolve(n)
	if err != nil {
		return err
	}
	at := placeOf(n.GetToken())
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		at = placeOf(m.Values[0].Key.GetToken())
	}
	switch t := n.GetToken(); {
	case n.Type() == ast.LiteralType:
		at.block = true
	case t != nil && (t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType):
		at.column++
	}
	d.places[path] = at
	if v.Type() == reflect.TypeFor[ast.Node]() {
		v.Set(reflect.ValueOf(n))
		return nil
	}
	if n.Type() == ast.NullType { // the key without a value
		if v.Kind() == reflect.String && (strings.HasSuffix(path, ".on_error") || strings.HasSuffix(path, ".missing")) && n.GetToken().Value == "null" {
			v.SetString("null") // there it is a word, with or without quotes
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(n, v.Elem(), path)
	case reflect.Struct:
		return d.structure(n, v, path)
	case reflect.Map:
		return d.table(n, v, path)
	case reflect.Slice:
		return d.list(n, v, path)
	}
	return d.scalar(n, v)
}

// resolve follows anchors, aliases and tags.
func (d *document) resolve(n ast.Node) (ast.Node, error) {
	for range maxDepth {
		switch of := n.(type) {
		case *ast.AnchorNode:
			d.anchors[of.Name.GetToken().Value] = of.Value
			n = of.Value
		case *ast.AliasNode:
			name := of.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				return nil, d.errorAt(placeOf(of.GetToken()), "there is no anchor &%s before this alias", name)
			}
			n = target
		case *ast.TagNode:
			n = of.Value
		default:
			return n, nil
		}
		if n == nil {
			return nil, d.errorAt(place{line: 1, column: 1}, "an anchor or a tag without a value")
		}
	}
	return nil, d.errorAt(placeOf(n.GetToken()), "a circle of aliases")
}

type pair struct {
	key   string
	at    place
	value ast.Node
}

// pairs returns keys and values, those of merges (<<) last.
func (d *document) pairs(n ast.Node) ([]pair, bool, error) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, false, nil
	}
	var out, merged []pair
	seen := map[string]bool{}
	for _, mv := range values {
		if mv.Key.IsMergeKey() {
			d.depth++
			if d.depth > maxDepth {
				return nil, true, d.errorAt(placeOf(mv.Key.GetToken()), "merges are nested too deeply")
			}
			from, err := d.resolve(mv.Value)
			if err != nil {
				return nil, true, err
			}
			more, ok, err := d.pairs(from)
			d.depth--
			if err != nil {
				return nil, true, err
			}
			if !ok {
				return nil, true, d.errorAt(placeOf(mv.Key.GetToken()), "<< takes an alias of keys with values")
			}
			merged = append(merged, more...)
			continue
		}
		p := pair{mv.Key.GetToken().Value, placeOf(mv.Key.GetToken()), mv.Value}
		if seen[p.key] {
			return nil, true, d.errorAt(p.at, "the key %q stands there twice", p.key)
		}
		seen[p.key] = true
		out = append(out, p)
	}
	for _, p := range merged {
		if !seen[p.key] {
			seen[p.key] = true
			out = append(out, p)
		}
	}
	return out, true, nil
}

// keyOf returns the key of a field in files, whether it is the short form, and whether it is in files at all.
func keyOf(f reflect.StructField) (key string, shortForm, ok bool) {
	tag, ok := f.Tag.Lookup("yaml")
	key, option, _ := strings.Cut(tag, ",")
	return key, option == "short", ok && key != "-"
}

func (d *document) structure(n ast.Node, v reflect.Value, path string) error {
	t := v.Type()
	fields := map[string]int{}
	var keys []string
	short := -1
	for i := range t.NumField() {
		if key, isShort, ok := keyOf(t.Field(i)); ok {
			fields[key] = i
			keys = append(keys, key)
			if isShort {
				short = i
			}
		}
	}
	pairs, ok, err := d.pairs(n)
	if err != nil {
		return err
	}
	if !ok {
		if _, isScalar := n.(ast.ScalarNode); isScalar && short >= 0 {
			return d.scalar(n, v.Field(short))
		}
		return d.errorAt(placeOf(n.GetToken()), "want keys with values, such as %s: ...%s", keys[0], found(n))
	}
	for _, p := range pairs {
		i, ok := fields[p.key]
		if !ok {
			return d.errorAt(p.at, "unknown key %q%s", p.key, suggest(p.key, keys))
		}
		if err := d.decode(p.value, v.Field(i), join(path, p.key)); err != nil {
			return err
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// found says what stands in the place of something else.
func found(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "; these are keys with values"
	case *ast.SequenceNode:
		return "; this is a list"
	case ast.ScalarNode:
		return fmt.Sprintf("; this is %.40q", n.GetToken().Value)
	}
	return ""
}

// table decodes keys that are names of the user's into a map.
func (d *document) table(n ast.Node, v reflect.Value, path string) error {
	pairs, ok, err := d.pairs(n)
	if err != nil {
		return err
	}
	if !ok {
		return d.errorAt(placeOf(n.GetToken()), "want names with values, such as name: value%s", found(n))
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(pairs)))
	for _, p := range pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := d.decode(p.value, value, join(path, p.key)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), value)
	}
	return nil
}

// named is a list whose entries stand in files as name: {...}, in an order that counts.
type named interface{ named() }

func (d *document) list(n ast.Node, v reflect.Value, path string) error {
	elem := v.Type().Elem()
	if _, ok := v.Interface().(named); ok {
		pairs, ok, err := d.pairs(n)
		if err != nil {
			return err
		}
		if !ok {
			return d.errorAt(placeOf(n.GetToken()), "want names with values, such as name: {...}%s", found(n))
		}
		for _, p := range pairs {
			value := reflect.New(elem).Elem()
			value.FieldByName("Name").SetString(p.key)
			if err := d.decode(p.value, value, join(path, p.key)); err != nil {
				return err
			}
			if p.value.Type() == ast.NullType {
				d.places[join(path, p.key)] = p.at
			}
			v.Set(reflect.Append(v, value))
		}
		return nil
	}
	values := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		values = seq.Values
	} else if _, ok := n.(ast.ScalarNode); !ok || elem.Kind() != reflect.String {
		return d.errorAt(placeOf(n.GetToken()), "want a list, with - before each entry%s", found(n))
	}
	for i, e := range values {
		value := reflect.New(elem).Elem()
		if err := d.decode(e, value, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
		v.Set(reflect.Append(v, value))
	}
	return nil
}

func (d *document) scalar(n ast.Node, v reflect.Value) error {
	at := placeOf(n.GetToken())
	s, ok := n.(ast.ScalarNode)
	if !ok {
		return d.errorAt(at, "want a single value%s", found(n))
	}
	text := s.GetToken().Value
	if literal, ok := n.(*ast.LiteralNode); ok {
		text = strings.TrimSuffix(literal.Value.Value, "\n")
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return d.errorAt(at, "want true or false%s", found(n))
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(i) {
			return d.errorAt(at, "want a whole number%s", found(n))
		}
		v.SetInt(i)
	case reflect.Float64:
		x, _, err := parseNumber([]byte(text), false)
		if err != nil {
			return d.errorAt(at, "want a number%s", found(n))
		}
		v.SetFloat(x)
	default:
		return d.errorAt(at, "want something else than a single value%s", found(n))
	}
	return nil
}

// suggest proposes one of the names for one that is not among them, or lists them.
func suggest(name string, names []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, candidate := range names {
		if n := distance(fold(name), fold(candidate)); n < least {
			best, least = candidate, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	const most = 30
	list := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		list += ", ..."
	}
	if list == "" {
		return ""
	}
	return "; there are " + list
}

// distance counts the letters to insert, delete, replace or exchange with the next to make one name of another (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = slices.Min([]int{last[j] + 1, row[j-1] + 1, change})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
