package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Parameter is a setting of a kind of model: its name, its default, and the space that a search for good values goes through.
type Parameter struct {
	// Name is a word in small letters, with - between parts.
	Name string
	// Doc says in one line what it changes, with its unit.
	Doc string
	// Default is what holds unless a value is given. Of a choice, it is the index into Choices.
	Default float64
	// Low and High bound the values, both inclusive.
	Low, High float64
	// Whole says that values have no fraction.
	Whole bool
	// Choices are the names that a value may have; then values are indexes, and Low, High and Whole are not looked at.
	Choices []string
	// Search is the part of [Low, High] that tuning looks at; zero means that it is left at its default. Log says that it is looked through
	// by ratios: then Search[0] is above 0.
	Search [2]float64
	Log    bool
	// Names says that the value is not a number but a list of names, each once, which is written with + between them; the default has none.
	Names bool
	// Sorted says that the order of the names says nothing: they are kept ascending.
	Sorted bool
}

// parseNames reads a list of names.
func (p *Parameter) parseNames(text string) ([]string, error) {
	names := strings.Split(text, "+")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		switch {
		case names[i] == "":
			return nil, fmt.Errorf("%s is %q, want names with + between them", p.Name, text)
		case slices.Contains(names[:i], names[i]):
			return nil, fmt.Errorf("%s has %q twice", p.Name, names[i])
		}
	}
	if p.Sorted {
		slices.Sort(names)
	}
	return names, nil
}

// parse reads a value.
func (p *Parameter) parse(text string) (float64, error) {
	if len(p.Choices) > 0 {
		i := slices.Index(p.Choices, text)
		if i < 0 {
			return 0, fmt.Errorf("%s is %q, want one of %s", p.Name, text, strings.Join(p.Choices, ", "))
		}
		return float64(i), nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, want a number", p.Name, text)
	}
	return x, p.check(x)
}

// check returns an error unless x is a value of the parameter.
func (p *Parameter) check(x float64) error {
	if p.Names {
		return fmt.Errorf("%s is %v, want names", p.Name, x)
	}
	low, high, whole := p.Low, p.High, p.Whole
	if len(p.Choices) > 0 {
		low, high, whole = 0, float64(len(p.Choices)-1), true
	}
	switch {
	case !(x >= low && x <= high):
		return fmt.Errorf("%s is %v, want %v to %v", p.Name, x, low, high)
	case whole && x != math.Trunc(x):
		return fmt.Errorf("%s is %v, want a whole number", p.Name, x)
	}
	return nil
}

// Settings are the values of all parameters of a kind of model. The zero value has none.
type Settings struct {
	parameters []Parameter
	values     map[string]float64
	names      map[string][]string
}

// NewSettings returns the defaults of parameters, changed by given values. The error names the first value that is out of bounds or of no
// parameter.
func NewSettings(parameters []Parameter, given map[string]float64) (Settings, error) {
	s := Settings{parameters: parameters, values: map[string]float64{}}
	for _, p := range parameters {
		if !p.Names {
			s.values[p.Name] = p.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, err := s.parameter(name)
		if err != nil {
			return Settings{}, err
		}
		if err := p.check(given[name]); err != nil {
			return Settings{}, err
		}
		s.values[name] = given[name]
	}
	return s, nil
}

// ParseSettings is NewSettings of values as text, such as "0.5", the name of a choice, or names with + between them.
func ParseSettings(parameters []Parameter, given map[string]string) (Settings, error) {
	values, names := map[string]float64{}, map[string][]string{}
	s := Settings{parameters: parameters}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, err := s.parameter(name)
		switch {
		case err != nil:
		case p.Names:
			names[name], err = p.parseNames(given[name])
		default:
			values[name], err = p.parse(given[name])
		}
		if err != nil {
			return Settings{}, err
		}
	}
	s, err := NewSettings(parameters, values)
	s.names = names
	return s, err
}

func (s Settings) parameter(name string) (*Parameter, error) {
	var names []string
	for i := range s.parameters {
		if s.parameters[i].Name == name {
			return &s.parameters[i], nil
		}
		names = append(names, s.parameters[i].Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("unknown parameter %q; there are none", name)
	}
	return nil, fmt.Errorf("unknown parameter %q, want one of %s", name, strings.Join(names, ", "))
}

// Number returns the value of a parameter. It panics if there is none of that name, which is a fault of the caller's code.
func (s Settings) Number(name string) float64 {
	x, ok := s.values[name]
	if !ok {
		panic("model: no parameter " + name)
	}
	return x
}

// Whole is Number of a parameter without fractions.
func (s Settings) Whole(name string) int { return int(s.Number(name)) }

// Names returns a list of names, which the caller must not change; none if there is no parameter of that name.
func (s Settings) Names(name string) []string { return s.names[name] }

// Choice returns the name of the value of a choice. It panics as Number does.
func (s Settings) Choice(name string) string {
	p, err := s.parameter(name)
	if err != nil {
		panic("model: " + err.Error())
	}
	return p.Choices[s.Whole(name)]
}

// Text returns a value as it is written.
func (s Settings) Text(name string) string {
	if p, err := s.parameter(name); err == nil && p.Names {
		return strings.Join(s.names[name], "+")
	} else if err == nil && len(p.Choices) > 0 {
		return s.Choice(name)
	}
	return strconv.FormatFloat(s.Number(name), 'g', -1, 64)
}

// Map returns all values: numbers, names of choices, and lists of names that are not empty.
func (s Settings) Map() map[string]any {
	out := map[string]any{}
	for _, p := range s.parameters {
		switch {
		case p.Names:
			if names := s.names[p.Name]; len(names) > 0 {
				out[p.Name] = names
			}
		case len(p.Choices) > 0:
			out[p.Name] = s.Choice(p.Name)
		default:
			out[p.Name] = s.values[p.Name]
		}
	}
	return out
}

// ParseName takes a name such as als(factors=64,alpha=2) apart. What is missing at the end of the parentheses is an error; spaces around names and values are not
// looked at.
func ParseName(text string) (name string, given map[string]string, err error) {
	name, rest, found := strings.Cut(strings.TrimSpace(text), "(")
	name = strings.TrimSpace(name)
	if !found {
		return name, nil, nil
	}
	inner, ok := strings.CutSuffix(rest, ")")
	if !ok {
		return "", nil, fmt.Errorf("%q has no closing parenthesis, want a form such as als(factors=64,alpha=2)", text)
	}
	given = map[string]string{}
	for part := range strings.SplitSeq(inner, ",") {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || key == "" || value == "":
			return "", nil, fmt.Errorf("%q in %q is not of the form parameter=value", strings.TrimSpace(part), text)
		case given[key] != "":
			return "", nil, fmt.Errorf("parameter %q is twice in %q", key, text)
		}
		given[key] = value
	}
	return name, given, nil
}

// SplitNames splits a list at those commas that are outside of parentheses.
func SplitNames(list string) (names []string) {
	depth, start := 0, 0
	for i, c := range list {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			names = append(names, strings.TrimSpace(list[start:i]))
			start = i + 1
		}
	}
	return append(names, strings.TrimSpace(list[start:]))
}
