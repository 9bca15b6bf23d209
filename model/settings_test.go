package model_test

import (
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/model"
)

var parameters = []model.Parameter{
	{Name: "factors", Default: 64, Low: 1, High: 1024, Whole: true},
	{Name: "alpha", Default: 1, Low: 0, High: 100},
	{Name: "solver", Choices: []string{"cg", "cholesky"}},
	{Name: "base", Names: true},
}

func TestSettings(t *testing.T) {
	name, given, err := model.ParseName(" als( factors=32, solver = cholesky,base=item-knn + slim)")
	if err != nil || name != "als" {
		t.Fatalf("ParseName gives %q, %v", name, err)
	}
	s, err := model.ParseSettings(parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"factors": 32.0, "alpha": 1.0, "solver": "cholesky", "base": []string{"item-knn", "slim"}}
	if diff := gocmp.Diff(want, s.Map()); diff != "" {
		t.Error(diff)
	}
	if s.Whole("factors") != 32 || s.Number("alpha") != 1 || s.Choice("solver") != "cholesky" || s.Text("alpha") != "1" || s.Text("solver") != "cholesky" || s.Text("base") != "item-knn+slim" {
		t.Errorf("values read singly differ from %v", s.Map())
	}
}

func TestSettingsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"als(factors=0)":            "factors is 0, want 1 to 1024",
		"als(factors=NaN)":          "factors is NaN",
		"als(factors=1.5)":          "whole number",
		"als(factors=many)":         "want a number",
		"als(solver=lu)":            "one of cg, cholesky",
		"als(depth=1)":              `unknown parameter "depth", want one of factors, alpha, solver, base`,
		"als(factors=1":             "closing parenthesis",
		"als(factors)":              "parameter=value",
		"als(base=a+)":              "names with + between",
		"als(base=a+b+a)":           `"a" twice`,
		"als()":                     "parameter=value",
		"als(factors=1,factors=2)":  "twice",
		"als(factors=1,alpha=-0.5)": "alpha is -0.5",
	} {
		_, given, err := model.ParseName(text)
		if err == nil {
			_, err = model.ParseSettings(parameters, given)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestSplitNames(t *testing.T) {
	got := model.SplitNames("itemknn, als(factors=2,alpha=3),ease")
	if want := []string{"itemknn", "als(factors=2,alpha=3)", "ease"}; !slices.Equal(got, want) {
		t.Errorf("SplitNames = %q, want %q", got, want)
	}
}
