package expression

import (
	"cmp"
	"math"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/kith-io/kith/fusion/record"
)

type eval = func(row []record.Value) record.Value

// numbers1 and the like lift a function over missing values.
func numbers1(x eval, f func(float64) float64) eval {
	return func(row []record.Value) record.Value {
		v := x(row)
		if v.IsNull() {
			return v
		}
		return record.OfNumber(f(v.Number()))
	}
}

func numbers2(x, y eval, f func(a, b float64) float64) eval {
	return func(row []record.Value) record.Value {
		a, b := x(row), y(row)
		if a.IsNull() || b.IsNull() {
			return record.Value{}
		}
		return record.OfNumber(f(a.Number(), b.Number()))
	}
}

func texts2(x, y eval, f func(a, b string) bool) eval {
	return func(row []record.Value) record.Value {
		a, b := x(row), y(row)
		if a.IsNull() || b.IsNull() {
			return record.Value{}
		}
		return record.OfBool(f(a.Text(), b.Text()))
	}
}

// short returns a text, or a missing value if it is too long.
func short(s string) record.Value {
	if len(s) > MaxText {
		return record.Value{}
	}
	return record.OfText(s)
}

func (c *compiler) binary(n *ast.BinaryNode) (node, error) {
	x, err := c.node(n.Left)
	if err != nil {
		return x, err
	}
	if n.Operator == "in" {
		return c.in(n, x)
	}
	y, err := c.node(n.Right)
	if err != nil {
		return y, err
	}
	both := func(typ record.Type) error {
		if err := want(n.Left, n.Operator, x, typ); err != nil {
			return err
		}
		return want(n.Right, n.Operator, y, typ)
	}
	var f eval
	typ := record.Bool
	switch n.Operator {
	case "and", "&&":
		err, f = both(record.Bool), and(x.eval, y.eval)
	case "or", "||":
		err, f = both(record.Bool), or(x.eval, y.eval)
	case "==", "!=":
		equal := n.Operator == "=="
		_, err = common(n.Right, "both sides of "+n.Operator, x, y)
		f = func(row []record.Value) record.Value { return record.OfBool((x.eval(row) == y.eval(row)) == equal) }
	case "<", "<=", ">", ">=":
		if _, err = common(n.Right, "both sides of "+n.Operator, x, y); err == nil && (x.typ == record.Bool || y.typ == record.Bool) {
			err = wrong(n, "truth values have no order")
		}
		f = compare(n.Operator, x.eval, y.eval)
	case "+":
		if x.typ == record.Text || y.typ == record.Text {
			err, typ, f = both(record.Text), record.Text, concat(x.eval, y.eval)
			break
		}
		err, typ, f = both(record.Number), record.Number, numbers2(x.eval, y.eval, func(a, b float64) float64 { return a + b })
	case "-", "*", "/", "%", "**", "^":
		err, typ, f = both(record.Number), record.Number, numbers2(x.eval, y.eval, arithmetic[n.Operator])
	case "??":
		typ, err = common(n.Right, "both sides of ??", x, y)
		f = func(row []record.Value) record.Value {
			if v := x.eval(row); !v.IsNull() {
				return v
			}
			return y.eval(row)
		}
	case "contains", "startsWith", "endsWith":
		err, f = both(record.Text), texts2(x.eval, y.eval, texts[n.Operator])
	case "matches":
		if err = both(record.Text); err == nil {
			f, err = matches(n, x.eval, y)
		}
	default:
		err = wrong(n, "the operator %s is not part of the language of mappings", n.Operator)
	}
	return node{typ: typ, eval: f}, err
}

var arithmetic = map[string]func(a, b float64) float64{
	"-": func(a, b float64) float64 { return a - b }, "*": func(a, b float64) float64 { return a * b },
	"/": func(a, b float64) float64 { return a / b }, "%": math.Mod, "**": math.Pow, "^": math.Pow,
}

var texts = map[string]func(a, b string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}

// and is false if one is false, else missing if one is missing (Kleene's logic).
func and(x, y eval) eval {
	return func(row []record.Value) record.Value {
		a := x(row)
		if !a.IsNull() && !a.Bool() {
			return a
		}
		b := y(row)
		if a.IsNull() && (b.IsNull() || b.Bool()) {
			return a
		}
		return b
	}
}

// or is true if one is true, else missing if one is missing.
func or(x, y eval) eval {
	return func(row []record.Value) record.Value {
		a := x(row)
		if a.Bool() {
			return a
		}
		b := y(row)
		if a.IsNull() && !b.Bool() {
			return a
		}
		return b
	}
}

func compare(operator string, x, y eval) eval {
	holds := map[string]func(int) bool{
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	}[operator]
	return func(row []record.Value) record.Value {
		a, b := x(row), y(row)
		switch {
		case a.IsNull() || b.IsNull():
			return record.Value{}
		case a.Type() == record.Text:
			return record.OfBool(holds(cmp.Compare(a.Text(), b.Text())))
		}
		return record.OfBool(holds(cmp.Compare(a.Number(), b.Number())))
	}
}

func concat(x, y eval) eval {
	return func(row []record.Value) record.Value {
		a, b := x(row), y(row)
		if a.IsNull() || b.IsNull() || len(a.Text())+len(b.Text()) > MaxText {
			return record.Value{}
		}
		return record.OfText(a.Text() + b.Text())
	}
}

// matches takes constant patterns only: they are compiled once, and a row cannot bring one.
func matches(n *ast.BinaryNode, x eval, pattern node) (eval, error) {
	if !pattern.constant || pattern.typ != record.Text {
		return nil, wrong(n.Right, "matches takes a constant pattern in quotes")
	}
	re, err := regexp.Compile(pattern.eval(nil).Text())
	if err != nil {
		return nil, wrong(n.Right, "%v", err)
	}
	return func(row []record.Value) record.Value {
		v := x(row)
		if v.IsNull() {
			return v
		}
		return record.OfBool(re.MatchString(v.Text()))
	}, nil
}

// in looks a value up among constants.
func (c *compiler) in(n *ast.BinaryNode, x node) (node, error) {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return node{}, wrong(n.Right, "in takes a list of constants, as in ['paid', 'sent']")
	}
	set := map[record.Value]bool{}
	for _, e := range list.Nodes {
		y, err := c.node(e)
		if err != nil {
			return y, err
		}
		if !y.constant {
			return node{}, wrong(e, "in takes constants only")
		}
		if _, err := common(e, "a value and its list", x, y); err != nil {
			return node{}, err
		}
		set[y.eval(nil)] = true
	}
	return node{typ: record.Bool, eval: func(row []record.Value) record.Value { return record.OfBool(set[x.eval(row)]) }}, nil
}
