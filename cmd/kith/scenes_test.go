package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// sceneExample returns the file of docs/scenes.md.
func sceneExample(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "scenes.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/scenes.md has no YAML")
	}
	return text
}

func TestParseScenes(t *testing.T) {
	set, err := parseScenes("scenes.yaml", []byte(sceneExample(t)))
	if err != nil {
		t.Fatal(err)
	}
	blend, one := 0.7, 1.0
	home := &kithv1.Scene{
		Name: "home", Model: kithv1.Model_MODEL_HYBRID, Blend: &blend, N: 12,
		ExcludeHistory: []*kithv1.HistoryRule{{Behaviors: []string{"purchase"}, WithinMs: 30 * 86_400_000}},
		Filter: &kithv1.Filter{Conditions: []*kithv1.Condition{
			{Attribute: "stock", Test: &kithv1.Condition_NoneOf{NoneOf: &kithv1.TextList{Texts: []string{"0"}}}},
			{Attribute: "category", Test: &kithv1.Condition_NoneOf{NoneOf: &kithv1.TextList{Texts: []string{"gift cards"}}}},
		}},
		Boosts: []*kithv1.Boost{{Factor: 1.5, Filter: &kithv1.Filter{Conditions: []*kithv1.Condition{
			{Attribute: "brand", Test: &kithv1.Condition_AnyOf{AnyOf: &kithv1.TextList{Texts: []string{"acme"}}}},
		}}}},
		Freshness: &kithv1.Freshness{Attribute: "since", HalfLifeMs: 30 * 86_400_000, Strength: 2},
		Diversity: &kithv1.Diversity{Attribute: "category", Lambda: &one, MaxPerGroup: 3},
		Explore:   &kithv1.Explore{Places: 1, WithinMs: 14 * 86_400_000, Attribute: "since"},
		Fallback: []kithv1.Model{
			kithv1.Model_MODEL_USER_KNN, kithv1.Model_MODEL_CATEGORIES, kithv1.Model_MODEL_TRENDING, kithv1.Model_MODEL_POPULARITY, kithv1.Model_MODEL_NEWEST,
		},
	}
	if diff := gocmp.Diff(home, set.Scenes[0], protocmp.Transform()); diff != "" {
		t.Errorf("home, -want +got:\n%s", diff)
	}
	experiment := &kithv1.Experiment{
		Name: "home-2026-12", Scene: "home", StartUnixMs: 1_796_083_200_000, EndUnixMs: 1_797_292_800_000, WindowMs: 7 * 86_400_000,
		Variants: []*kithv1.Variant{{Name: "control", Scene: "home", Weight: 50}, {Name: "trending", Scene: "home-trending", Weight: 50}},
	}
	if diff := gocmp.Diff([]*kithv1.Experiment{experiment}, set.Experiments, protocmp.Transform()); diff != "" {
		t.Errorf("experiments, -want +got:\n%s", diff)
	}
	if cart := set.Scenes[3]; !cart.NoFallback || len(cart.Fallback) > 0 {
		t.Errorf("cart: %v, want no fallback", cart)
	}
}

// TestShownScenesAreTheSame: what 'kith scenes show' writes is read as what it was.
func TestShownScenesAreTheSame(t *testing.T) {
	text := sceneExample(t) + `
  - name: all-keys
    scene: odd
    start: 2026-12-20T08:00:00.5Z
    end: 2026-12-21
    salt: s
    expected-users: 500
    variants: [{scene: odd}, {name: b, scene: cart, weight: 0.5}]
`
	text = strings.Replace(text, "experiments:", `  - name: odd
    model: newest
    include-seen: true
    only-products: true
    allow: [a, "b,c"]
    deny: [d]
    filter: ['price>=1,price<5', 'tags=a\,b|c\&d', 'tags=x&y', 'since>2026-11-25']
    boost:
      - 'stock<3,brand=a\:b:0.5'
      - {filter: ['stock<3', 'tags=a\,b|c'], only-products: true, allow: [p1, "p,2"], deny: [p3], factor: 1.5}
      - {allow: [p4], factor: 2}
      - 'stock:3'
    since: published
    lambda: 0.5
    by-similarity: true
    explore: 2
    pin: ["p7@1", "x@y@3"]
    exclude-seen: 90m
    exclude-history: [{behaviors: [impression, click], within: 12h}, {}]
    category: kind

experiments:`, 1)
	want, err := parseScenes("scenes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want.Version = 7
	shown, err := yaml.Marshal(fileOf(want))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseScenes("shown.yaml", shown)
	if err != nil {
		t.Fatalf("%v in\n%s", err, shown)
	}
	if diff := gocmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, shown)
	}
}

func TestSceneMistakes(t *testing.T) {
	const head = "scenes:\n  - name: home\n  - name: b\n"
	const experiment = head + "experiments:\n  - name: e\n    scene: home\n    start: 2026-12-01\n    end: 2026-12-02\n    variants:\n      - scene: home\n      - scene: b\n"
	for name, tt := range map[string]struct{ text, want string }{
		"empty":              {"", "x.yaml:1:1: no scenes"},
		"no YAML":            {"scenes: [", "x.yaml:1:9: "},
		"unknown key":        {"scenes:\n  - name: a\n    method: hybrid\n", `x.yaml:3:5: unknown field "method"`},
		"tag":                {"scenes: !x\n  - name: a\n", "x.yaml:1:9: tag !x"},
		"type":               {"scenes:\n  - name: a\n    n: many\n", "x.yaml:3:8: "},
		"name":               {"scenes:\n  - name: Home\n", `x.yaml:2:5: scenes[0].name: scene "Home"; want a name`},
		"no name":            {"scenes:\n  - n: 3\n", "x.yaml:2:5: scenes[0].name"},
		"twice":              {head + "  - name: home\n", "x.yaml:4:5: scenes[2].name: there are two with the name home"},
		"model":              {"scenes:\n  - name: a\n    model: als\n", `x.yaml:3:5: scenes[0].model: "als"; want categories, hybrid, item-knn`},
		"model of answers":   {"scenes:\n  - name: a\n    model: pin\n", "x.yaml:3:5: scenes[0].model"},
		"fallback":           {"scenes:\n  - name: a\n    fallback: [hybrid]\n", "x.yaml:2:5: scenes[0]: fallback hybrid; want user-knn"},
		"n":                  {"scenes:\n  - name: a\n    n: 2000\n", "x.yaml:2:5: scenes[0]: n is 2000; want at most 1000"},
		"blend":              {"scenes:\n  - name: a\n    blend: 2\n", "x.yaml:2:5: scenes[0]: a share of item-based scores of 2"},
		"blend of others":    {"scenes:\n  - name: a\n    model: newest\n    blend: 0.5\n", "scenes[0]: blend is for the model hybrid alone"},
		"filter":             {"scenes:\n  - name: a\n    n: 3\n    filter: ['price<cheap']\n", `x.yaml:4:5: scenes[0].filter: "price<cheap"`},
		"boost key":          {"scenes:\n  - name: a\n    boost: [{allow: [p1], times: 2}]\n", `x.yaml:3:27: unknown field "times"`},
		"boost filter":       {"scenes:\n  - name: a\n    boost: ['stock:2', {filter: ['price<'], factor: 2}]\n", "x.yaml:3:5: scenes[0].boost: "},
		"boost":              {"scenes:\n  - name: a\n    boost: ['brand=acme:9e9']\n", "x.yaml:2:5: scenes[0]: boost 1: factor"},
		"window":             {"scenes:\n  - name: a\n    within: soon\n", `x.yaml:3:5: scenes[0].within: "soon"`},
		"no such scene":      {strings.Replace(experiment, "scene: b", "scene: c", 1), `x.yaml:11:9: experiments[0].variants[1].scene: there is no scene "c"`},
		"one variant":        {strings.Replace(experiment, "      - scene: b\n", "", 1), "x.yaml:9:5: experiments[0].variants: 1 variants; want 2 to 20"},
		"weight":             {strings.Replace(experiment, "scene: b", "scene: b\n        weight: 0", 1), "x.yaml:12:9: experiments[0].variants[1].weight: 0; want more than 0"},
		"start":              {strings.Replace(experiment, "2026-12-01", "tomorrow", 1), `x.yaml:7:5: experiments[0].start: "tomorrow"`},
		"end":                {strings.Replace(experiment, "2026-12-02", "2026-11-02", 1), "x.yaml:8:5: experiments[0].end: want a time behind the start"},
		"window of purchase": {strings.Replace(experiment, "    end:", "    window: 100d\n    end:", 1), "x.yaml:8:5: experiments[0].window: 2400h0m0s; want at most"},
		"overlap": {
			experiment + "  - name: f\n    scene: home\n    start: 2026-12-01T12:00:00Z\n    end: 2026-12-05\n    variants: [{scene: home}, {scene: b}]\n",
			"x.yaml:14:5: experiments[1].start: overlaps with experiment e",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseScenes("x.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %s, of\n%s", err, tt.want, tt.text)
			}
		})
	}
}

func FuzzParseScenes(f *testing.F) {
	f.Add([]byte("scenes:\n  - name: home\n    filter: [stock]\n"))
	f.Add([]byte("scenes: {a: 1}\nexperiments: [1]\n"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseScenes("x.yaml", data)
		if (err == nil) != (set != nil) {
			t.Fatalf("%v and error %v", set, err)
		}
	})
}

// TestScenes applies, shows and deletes scenes, and asks for them.
func TestScenes(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(c)
	path := writeFile(t, "scenes.yaml", sceneExample(t))
	if got := mustKith(t, "scenes", "--addr", addr); got != "No scenes; make some with 'kith scenes apply FILE'.\n" {
		t.Errorf("scenes printed %q", got)
	}
	if got := kith(t, nil, "recommend", "u", "--addr", addr, "--scene", "home"); got.code != exitError || !strings.Contains(got.err, `unknown scene "home": there are none`) {
		t.Errorf("code %d, %s", got.code, got.err)
	}
	const added = "added    scene home, scene home-trending, scene product-page, scene cart, experiment home-2026-12\n"
	if got := mustKith(t, "scenes", "apply", "--addr", addr, "--dry-run", path); got != added+"Nothing was changed: a dry run.\n" {
		t.Errorf("dry run printed %q", got)
	}
	if got := mustKith(t, "scenes", "apply", "--addr", addr, path); got != added+"Version 1 is there.\n" {
		t.Errorf("apply printed %q", got)
	}
	if got := mustKith(t, "scenes", "apply", "--addr", addr, path); got != "Nothing changes; version 1 stays.\n" {
		t.Errorf("apply again printed %q", got)
	}
	if got := mustKith(t, "scenes", "list", "--addr", addr); !strings.Contains(got, "product-page") || !strings.Contains(got, "home-2026-12") {
		t.Errorf("list printed %s", got)
	}
	if got := mustKith(t, "experiments", "--addr", addr); !strings.Contains(got, "control 50, trending 50") {
		t.Errorf("experiments printed %s", got)
	}

	if got := mustKith(t, "experiments", "report", "--addr", addr, "home-2026-12"); !strings.Contains(got, "home-2026-12 on scene home, not begun") || !strings.Contains(got, "too few yet") {
		t.Errorf("report printed %s", got)
	}

	if got := mustKith(t, "scenes", "report", "--addr", addr); !strings.HasPrefix(got, "No impressions or clicks on answers of scenes;") {
		t.Errorf("report on scenes printed %s", got)
	}

	shown := writeFile(t, "shown.yaml", mustKith(t, "scenes", "show", "--addr", addr))
	if got := mustKith(t, "scenes", "delete", "--addr", addr, "cart"); got != "removed  scene cart\nVersion 2 is there.\n" {
		t.Errorf("delete printed %q", got)
	}
	got := kith(t, nil, "scenes", "apply", "--addr", addr, shown)
	for _, part := range []string{"made from version 1, and 2 is there now", "kith scenes show"} {
		if got.code != exitError || !strings.Contains(got.err, part) {
			t.Errorf("apply of an old version: code %d, %s; want %q", got.code, got.err, part)
		}
	}
	for args, want := range map[string]string{
		"scenes delete home":                                                `there is no scene "home"`,
		"scenes delete cart":                                                `unknown scene "cart": there are home, home-trending, product-page`,
		"recommend u --scene hoem":                                          `unknown scene "hoem": there are home, home-trending, product-page`,
		"recommend u --scene home --model item-knn":                         "the scene names the model",
		"recommend --scene home --no-fallback":                              "want a user or a basket",
		"recommend u --scene product-page":                                  "an item of 0 bytes",
		"experiments report home":                                           `unknown experiment "home": there are home-2026-12; see 'kith experiments'`,
		"recommend u --item i1":                                             "no scene that is about items",
		"scenes apply " + filepath.Join(filepath.Dir(path), "nothing.yaml"): "check the path",
	} {
		if got := kith(t, nil, append(strings.Fields(args), "--addr", addr)...); got.code == exitOK || !strings.Contains(got.err, want) {
			t.Errorf("%s: code %d, %s; want %q", args, got.code, got.err, want)
		}
	}
	answer := mustJSON[struct{ Scene, Experiment string }](t, "recommend", "u17", "--addr", addr, "--scene", "home-trending")
	if answer.Scene != "home-trending" || answer.Experiment != "" {
		t.Errorf("%+v", answer)
	}
	home := mustJSON[struct {
		Answer string `json:"answer_id"`
	}](t, "recommend", "u17", "--addr", addr, "--scene", "home-trending")
	events := fmt.Sprintf(`{"user":"u17","item":"i1","behavior":"click","context":{"answer":%q}}`, home.Answer)
	mustKith(t, "ingest", "--addr", addr, "--columns", "user=user,item=item,behavior=behavior,context.answer=context.answer", writeFile(t, "feedback.jsonl", events+"\n"))
	if text := mustKith(t, "scenes", "report", "--addr", addr, "--within", "1d"); !strings.Contains(text, "1 impression or click of any scene did not count") {
		t.Errorf("report on scenes printed %s", text)
	}
	if text := mustKith(t, "recommend", "u17", "--addr", addr, "--scene", "home-trending", "-n", "3"); !strings.Contains(text, "Scene home-trending, answer ") {
		t.Errorf("recommend printed %s", text)
	}
}

// TestReportIsPrinted compares a report with its golden file.
func TestReportIsPrinted(t *testing.T) {
	outcome := func(users uint64, mean, difference, radius, p float64) *kithv1.VariantOutcome {
		return &kithv1.VariantOutcome{Users: users, Mean: mean, Known: radius > 0, Difference: difference, Low: difference - radius, High: difference + radius, P: p}
	}
	counts := func(impressions, clicks, purchases uint64, revenue float64) *kithv1.AnswerCounts {
		return &kithv1.AnswerCounts{Impressions: impressions, Clicks: clicks, Purchases: purchases, Revenue: revenue}
	}
	resp := &kithv1.ReportExperimentResponse{
		Experiment: &kithv1.Experiment{Name: "home-2026-12", Scene: "home", StartUnixMs: 1_796_083_200_000, EndUnixMs: 1_797_292_800_000, WindowMs: 604_800_000},
		NowUnixMs:  1_796_500_000_000, SplitP: 0.731, Crossed: 1, Others: 2, Refused: 3,
		Variants: []*kithv1.VariantReport{
			{
				Name: "control", Scene: "home", Share: 0.5, Users: 5021, Clicked: outcome(804, 0.1601, 0, 0, 0), Converted: outcome(251, 0.05, 0, 0, 0),
				Revenue: outcome(251, 1.49, 0, 0, 0), Counts: counts(60_123, 1012, 270, 7481.25),
				Models: []*kithv1.ModelCounts{{Version: 40, Counts: counts(20_000, 400, 100, 2481.25)}, {Version: 57, Counts: counts(40_123, 612, 170, 5000)}},
			},
			{
				Name: "trending", Scene: "home-trending", Share: 0.5, Users: 4987, Clicked: outcome(1010, 0.2025, 0.0424, 0.02, 0.0001), Converted: outcome(339, 0.068, 0.018, 0.0165, 0.0213),
				Revenue: outcome(339, 1.8, 0, 0, 1), Counts: counts(59_871, 1377, 362, 8976.5),
				Models: []*kithv1.ModelCounts{{Version: 0, Counts: counts(59_871, 1377, 362, 8976.5)}},
			},
		},
	}
	printed := func(resp *kithv1.ReportExperimentResponse) string {
		var out bytes.Buffer
		a := &app{out: &out, output: choice{"table", []string{"table", "json"}}, env: func(string) (string, bool) { return "", false }}
		if err := a.printReport(resp); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	golden(t, "report", printed(resp))
	resp.SplitP = 0.0004
	if got := printed(resp); !strings.Contains(got, "not split as the weights say (p = 0.0004)") {
		t.Errorf("a bad split is printed as\n%s", got)
	}
}
