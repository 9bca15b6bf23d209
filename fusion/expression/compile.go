package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/kith-io/kith/fusion/record"
)

// Bounds of an expression.
const (
	// MaxLength is the longest expression in bytes.
	MaxLength = 4096
	// MaxNodes is how many operators, functions, names and constants it may have.
	MaxNodes = 500
	// MaxText is the longest text that an operator or function makes, in bytes.
	MaxText = 64 << 10
)

// Error is a mistake in an expression.
type Error struct {
	// Line and Column, of characters, say where in the expression it is; both count from 1.
	Line, Column int
	// Message says what is wrong and what would be right.
	Message string
}

func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, character %d of the expression: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("character %d of the expression: %s", e.Column, e.Message)
}

// Expression is a checked expression. It is safe for concurrent use.
type Expression struct {
	root   node
	fields []int
}

// node is a part of an expression that is ready to run. A node of type Null is the constant nil.
type node struct {
	typ      record.Type
	constant bool
	eval     func(row []record.Value) record.Value
}

// Compile reads an expression over fields. A field without a name cannot be read; of several with one name the first is. Every error
// is an *Error.
func Compile(text string, fields []record.Field) (*Expression, error) {
	tree, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := &compiler{fields: fields}
	root, err := c.node(tree.Node)
	if err != nil {
		var at *mistake
		if !errors.As(err, &at) {
			return nil, err
		}
		line, column := position(text, at.from)
		return nil, &Error{Line: line, Column: column, Message: at.message}
	}
	slices.Sort(c.used)
	return &Expression{root: root, fields: slices.Compact(c.used)}, nil
}

// parse reads the tree of an expression. Every error is an *Error.
func parse(text string) (*parser.Tree, error) {
	if len(text) > MaxLength {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("it has %d bytes; at most %d", len(text), MaxLength)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &Error{Line: 1, Column: 1, Message: "it is empty"}
	}
	tree, err := parser.ParseWithConfig(text, &conf.Config{MaxNodes: MaxNodes})
	if err != nil {
		var at *file.Error
		if errors.As(err, &at) {
			return nil, &Error{Line: max(at.Line, 1), Column: at.Column + 1, Message: at.Message}
		}
		return nil, &Error{Line: 1, Column: 1, Message: err.Error()}
	}
	return tree, nil
}

// Type returns the type of the results; Null if all are missing.
func (e *Expression) Type() record.Type { return e.root.typ }

// Fields returns the positions of the fields that the expression reads, ascending. The caller must not change it.
func (e *Expression) Fields() []int { return e.fields }

// Eval returns the result for the values of a record, which are in the order of the fields given to Compile, each of its field's type or
// missing. It allocates nothing but texts that it makes.
func (e *Expression) Eval(values []record.Value) record.Value { return e.root.eval(values) }

// mistake is an Error whose place is an offset in characters.
type mistake struct {
	from    int
	message string
}

func (m *mistake) Error() string { return m.message }

func wrong(n ast.Node, format string, args ...any) error {
	return &mistake{n.Location().From, fmt.Sprintf(format, args...)}
}

// position returns line and column, from 1, of a character.
func position(text string, from int) (line, column int) {
	line, column = 1, 1
	i := 0
	for _, r := range text {
		if i == from {
			break
		}
		i++
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

type compiler struct {
	fields []record.Field
	used   []int
}

// node makes a part of the tree ready. What it does not know is refused: this list is the whole language.
func (c *compiler) node(n ast.Node) (node, error) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(record.Value{}), nil
	case *ast.IntegerNode:
		return constant(record.OfNumber(float64(n.Value))), nil
	case *ast.FloatNode:
		return constant(record.OfNumber(n.Value)), nil
	case *ast.BoolNode:
		return constant(record.OfBool(n.Value)), nil
	case *ast.StringNode:
		return constant(record.OfText(n.Value)), nil
	case *ast.IdentifierNode:
		return c.name(n, n.Value)
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.MemberNode:
		if name, ok := dotted(n); ok {
			return c.name(n, name)
		}
		return node{}, wrong(n, "values have no parts; a part of a text is text[from:to], a field with a special name field('name')")
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.ArrayNode:
		return node{}, wrong(n, "a list stands only after in")
	case *ast.VariableDeclaratorNode:
		return node{}, wrong(n, "there are no variables; declare a field for the intermediate value")
	}
	return node{}, wrong(n, "this is not part of the language of mappings")
}

func constant(v record.Value) node {
	return node{typ: v.Type(), constant: true, eval: func([]record.Value) record.Value { return v }}
}

// dotted returns the name that a.b.c spells.
func dotted(n *ast.MemberNode) (string, bool) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok || n.Optional {
		return "", false
	}
	switch of := n.Node.(type) {
	case *ast.IdentifierNode:
		return of.Value + "." + property.Value, true
	case *ast.MemberNode:
		name, ok := dotted(of)
		return name + "." + property.Value, ok
	}
	return "", false
}

func (c *compiler) name(n ast.Node, name string) (node, error) {
	at := record.FieldIndex(c.fields, name)
	if at < 0 || name == "" {
		if name == "null" {
			return constant(record.Value{}), nil
		}
		return node{}, wrong(n, "there is no field %q%s", name, c.hint(name))
	}
	c.used = append(c.used, at)
	return node{typ: c.fields[at].Type, eval: func(row []record.Value) record.Value { return row[at] }}, nil
}

// hint lists the fields that there are.
func (c *compiler) hint(name string) string {
	if slices.Contains(functions, name) {
		return "; the function is written " + name + "(...)"
	}
	const most = 20
	var names []string
	for _, f := range c.fields {
		if f.Name == "" {
			continue
		}
		if strings.EqualFold(f.Name, name) {
			return fmt.Sprintf("; did you mean %q?", f.Name)
		}
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return ""
	}
	list := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		list += ", ..."
	}
	return "; there are " + list
}

func (c *compiler) unary(n *ast.UnaryNode) (node, error) {
	x, err := c.node(n.Node)
	if err != nil {
		return x, err
	}
	eval := x.eval
	switch n.Operator {
	case "not", "!":
		if err := want(n.Node, n.Operator, x, record.Bool); err != nil {
			return node{}, err
		}
		return node{typ: record.Bool, eval: func(row []record.Value) record.Value {
			v := eval(row)
			if v.IsNull() {
				return v
			}
			return record.OfBool(!v.Bool())
		}}, nil
	case "-", "+":
		if err := want(n.Node, n.Operator, x, record.Number); err != nil {
			return node{}, err
		}
		if n.Operator == "+" {
			return x, nil
		}
		return node{typ: record.Number, constant: x.constant, eval: numbers1(eval, func(x float64) float64 { return -x })}, nil
	}
	return node{}, wrong(n, "the operator %s is not part of the language of mappings", n.Operator)
}

func (c *compiler) conditional(n *ast.ConditionalNode) (node, error) {
	test, err := c.node(n.Cond)
	if err != nil {
		return test, err
	}
	if err := want(n.Cond, "?", test, record.Bool); err != nil {
		return node{}, err
	}
	yes, err := c.node(n.Exp1)
	if err != nil {
		return yes, err
	}
	no, err := c.node(n.Exp2)
	if err != nil {
		return no, err
	}
	typ, err := common(n.Exp2, "both results of ?", yes, no)
	return node{typ: typ, eval: func(row []record.Value) record.Value {
		if test.eval(row).Bool() {
			return yes.eval(row)
		}
		return no.eval(row)
	}}, err
}

// want returns an error unless x is of the type, or nil.
func want(n ast.Node, operator string, x node, typ record.Type) error {
	if x.typ == typ || x.typ == record.Null {
		return nil
	}
	return wrong(n, "%s takes a %s, and this is a %s%s", operator, typ, x.typ, conversion(x.typ, typ))
}

// conversion says how to make one type of another.
func conversion(from, to record.Type) string {
	switch {
	case from == record.Text && to == record.Number:
		return "; declare the field with type: number, or convert it with number(...)"
	case from == record.Text && to == record.Time:
		return "; declare the field with type: time, or convert it with time(...)"
	case to == record.Text:
		return "; convert it with text(...)"
	}
	return ""
}

// common returns the type of two values that are of the same type or nil.
func common(n ast.Node, what string, a, b node) (record.Type, error) {
	switch {
	case a.typ == b.typ || b.typ == record.Null:
		return a.typ, nil
	case a.typ == record.Null:
		return b.typ, nil
	}
	return record.Null, wrong(n, "%s must be of one type: this is a %s, the other a %s%s", what, b.typ, a.typ, conversion(b.typ, a.typ))
}

// Syntax returns an *Error if a text can be no expression, whatever fields there are.
func Syntax(text string) error {
	_, err := parse(text)
	return err
}
