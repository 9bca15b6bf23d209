package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// neighborModels are the models that neighbor lists answer, by their names in evaluations, with those of queries.
var neighborModels = map[string]string{"itemknn": "item-knn", "userknn": "user-knn", "hybrid": "hybrid"}

// withChoice returns the spec of a build with a model as evaluations name it, such as itemknn(k=100) or als(factors=64), and the name by which queries ask
// for it: a neighborhood sets the settings of the lists, a trained model joins those of the spec. The spec is only read.
func withChoice(spec *kithv1.BuildSpec, setting string) (out *kithv1.BuildSpec, ask string, err error) {
	name, given, err := model.ParseName(setting)
	if err != nil {
		return nil, "", err
	}
	out = proto.CloneOf(spec)
	if name == popularity {
		return out, popularity, nil
	}
	if ask, ok := neighborModels[name]; ok {
		for _, p := range slices.Sorted(maps.Keys(given)) {
			if err := setNeighbors(out, p, given[p]); err != nil {
				return nil, "", fmt.Errorf("%s: %w", setting, err)
			}
		}
		if _, _, err := wire.ParseSpec(out); err != nil {
			return nil, "", fmt.Errorf("%s: %w", setting, err)
		}
		return out, ask, nil
	}
	i := slices.IndexFunc(kinds.All, func(k *train.Kind) bool { return k.Name == name })
	switch {
	case i < 0:
		return nil, "", fmt.Errorf("no build makes %s; want some of %s", name, strings.Join(buildable(), ", "))
	case kinds.All[i].ReadCombination != nil:
		return nil, "", fmt.Errorf("no build makes %s alone, which is made of other models; compare it by 'kith evaluate --base', and name it behind its base in --models", name)
	case kinds.All[i].PredictsRatings:
		return nil, "", fmt.Errorf("%s predicts ratings, and --auto compares by top-N; compare it with 'kith evaluate', and name it in --models", name)
	case kinds.All[i].NeedsProducts:
		return nil, "", fmt.Errorf("%s learns from attributes of products, which --auto does not read; compare it with 'kith evaluate --products'", name)
	}
	if s, err := model.ParseSettings(kinds.All[i].Parameters, given); err == nil && len(kinds.All[i].AttributesOf(s)) > 0 {
		return nil, "", fmt.Errorf("%s learns from attributes of users here, which --auto does not read; compare it with 'kith evaluate --users'", name)
	}
	m := &kithv1.ModelSpec{Kind: name, Parameters: given}
	taken := map[string]bool{}
	for _, x := range out.Models {
		if x.Kind == name && maps.Equal(x.Parameters, given) {
			return out, modelAsk(x), nil
		}
		taken[modelAsk(x)] = true
	}
	for n := 2; taken[modelAsk(m)]; n++ {
		m.Name = name + "-" + strconv.Itoa(n)
	}
	out.Models = append(out.Models, m)
	return out, modelAsk(m), nil
}

// modelAsk returns the name by which queries ask for a model.
func modelAsk(m *kithv1.ModelSpec) string {
	if m.Name != "" {
		return m.Name
	}
	return m.Kind
}

// buildable lists the models that a build can make of events alone, as evaluations name them.
func buildable() []string {
	names := append([]string{popularity}, slices.Sorted(maps.Keys(neighborModels))...)
	for _, k := range kinds.All {
		if !k.NeedsProducts && !k.PredictsRatings && k.ReadCombination == nil {
			names = append(names, k.Name)
		}
	}
	return names
}

// setNeighbors sets a parameter of neighborhoods.
func setNeighbors(spec *kithv1.BuildSpec, name, value string) error {
	if name == "measure" {
		spec.Measure = value
		return nil
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("%s is %q, want a number", name, value)
	}
	switch name {
	case "k":
		if !(x >= 1 && x <= maxK) {
			return fmt.Errorf("k is %v; a build keeps 1 to %d neighbors", x, maxK)
		}
		spec.K = uint32(x)
	case "shrinkage":
		spec.Shrinkage = x
	case "min-support":
		if !(x >= 0 && x <= math.MaxInt32) {
			return fmt.Errorf("min-support is %v; want 0 or more", x)
		}
		spec.MinSupport = uint32(x)
	case "alpha":
		spec.Alpha = &x
	default:
		return fmt.Errorf("a build has no %s of neighbor lists", name)
	}
	return nil
}
