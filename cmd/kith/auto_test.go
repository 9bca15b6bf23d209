package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// autoResult is what a build with --auto prints as JSON.
type autoResult struct {
	Auto struct {
		Model, Setting, Metric, Reason, Ask string
		Data                                autoData
		Evaluation                          struct {
			Split  string
			Models []struct{ Name string }
		}
	}
	Job     struct{ Spec jsonSpec }
	Version struct{ Version uint64 }
}

// walks makes events of users who go around a circle of items, each from another place: what comes next is certain, and no item is more popular than another.
func walks(users, items, length int) []*kithv1.Event {
	rng := rand.New(rand.NewPCG(3, 4))
	var events []*kithv1.Event
	for u := range users {
		start := rng.IntN(items)
		for i := range length {
			events = append(events, &kithv1.Event{
				Id: fmt.Sprint(i), User: fmt.Sprintf("u%03d", u), Item: fmt.Sprintf("i%02d", (start+i)%items), Behavior: "view", TimeUnixMs: int64(1_700_000_000_000 + 60_000*i),
			})
		}
	}
	return events
}

// TestBuildAuto has a cluster choose the model that knows what comes next, by its own events and by those of a file, and asks the version for it.
func TestBuildAuto(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(c)
	if got := kith(t, nil, "build", "--addr", addr, "--auto"); got.code != exitError || !strings.Contains(got.err, "0 users have two items or more") || !strings.Contains(got.err, "--input") {
		t.Errorf("an empty cluster: %+v", got)
	}
	events := walks(120, 40, 8)
	c.Append(0, events)
	c.Append(0, []*kithv1.Event{{Id: "0", User: "once", Item: "i00", Behavior: "view", TimeUnixMs: 1}})
	args := []string{"build", "--addr", addr, "--auto", "--auto-users", "100", "--candidates", "popularity,item-knn,markov(gap=60)", "--models", "markov,covisit"}
	got := mustJSON[autoResult](t, append(args, "--wait", "-o", "json")...)
	x := got.Auto
	if x.Model != "markov(gap=60)" || x.Setting != x.Model || x.Metric != "ndcg@10" || x.Ask != "markov-2" || !strings.Contains(x.Reason, "ndcg@10") {
		t.Errorf("chosen is %+v", x)
	}
	if x.Data.Source != sourceCluster || x.Data.Users != 120 || x.Data.Sampled != 100 || x.Evaluation.Split != "leave-one-out" || len(x.Evaluation.Models) != 3 {
		t.Errorf("data %+v, evaluation %+v", x.Data, x.Evaluation)
	}
	if m := got.Job.Spec.Models; len(m) != 3 || !strings.HasPrefix(m[0], "markov(") || !strings.HasPrefix(m[1], "covisit(") || !strings.HasPrefix(m[2], "markov-2:markov(") {
		t.Errorf("the build has %q, want what was named and what was chosen", m)
	}
	answer := mustJSON[jsonRecommendation](t, "recommend", "--addr", addr, "u000", "-n", "1", "--model", x.Ask, "-o", "json")
	if want := after(events, "u000", 40); len(answer.Items) != 1 || answer.Items[0].Item != want {
		t.Errorf("u000 is told %+v, want %s", answer.Items, want)
	}

	var text strings.Builder
	text.WriteString("user,item,time\n")
	for _, e := range events {
		_, _ = fmt.Fprintf(&text, "%s,%s,%d\n", e.User, e.Item, e.TimeUnixMs) // to memory
	}
	input := writeFile(t, "walks.csv", text.String())
	table := mustKith(t, "build", "--addr", addr, "--wait", "--auto", "--input", input, "--candidates", "popularity,markov,rules(max-itemsets=1)", "--by", "recall@5", "--tune", "2")
	places := make([]int, 0, 7)
	for _, want := range []string{"120 users of " + input, "RECALL@5", "\nmarkov", "\npopularity", "\nrules(max-itemsets=1) has no figures: no trial worked", "Chosen is markov: recall@5 ", "--model markov'", "is active"} {
		places = append(places, strings.Index(table, want))
	}
	if places[0] < 0 || !slices.IsSorted(places) {
		t.Errorf("places %v in\n%s", places, table)
	}
	if _, err := os.Stat(filepath.Join(".", "walks.rejected.jsonl")); err == nil {
		t.Error("there is a file of refused rows")
	}
}

// after returns the item that follows the last one of a user on the circle.
func after(events []*kithv1.Event, user string, items int) string {
	last := 0
	for _, e := range events {
		if e.User == user {
			_, _ = fmt.Sscanf(e.Item, "i%d", &last) // made by walks
		}
	}
	return fmt.Sprintf("i%02d", (last+1)%items)
}

// TestBuildAutoDefaults compares the candidates that nobody named, and chooses among neighborhoods.
func TestBuildAutoDefaults(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, walks(80, 20, 6))
	got := mustJSON[autoResult](t, "build", "--addr", addrsOf(c), "--auto", "--measure", "bm25", "-k", "7", "--wait", "-o", "json")
	var names []string
	for _, m := range got.Auto.Evaluation.Models {
		names = append(names, m.Name)
	}
	want := "popularity itemknn itemknn(measure=cosine) itemknn(measure=jaccard) userknn hybrid covisit markov rp3beta als ease"
	if strings.Join(names, " ") != want {
		t.Errorf("candidates %q, want %s", names, want)
	}
	if !slices.Contains(names, got.Auto.Model) || got.Job.Spec.K != 7 || got.Version.Version == 0 {
		t.Errorf("chosen is %+v, the build is %+v", got.Auto, got.Job)
	}
}

func TestBuildAutoUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--candidates", "als"}, "--candidates goes with --auto"},
		{[]string{"--auto", "--candidates", "rrf,als"}, "no build makes rrf"},
		{[]string{"--auto", "--candidates", "svd++"}, "svd++ predicts ratings"},
		{[]string{"--auto", "--candidates", "content"}, "attributes of products"},
		{[]string{"--auto", "--candidates", "als(luck=1)"}, `unknown parameter "luck"`},
		{[]string{"--auto", "--candidates", "itemknn(k=5000)"}, "k is 5000; a build keeps 1 to 1000"},
		{[]string{"--auto", "--by", "ndcg"}, "such as ndcg@10"},
		{[]string{"--auto", "--by", "luck@3"}, `"luck@3"`},
		{[]string{"--auto", "--auto-users", "7"}, "want 50 to 1000000"},
		{[]string{"--auto", "--tune", "3", "--split", "k-fold"}, "k-fold"},
		{[]string{"--auto", "--input", "x.csv", "--mapping", "y.yaml"}, "not both"},
	} {
		got := kith(t, nil, append([]string{"build", "--addr", "127.0.0.1:1"}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.err, c.want) {
			t.Errorf("%v: %+v, want it to say %q", c.args, got, c.want)
		}
	}
	if got := kith(t, []string{"KITH_MAPPING=x.yaml"}, "build", "--addr", "127.0.0.1:1"); got.code != exitError || strings.Contains(got.err, "--auto") {
		t.Errorf("a flag of the environment that is for other commands: %+v", got)
	}
}

// TestKeySample: a sample does not depend on the order of the keys, and keeps nearly all of them when others come.
func TestKeySample(t *testing.T) {
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprint("user", i)
	}
	sample := func(keys []string, n int) []string {
		s := keySample{n: n}
		for _, k := range keys {
			s.offer(k)
		}
		if s.offered != len(keys) {
			t.Errorf("offered is %d, want %d", s.offered, len(keys))
		}
		return s.taken()
	}
	first := sample(keys, 300)
	if len(first) != 300 || !slices.IsSorted(first) {
		t.Fatalf("%d keys", len(first))
	}
	low := 0
	for _, k := range first {
		if slices.Index(keys, k) < 2500 {
			low++
		}
	}
	if low < 110 || low > 190 { // 150 are expected, with a standard deviation of 8.4
		t.Errorf("%d of 300 are of the first half", low)
	}
	slices.Reverse(keys)
	if got := sample(keys, 300); !slices.Equal(got, first) {
		t.Error("another order gives another sample")
	}
	kept := 0
	for _, k := range sample(append(keys, "a", "b", "c"), 300) {
		if slices.Contains(first, k) {
			kept++
		}
	}
	if kept < 297 {
		t.Errorf("%d of 300 are kept when 3 keys come", kept)
	}
	if got := sample(keys[:9], 300); len(got) != 9 {
		t.Errorf("%d of 9 keys", len(got))
	}
}

func TestWithChoice(t *testing.T) {
	alpha := 0.5
	base := &kithv1.BuildSpec{Measure: "cosine", K: 50, Alpha: &alpha, Models: []*kithv1.ModelSpec{{Kind: "als"}, {Kind: "covisit", Name: "covisit-2"}, {Kind: "covisit"}}}
	before := proto.CloneOf(base)
	for _, c := range []struct{ setting, ask, models, lists string }{
		{"popularity", "popularity", "als covisit-2:covisit covisit", "cosine 50 0 0 0.5"},
		{"itemknn", "item-knn", "als covisit-2:covisit covisit", "cosine 50 0 0 0.5"},
		{"userknn(measure=asymmetric-cosine,k=120,shrinkage=2.5,min-support=3,alpha=0.2)", "user-knn", "als covisit-2:covisit covisit", "asymmetric-cosine 120 2.5 3 0.2"},
		{"hybrid(k=9)", "hybrid", "als covisit-2:covisit covisit", "cosine 9 0 0 0.5"},
		{"als", "als", "als covisit-2:covisit covisit", "cosine 50 0 0 0.5"},
		{"als(factors=8)", "als-2", "als covisit-2:covisit covisit als-2:als(factors=8)", "cosine 50 0 0 0.5"},
		{"covisit(k=3)", "covisit-3", "als covisit-2:covisit covisit covisit-3:covisit(k=3)", "cosine 50 0 0 0.5"},
		{"ease", "ease", "als covisit-2:covisit covisit ease", "cosine 50 0 0 0.5"},
	} {
		got, ask, err := withChoice(base, c.setting)
		if err != nil {
			t.Errorf("%s: %v", c.setting, err)
			continue
		}
		var models []string
		for _, m := range got.Models {
			models = append(models, wire.ModelText(m))
		}
		lists := fmt.Sprint(got.Measure, " ", got.K, " ", got.Shrinkage, " ", got.MinSupport, " ", got.GetAlpha())
		if ask != c.ask || strings.Join(models, " ") != c.models || lists != c.lists {
			t.Errorf("%s: asked by %s, models %q, lists %s; want %s, %s, %s", c.setting, ask, models, lists, c.ask, c.models, c.lists)
		}
		if !proto.Equal(base, before) {
			t.Fatalf("%s has changed the spec that was given", c.setting)
		}
	}
	for setting, want := range map[string]string{
		"itemknn(measure=luck)": "luck", "itemknn(shrinkage=-1)": "hrinkage", "itemknn(k=x)": "want a number", "itemknn(depth=1)": "no depth", "blend": "no build makes blend",
		"als(": "als(", "itemknn(min-support=-1)": "0 or more",
	} {
		if _, _, err := withChoice(base, setting); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", setting, err, want)
		}
	}
}
