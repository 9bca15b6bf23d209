package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/kith-io/kith/api"
	"github.com/kith-io/kith/coordinator"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// sceneFile is a file of scenes and experiments; docs/scenes.md describes it. Keys are called as the flags of 'kith recommend' that mean the same, and
// take the same texts.
type sceneFile struct {
	Version     uint64            `yaml:"version,omitempty"`
	Scenes      []sceneEntry      `yaml:"scenes"`
	Experiments []experimentEntry `yaml:"experiments,omitempty"`
}

type sceneEntry struct {
	Name           string             `yaml:"name"`
	Model          string             `yaml:"model,omitempty"`
	ModelName      string             `yaml:"model-name,omitempty"`
	Blend          *float64           `yaml:"blend,omitempty"`
	N              uint32             `yaml:"n,omitempty"`
	Fallback       *[]string          `yaml:"fallback,omitempty"`
	IncludeSeen    bool               `yaml:"include-seen,omitempty"`
	ExcludeBought  string             `yaml:"exclude-bought,omitempty"`
	ExcludeSeen    string             `yaml:"exclude-seen,omitempty"`
	ExcludeHistory []historyEntry     `yaml:"exclude-history,omitempty"`
	Filter         []string           `yaml:"filter,omitempty"`
	OnlyProducts   bool               `yaml:"only-products,omitempty"`
	Allow          []string           `yaml:"allow,omitempty"`
	Deny           []string           `yaml:"deny,omitempty"`
	Boost          []boostEntry       `yaml:"boost,omitempty"`
	Freshness      string             `yaml:"freshness,omitempty"`
	Since          string             `yaml:"since,omitempty"`
	Lambda         *float64           `yaml:"lambda,omitempty"`
	MaxPerGroup    uint32             `yaml:"max-per-group,omitempty"`
	GroupBy        string             `yaml:"group-by,omitempty"`
	BySimilarity   bool               `yaml:"by-similarity,omitempty"`
	Pin            []string           `yaml:"pin,omitempty"`
	Explore        string             `yaml:"explore,omitempty"`
	Within         string             `yaml:"within,omitempty"`
	Weight         map[string]float64 `yaml:"weight,omitempty"`
	Category       string             `yaml:"category,omitempty"`
}

// boostEntry is a boost: a text as of the flag, or keys where such a text cannot say it, as for items by key.
type boostEntry struct {
	text string
	keys *boostKeys
}

type boostKeys struct {
	Filter       []string `yaml:"filter,omitempty"`
	OnlyProducts bool     `yaml:"only-products,omitempty"`
	Allow        []string `yaml:"allow,omitempty"`
	Deny         []string `yaml:"deny,omitempty"`
	Factor       float64  `yaml:"factor"`
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (b *boostEntry) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&b.text) == nil {
		return nil
	}
	b.keys = &boostKeys{}
	return unmarshal(b.keys)
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (b boostEntry) MarshalYAML() (any, error) { //nolint:unparam // the interface has the error
	if b.keys != nil {
		return b.keys, nil
	}
	return b.text, nil
}

func (b *boostEntry) boost() (*kithv1.Boost, error) {
	if b.keys == nil {
		return parseBoost(b.text)
	}
	flags := ruleFlags{filters: b.keys.Filter, onlyProducts: b.keys.OnlyProducts, allow: b.keys.Allow, deny: b.keys.Deny}
	filter, err := flags.filter()
	if err != nil {
		return nil, usagef("--boost %w", err)
	}
	if filter == nil {
		filter = &kithv1.Filter{}
	}
	return &kithv1.Boost{Filter: filter, Factor: b.keys.Factor}, nil
}

// boostOf returns the entry of a boost.
func boostOf(b *kithv1.Boost) boostEntry {
	var conditions []string
	for _, c := range b.GetFilter().GetConditions() {
		conditions = append(conditions, conditionTexts(c)...)
	}
	if f := b.GetFilter(); len(conditions) == 0 || len(f.GetAllow())+len(f.GetDeny()) > 0 || f.GetOnlyProducts() {
		return boostEntry{keys: &boostKeys{conditions, f.GetOnlyProducts(), f.GetAllow(), f.GetDeny(), b.Factor}}
	}
	return boostEntry{text: strings.Join(conditions, ",") + ":" + number(b.Factor)}
}

// historyEntry excludes items of events; a window of "" is any.
type historyEntry struct {
	Behaviors []string `yaml:"behaviors,omitempty"`
	Within    string   `yaml:"within,omitempty"`
}

type experimentEntry struct {
	Name          string         `yaml:"name"`
	Scene         string         `yaml:"scene"`
	Start         string         `yaml:"start"`
	End           string         `yaml:"end"`
	Window        string         `yaml:"window,omitempty"`
	Salt          string         `yaml:"salt,omitempty"`
	ExpectedUsers uint64         `yaml:"expected-users,omitempty"`
	Variants      []variantEntry `yaml:"variants"`
}

type variantEntry struct {
	Name   string   `yaml:"name,omitempty"`
	Scene  string   `yaml:"scene"`
	Weight *float64 `yaml:"weight,omitempty"`
}

// parseScenes reads a file of scenes. Every mistake is an error that names file, line and column.
func parseScenes(name string, data []byte) (*kithv1.SceneSet, error) {
	parsed, err := parser.ParseBytes(data, 0)
	var file sceneFile
	if err == nil {
		if t := tagIn(data); t != nil {
			return nil, usagef("%s:%d:%d: tag %s; a file of scenes needs none, take it out", name, t.Position.Line, t.Position.Column, t.Value)
		}
		if err = yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&file); errors.Is(err, io.EOF) {
			return nil, usagef("%s:1:1: no scenes; want a list under the key scenes", name)
		}
	}
	if at := yaml.Error(nil); errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return nil, usagef("%s:%d:%d: %s", name, p.Line, p.Column, at.GetMessage())
	}
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	set, err := file.set()
	if err == nil {
		err = api.CheckScenes(set)
	}
	if wrong := (*coordinator.SceneError)(nil); errors.As(err, &wrong) {
		line, column := place(parsed, wrong.Path)
		return nil, usagef("%s:%d:%d: %s: %w", name, line, column, wrong.Path, wrong.Err)
	}
	return set, err
}

// tagIn returns a tag of a file, if there is one: the decoder does not stand those on values of another kind.
func tagIn(data []byte) *token.Token {
	for _, t := range lexer.Tokenize(string(data)) {
		if t.Type == token.TagType {
			return t
		}
	}
	return nil
}

// place returns where a path such as scenes[0].boost stands in a file, or the nearest thing around it that is there.
func place(file *ast.File, path string) (line, column int) {
	line, column = 1, 1
	if len(file.Docs) == 0 {
		return line, column
	}
	node := file.Docs[0].Body
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		at := func(n ast.Node) { line, column = n.GetToken().Position.Line, n.GetToken().Position.Column }
		switch n := node.(type) {
		case *ast.SequenceNode:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(n.Values) {
				return line, column
			}
			node = n.Values[i]
			if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
				at(m.Values[0].Key)
			} else {
				at(node)
			}
		case *ast.MappingNode:
			i := slices.IndexFunc(n.Values, func(v *ast.MappingValueNode) bool { return v.Key.GetToken().Value == step })
			if i < 0 {
				return line, column
			}
			at(n.Values[i].Key)
			node = n.Values[i].Value
		default:
			return line, column
		}
	}
	return line, column
}

// set returns what the file says, not yet checked but for its texts.
func (f *sceneFile) set() (*kithv1.SceneSet, error) {
	set := &kithv1.SceneSet{Version: f.Version}
	for i := range f.Scenes {
		s, err := f.Scenes[i].scene()
		if err != nil {
			return nil, inFile(fmt.Sprintf("scenes[%d]", i), err)
		}
		set.Scenes = append(set.Scenes, s)
	}
	for i := range f.Experiments {
		e, err := f.Experiments[i].experiment()
		if err != nil {
			return nil, inFile(fmt.Sprintf("experiments[%d]", i), err)
		}
		set.Experiments = append(set.Experiments, e)
	}
	return set, nil
}

// inFile makes of an error about a flag, whose name comes first, one about the key of a file.
func inFile(path string, err error) error {
	if key, text, ok := strings.Cut(strings.TrimPrefix(err.Error(), "--"), " "); ok && strings.HasPrefix(err.Error(), "--") {
		return &coordinator.SceneError{Path: path + "." + key, Err: errors.New(text)}
	}
	return &coordinator.SceneError{Path: path, Err: err}
}

// modelOf returns a model of scenes by name.
func modelOf(flag, name string) (kithv1.Model, error) {
	if m := modelByName(name); m != kithv1.Model_MODEL_UNSPECIFIED && !onlyInAnswers(m) {
		return m, nil
	}
	var names []string
	for m, n := range modelNames {
		if !onlyInAnswers(m) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return 0, usagef("--%s %q; want %s", flag, name, alternatives(names))
}

// usualModel is the model of a scene that names none: that of the name of a trained one, if there is a name.
func usualModel(name string) string {
	if name != "" {
		return modelNames[kithv1.Model_MODEL_TRAINED]
	}
	return modelNames[kithv1.Model_MODEL_HYBRID]
}

// ageOf reads an age of a key, of which "" means 0.
func ageOf(flag, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	ms, err := parseAge(text)
	if err != nil {
		return 0, usagef("--%s %q: %v", flag, text, err)
	}
	return ms, nil
}

func (e *sceneEntry) scene() (*kithv1.Scene, error) {
	flags := ruleFlags{
		filters: e.Filter, onlyProducts: e.OnlyProducts, allow: e.Allow, deny: e.Deny, bought: e.ExcludeBought, seen: e.ExcludeSeen,
		freshness: e.Freshness, since: cmp.Or(e.Since, coordinator.DefaultSince), lambda: 1, maxPerGroup: e.MaxPerGroup,
		groupBy: cmp.Or(e.GroupBy, coordinator.DefaultCategory), pins: e.Pin, explore: e.Explore, apart: e.BySimilarity,
	}
	if e.Lambda != nil {
		flags.lambda = *e.Lambda
	}
	rules, err := flags.rules()
	if err != nil {
		return nil, err
	}
	for i := range e.Boost {
		b, err := e.Boost[i].boost()
		if err != nil {
			return nil, err
		}
		rules.boosts = append(rules.boosts, b)
	}
	var about kithv1.RecommendRequest
	if err := flags.history(&about); err != nil {
		return nil, err
	}
	s := &kithv1.Scene{
		Name: e.Name, Blend: e.Blend, N: e.N, IncludeSeen: e.IncludeSeen, Filter: rules.filter, ExcludeHistory: about.ExcludeHistory,
		Boosts: rules.boosts, Freshness: rules.freshness, Diversity: rules.diversity, Pins: about.Pins, Explore: about.Explore, Weights: e.Weight, CategoryAttribute: e.Category,
		SinceAttribute: e.Since, ModelName: e.ModelName,
	}
	for _, x := range e.ExcludeHistory {
		within, err := ageOf("exclude-history", x.Within)
		if err != nil {
			return nil, err
		}
		s.ExcludeHistory = append(s.ExcludeHistory, &kithv1.HistoryRule{Behaviors: x.Behaviors, WithinMs: within})
	}
	if s.Model, err = modelOf("model", cmp.Or(e.Model, usualModel(e.ModelName))); err != nil {
		return nil, err
	}
	if s.WithinMs, err = ageOf("within", e.Within); err != nil {
		return nil, err
	}
	if e.Fallback == nil {
		return s, nil
	}
	s.NoFallback = len(*e.Fallback) == 0
	for _, name := range *e.Fallback {
		m, err := modelOf("fallback", name)
		if err != nil {
			return nil, err
		}
		s.Fallback = append(s.Fallback, m)
	}
	return s, nil
}

func (e *experimentEntry) experiment() (out *kithv1.Experiment, err error) {
	out = &kithv1.Experiment{Name: e.Name, Scene: e.Scene, Salt: e.Salt, ExpectedUsers: e.ExpectedUsers}
	for _, x := range []struct {
		key, text string
		to        *int64
	}{{"start", e.Start, &out.StartUnixMs}, {"end", e.End, &out.EndUnixMs}} {
		t, err := parseTime(x.text)
		if err != nil {
			return nil, usagef("--%s %q; want a date such as 2026-12-01, or a time such as 2026-12-01T08:00:00Z", x.key, x.text)
		}
		*x.to = t.UnixMilli()
	}
	if out.WindowMs, err = ageOf("window", e.Window); err != nil {
		return nil, err
	}
	for i, v := range e.Variants {
		variant := &kithv1.Variant{Name: cmp.Or(v.Name, v.Scene), Scene: v.Scene, Weight: 1}
		if v.Weight != nil {
			if variant.Weight = *v.Weight; !(variant.Weight > 0) || math.IsInf(variant.Weight, 0) {
				return nil, usagef("--variants[%d].weight %v; want more than 0", i, *v.Weight)
			}
		}
		out.Variants = append(out.Variants, variant)
	}
	return out, nil
}

// fileOf returns the file that says what a set does.
func fileOf(set *kithv1.SceneSet) *sceneFile {
	f := &sceneFile{Version: set.GetVersion(), Scenes: []sceneEntry{}}
	for _, s := range set.GetScenes() {
		f.Scenes = append(f.Scenes, entryOf(s))
	}
	for _, x := range set.GetExperiments() {
		e := experimentEntry{
			Name: x.Name, Scene: x.Scene, Start: timeText(x.StartUnixMs), End: timeText(x.EndUnixMs), Window: ageText(x.WindowMs), Salt: x.Salt,
			ExpectedUsers: x.ExpectedUsers,
		}
		arms := coordinator.Arms(x)
		for i, v := range x.Variants {
			e.Variants = append(e.Variants, variantEntry{v.Name, v.Scene, &arms[i].Weight})
		}
		f.Experiments = append(f.Experiments, e)
	}
	return f
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// ageText writes an age as parseAge reads it, and "" for 0.
func ageText(ms uint64) string {
	const day = 24 * 60 * 60 * 1000
	switch {
	case ms == 0:
		return ""
	case ms%day == 0:
		return fmt.Sprintf("%dd", ms/day)
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

func entryOf(s *kithv1.Scene) sceneEntry {
	e := sceneEntry{
		Name: s.Name, Model: modelNames[cmp.Or(s.Model, kithv1.Model_MODEL_HYBRID)], Blend: s.Blend, N: s.N, IncludeSeen: s.IncludeSeen, OnlyProducts: s.Filter.GetOnlyProducts(),
		Allow: s.Filter.GetAllow(), Deny: s.Filter.GetDeny(), Within: ageText(s.WithinMs), Weight: s.Weights, Category: s.CategoryAttribute,
		Since: s.SinceAttribute, ModelName: s.ModelName,
	}
	if s.Model == kithv1.Model_MODEL_UNSPECIFIED {
		e.Model = usualModel(s.ModelName)
	}
	for _, c := range s.Filter.GetConditions() {
		e.Filter = append(e.Filter, conditionTexts(c)...)
	}
	for _, b := range s.Boosts {
		e.Boost = append(e.Boost, boostOf(b))
	}
	if f := s.Freshness; f != nil {
		e.Freshness = ageText(f.HalfLifeMs) + ":" + number(cmp.Or(f.Strength, 1))
		if f.Attribute != coordinator.DefaultSince && e.Since == "" {
			e.Since = f.Attribute
		}
	}
	if d := s.Diversity; d != nil {
		e.Lambda, e.MaxPerGroup, e.GroupBy, e.BySimilarity = d.Lambda, d.MaxPerGroup, d.Attribute, d.BySimilarity
	}
	if x := s.Explore; x != nil {
		e.Explore = fmt.Sprint(x.Places)
		if x.WithinMs > 0 {
			e.Explore += ":" + ageText(x.WithinMs)
		}
		if x.Attribute != coordinator.DefaultSince && e.Since == "" {
			e.Since = x.Attribute
		}
	}
	for _, p := range s.Pins {
		e.Pin = append(e.Pin, fmt.Sprintf("%s@%d", p.Item, p.Rank))
	}
	for _, x := range s.ExcludeHistory {
		e.ExcludeHistory = append(e.ExcludeHistory, historyEntry{x.Behaviors, ageText(x.WithinMs)})
	}
	if len(s.Fallback) > 0 || s.NoFallback {
		names := []string{}
		for _, m := range s.Fallback {
			names = append(names, modelNames[m])
		}
		e.Fallback = &names
	}
	return e
}

// conditionTexts writes a condition as parseConditions reads it: a range with two bounds as two.
func conditionTexts(c *kithv1.Condition) []string {
	name := escaped(c.Attribute, ",")
	values := func(op string, list *kithv1.TextList, between string) []string {
		var texts []string
		for _, x := range list.GetTexts() {
			texts = append(texts, escaped(x, ",|&"))
		}
		return []string{name + op + strings.Join(texts, between)}
	}
	switch t := c.Test.(type) {
	case *kithv1.Condition_AnyOf:
		return values("=", t.AnyOf, "|")
	case *kithv1.Condition_AllOf:
		return values("=", t.AllOf, "&")
	case *kithv1.Condition_NoneOf:
		return values("!=", t.NoneOf, "|")
	case *kithv1.Condition_Range:
		var out []string
		bound := func(op string, excluded bool, x *float64) {
			if x == nil {
				return
			}
			if !excluded {
				op += "="
			}
			out = append(out, name+op+number(*x))
		}
		bound(">", t.Range.ExcludeMin, t.Range.Min)
		bound("<", t.Range.ExcludeMax, t.Range.Max)
		return out
	}
	return []string{name}
}

// escaped puts a backslash before some bytes, and before backslashes.
func escaped(text, special string) string {
	var out strings.Builder
	for i := range len(text) {
		if text[i] == '\\' || strings.IndexByte(special, text[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
