package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what the first rows of JSON lines may make of columns.
const (
	jsonSampleRows = 1000
	jsonDepth      = 32 // levels of objects and arrays that become columns
	jsonElements   = 16 // elements of an array that become columns
)

// jsonRows reads JSON lines: an object a line, whose columns are the paths to its values.
type jsonRows struct {
	*lineBuffer
	root    *jsonNode
	explode *jsonNode // the array whose elements become records, or nil

	line   []byte // being read
	base   int    // where in line the decoder started
	lineAt Position
	number int64 // of line
	dec    *jsontext.Decoder
	in     bytes.Buffer

	fields  [][]byte
	scratch []byte // unescaped texts

	elements  []span // of the exploded array, in line
	element   int    // the next one
	inElement bool
	within    []int // columns of elements
	kept      int   // bytes of scratch that belong to the fields outside of elements
}

type span struct{ from, to int }

// jsonNode is a place in the objects. Its children are members of an object or elements of an array.
type jsonNode struct {
	name     string // with those of its parents, as a path
	column   int    // -1 if its values are none
	children map[string]*jsonNode
	elements []*jsonNode
	order    []*jsonNode // both, by first appearance

	// What the first rows have here.
	scalar, composite, null bool
}

func newJSONNode(name string) *jsonNode { return &jsonNode{name: name, column: -1} }

// member returns the child of that name; it makes it if there is none.
func (n *jsonNode) member(name string) *jsonNode {
	if c := n.children[name]; c != nil {
		return c
	}
	path := name
	if n.name != "" {
		path = n.name + "." + name
	}
	c := newJSONNode(path)
	if n.children == nil {
		n.children = map[string]*jsonNode{}
	}
	n.children[name] = c
	n.order = append(n.order, c)
	return c
}

// at returns the child of an index, and makes all up to it.
func (n *jsonNode) at(i int) *jsonNode {
	for len(n.elements) <= i {
		c := newJSONNode(n.name + "[" + strconv.Itoa(len(n.elements)) + "]")
		n.elements = append(n.elements, c)
		n.order = append(n.order, c)
	}
	return n.elements[i]
}

// maxJSONIndex is the largest index that a path may have.
const maxJSONIndex = 1<<16 - 1

// place returns the node of a path such as user.id or items[0].sku; it makes it if there is none.
func (n *jsonNode) place(path string) (*jsonNode, error) {
	for part := range strings.SplitSeq(path, ".") {
		name, indexes, _ := strings.Cut(part, "[")
		if name == "" {
			return nil, fmt.Errorf("%w: path %q has an empty name; want as in user.id or items[0].sku", ErrOptions, path)
		}
		n = n.member(name)
		for indexes != "" {
			digits, rest, closed := strings.Cut(indexes, "]")
			i, err := strconv.Atoi(digits)
			if err != nil || !closed || i < 0 || i > maxJSONIndex || rest != "" && rest[0] != '[' {
				return nil, fmt.Errorf("%w: path %q: want indexes from 0 to %d, as in items[0].sku", ErrOptions, path, maxJSONIndex)
			}
			n, indexes = n.at(i), strings.TrimPrefix(rest, "[")
		}
	}
	return n, nil
}

// columnsOf numbers the columns of n and below in their order, and returns their names.
func (n *jsonNode) columnsOf(columns []string) []string {
	if n.name != "" && (n.scalar || n.null && !n.composite) {
		n.column = len(columns)
		columns = append(columns, n.name)
	}
	for _, c := range n.order {
		columns = c.columnsOf(columns)
	}
	return columns
}

// isJSONLine reports whether the first line that is not blank is an object.
func isJSONLine(sample []string) bool {
	return len(sample) > 0 && strings.HasPrefix(strings.TrimLeft(sample[0], " \t"), "{") && jsontext.Value(sample[0]).IsValid()
}

// isJSONName reports whether a plain name is that of JSON lines.
func isJSONName(name string) bool {
	return strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".ndjson")
}

// checkDocument refuses JSON that is no lines.
func checkDocument(sample []string, name string) error {
	if len(sample) == 0 || !strings.HasSuffix(name, ".json") && !isJSONName(name) {
		return nil
	}
	what, filter := "", "."
	switch first := strings.TrimSpace(sample[0]); {
	case strings.HasPrefix(first, "["):
		what, filter = "an array", ".[]"
	case first == "{":
		what = "an object over several lines"
	default:
		return nil
	}
	return fmt.Errorf("%w: it is one JSON document, %s, and JSON lines are wanted: an object a line, as by jq -c '%s'", ErrFormat, what, filter)
}

// openJSON makes r read JSON lines.
func (r *Reader) openJSON(b *lineBuffer, o Options) error {
	j := &jsonRows{lineBuffer: b, root: newJSONNode(""), dec: jsontext.NewDecoder(bytes.NewReader(nil))}
	if o.Explode != "" {
		n, err := j.root.place(o.Explode)
		if err != nil {
			return fmt.Errorf("explode: %w", err)
		}
		j.explode = n
	}
	for bytes.IndexByte(b.buf[b.pos:b.end], '\n') < 0 && b.end-b.pos <= b.max || b.end < bufferSize {
		if !b.fill() { // a row may be longer than the first part of the file
			break
		}
	}
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return b.err
	}
	j.learn(b.buf[b.pos:b.end], b.err != nil)
	r.columns = j.root.columnsOf([]string{})
	if err := j.add(r, o); err != nil {
		return err
	}
	if err := checkWidth(len(r.columns)); err != nil {
		return err
	}
	r.width = len(r.columns)
	j.fields = make([][]byte, r.width)
	if j.explode != nil {
		j.within = j.explode.below(nil)
	}
	r.rows = j
	return nil
}

// add makes columns of the paths that are asked for.
func (j *jsonRows) add(r *Reader, o Options) error {
next:
	for _, path := range o.Columns {
		for _, c := range r.columns {
			if strings.EqualFold(c, path) {
				continue next
			}
		}
		n, err := j.root.place(path)
		if err != nil {
			return err
		}
		if !n.composite {
			o.note("%s: the first rows have no %s; it is taken for missing there", r.name, path)
		}
		n.column = len(r.columns)
		r.columns = append(r.columns, path)
	}
	return nil
}

// below lists the columns of n and of all below.
func (n *jsonNode) below(out []int) []int {
	if n.column >= 0 {
		out = append(out, n.column)
	}
	for _, c := range n.order {
		out = c.below(out)
	}
	return out
}

// learn finds the places of values in the first rows. Rows that cannot be read are left out.
func (j *jsonRows) learn(data []byte, all bool) {
	for range jsonSampleRows {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended && !all || len(data) == 0 {
			return
		}
		data = rest
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' || !jsontext.Value(line).IsValid() {
			continue
		}
		j.line = line
		j.set(0, len(line))
		_ = j.learnValue(j.root, 0) // it is valid
	}
}

func (j *jsonRows) learnValue(n *jsonNode, depth int) error {
	kind := j.dec.PeekKind()
	if (kind == '{' || kind == '[') && depth >= jsonDepth {
		return j.dec.SkipValue()
	}
	switch kind {
	case '{':
		n.composite = true
		return j.each('}', func(int) error {
			name, err := j.name()
			if err != nil {
				return err
			}
			return j.learnValue(n.member(string(name)), depth+1)
		})
	case '[':
		n.composite = true
		return j.each(']', func(i int) error {
			switch {
			case n == j.explode:
				return j.learnValue(n, depth+1)
			case i < jsonElements:
				return j.learnValue(n.at(i), depth+1)
			}
			return j.dec.SkipValue()
		})
	case 'n':
		n.null = true
	default:
		n.scalar = true
	}
	return j.dec.SkipValue()
}

// set makes the decoder read a part of the line.
func (j *jsonRows) set(from, to int) {
	j.base = from
	j.in = *bytes.NewBuffer(j.line[from:to])
	j.dec.Reset(&j.in)
}

// each reads an object or array up to its end, and calls f before each member or element.
func (j *jsonRows) each(end jsontext.Kind, f func(i int) error) error {
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	for i := 0; j.dec.PeekKind() != end; i++ {
		if err := f(i); err != nil {
			return err
		}
	}
	_, err := j.dec.ReadToken()
	return err
}

// offset returns where in the line the decoder is.
func (j *jsonRows) offset() int { return j.base + int(j.dec.InputOffset()) }

// name reads the name of a member. It is valid until the next call.
func (j *jsonRows) name() ([]byte, error) {
	v, err := j.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	return j.text(v)
}

// text returns the content of a quoted string, in v itself or in scratch.
func (j *jsonRows) text(v []byte) ([]byte, error) {
	if len(v) < 2 || v[0] != '"' {
		return nil, errors.New("no string")
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	from := len(j.scratch)
	var err error
	j.scratch, err = jsontext.AppendUnquote(j.scratch, v)
	return j.scratch[from:len(j.scratch):len(j.scratch)], err
}

func (j *jsonRows) raw() []byte  { return j.line }
func (j *jsonRows) close() error { return nil }

func (j *jsonRows) at() Position {
	if j.element < len(j.elements) {
		return j.lineAt
	}
	return j.lineBuffer.at()
}

func (j *jsonRows) skipTo(p Position) error {
	j.elements, j.element = nil, 0
	return j.lineBuffer.skipTo(p)
}

func (j *jsonRows) next() (Record, error) {
	if j.element < len(j.elements) {
		return j.nextElement()
	}
	for {
		at := j.here()
		end, err := j.lineEnd(0)
		if err != nil {
			return tooLong(j.lineBuffer, at.Line, err)
		}
		row := trimCR(j.buf[j.pos : j.pos+end])
		j.advance(end, 1)
		if len(bytes.TrimLeft(row, " \t")) == 0 {
			continue
		}
		j.lineAt, j.number = at, at.Line
		clear(j.fields)
		j.scratch, j.elements, j.element = j.scratch[:0], j.elements[:0], 0
		j.line, j.inElement = row, false
		j.set(0, len(row))
		if err := j.object(); err != nil {
			j.elements = j.elements[:0]
			return Record{}, rowError(at.Line, row, ReasonJSON, "%s", err)
		}
		j.kept = len(j.scratch)
		if len(j.elements) > 0 {
			return j.nextElement()
		}
		return Record{Line: at.Line, Fields: j.fields}, nil
	}
}

// object reads the line, which must be one object.
func (j *jsonRows) object() error {
	if k := j.dec.PeekKind(); k != '{' && k != 0 {
		return fmt.Errorf("the line is no object, it starts with a value of another kind (%s)", k)
	}
	if err := j.value(j.root); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the object does not end with the line")
		}
		return err
	}
	if _, err := j.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the object")
	}
	return nil
}

// value reads the value at n into the fields.
func (j *jsonRows) value(n *jsonNode) error {
	switch j.dec.PeekKind() {
	case '{':
		if _, err := j.dec.ReadToken(); err != nil {
			return err
		}
		from := j.offset() - 1
		for j.dec.PeekKind() != '}' {
			name, err := j.name()
			if err != nil {
				return err
			}
			if err := j.valueOrSkip(n.children[string(name)]); err != nil {
				return err
			}
		}
		return j.composite(n, from)
	case '[':
		if _, err := j.dec.ReadToken(); err != nil {
			return err
		}
		from := j.offset() - 1
		for i := 0; j.dec.PeekKind() != ']'; i++ {
			if n == j.explode && !j.inElement {
				v, err := j.dec.ReadValue()
				if err != nil {
					return err
				}
				j.elements = append(j.elements, span{j.offset() - len(v), j.offset()})
				continue
			}
			var c *jsonNode
			if i < len(n.elements) {
				c = n.elements[i]
			}
			if err := j.valueOrSkip(c); err != nil {
				return err
			}
		}
		return j.composite(n, from)
	}
	v, err := j.dec.ReadValue()
	switch {
	case err != nil:
		return err
	case n.column < 0 || v[0] == 'n':
		return nil
	}
	to := j.offset()
	v = j.line[to-len(v) : to] // what the decoder gives is valid for a moment only
	if v[0] != '"' {
		j.fields[n.column] = v
		return nil
	}
	j.fields[n.column], err = j.text(v)
	return err
}

func (j *jsonRows) valueOrSkip(n *jsonNode) error {
	if n == nil {
		return j.dec.SkipValue()
	}
	return j.value(n)
}

// composite reads the end of an object or array, whose text is the value of a column that is asked for as a whole.
func (j *jsonRows) composite(n *jsonNode, from int) error {
	if _, err := j.dec.ReadToken(); err != nil {
		return err
	}
	if n.column >= 0 && n != j.explode {
		j.fields[n.column] = j.line[from:j.offset()]
	}
	return nil
}

// nextElement returns the record of the next element of the exploded array.
func (j *jsonRows) nextElement() (Record, error) {
	part, e := j.element, j.elements[j.element]
	j.element++
	for _, c := range j.within {
		j.fields[c] = nil
	}
	j.scratch = j.scratch[:j.kept]
	j.inElement = true
	j.set(e.from, e.to)
	return Record{Line: j.number, Part: part, Fields: j.fields}, j.value(j.explode)
}
