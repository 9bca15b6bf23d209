package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/evaluate"
)

// TestEvaluateTunes: an evaluation with tuning keeps its trials, goes on with them, also after its last line was torn, and writes a page.
func TestEvaluateTunes(t *testing.T) {
	input := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(7, 8)), 120, 40).csv())
	dir := t.TempDir()
	state, report := filepath.Join(dir, "trials.jsonl"), filepath.Join(dir, "report.html")
	args := []string{
		"evaluate", "--input", input, "--models", "popularity,item-knn", "--split", "ratio", "-n", "5,10", "--by", "ndcg@10",
		"--tune", "6", "--tune-method", "tpe", "--state", state, "--report", report, "--validation-folds", "2",
	}
	first := mustJSON[evaluate.Result](t, args...)
	if first.ValidationFolds != 2 || len(first.Tuning) != 1 || len(first.Tuning[0].Trials) != 6 || first.Models[1].Tuned != first.Tuning[0].Best || (first.Models[0].Against == nil) == (first.Models[1].Against == nil) {
		t.Fatalf("got %+v", first)
	}
	lines, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Top 5, by ndcg@10", "What tuning has tried", "Accuracy is not all"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	again := mustJSON[evaluate.Result](t, args...)
	if got, err := os.ReadFile(state); err != nil || string(got) != string(lines) {
		t.Errorf("the second run has changed the trials (%v):\n%s", err, got)
	}
	for i, x := range again.Tuning[0].Trials {
		if x != first.Tuning[0].Trials[i] {
			t.Errorf("trial %d is %+v, was %+v", i, x, first.Tuning[0].Trials[i])
		}
	}
	if err := os.WriteFile(state, lines[:len(lines)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if torn := mustJSON[evaluate.Result](t, args...); torn.Models[1].Tuned != first.Models[1].Tuned {
		t.Errorf("after a torn line the best is %s, want %s", torn.Models[1].Tuned, first.Models[1].Tuned)
	}
	if got, err := os.ReadFile(state); err != nil || strings.Count(string(got), "\n") != strings.Count(string(lines), "\n") {
		t.Errorf("trials after a torn line (%v):\n%s", err, got)
	}
}

// TestEvaluateToldOfFailures: a model that fails costs nobody else's figures, and the exit code says that one has failed.
func TestEvaluateToldOfFailures(t *testing.T) {
	input := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(7, 8)), 120, 40).csv())
	report := filepath.Join(t.TempDir(), "report.html")
	args := []string{"evaluate", "--input", input, "--models", "rules(max-itemsets=1),popularity", "--against", "rules(max-itemsets=1)", "--report", report}
	table := kith(t, nil, args...)
	for _, want := range []string{"\npopularity ", "\nrules(max-itemsets=1) has no figures: ", "too many frequent itemsets", "\nNo P: the models were to be compared with rules(max-itemsets=1), which has failed."} {
		if !strings.Contains(table.out, want) {
			t.Errorf("the table lacks %q:\n%s", want, table.out)
		}
	}
	if table.code != exitError || !strings.Contains(table.err, "1 of 2 models failed: rules(max-itemsets=1)") {
		t.Errorf("exit code %d, %q; want %d and which model failed", table.code, table.err, exitError)
	}
	if text, err := os.ReadFile(report); err != nil || !strings.Contains(string(text), "rules(max-itemsets=1) failed and has no figures") || !strings.Contains(string(text), "No differences: ") {
		t.Errorf("the report does not tell of the failure, or that nothing is compared (%v)", err)
	}
	asJSON := kith(t, nil, append(args, "-o", "json")...)
	var r evaluate.Result
	if err := json.Unmarshal([]byte(asJSON.out), &r); err != nil || asJSON.code != exitError {
		t.Fatalf("exit code %d, %v in %s", asJSON.code, err, asJSON.out)
	}
	if r.Uncompared == "" || len(r.Models) != 2 || !strings.Contains(r.Models[0].Failed, "too many frequent itemsets") || len(r.Models[0].Metrics) != 0 || r.Models[1].Failed != "" || len(r.Models[1].Metrics) == 0 {
		t.Errorf("models %+v", r.Models)
	}
}

func TestEvaluateOptions(t *testing.T) {
	input := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(7, 8)), 120, 40).csv())
	categories := writeFile(t, "categories.csv", "item,category\ni1,a|b\ni2,b\ni1,c\n")
	got := mustJSON[evaluate.Result](t, "evaluate", "--input", input, "--models", "popularity,itemknn(k=3,measure=bm25)", "--split", "user-cold",
		"--metrics", "auc,novelty", "--categories", categories, "--interval", "bootstrap", "--samples", "200")
	if got.Calibration != "categories" || got.Interval != "bootstrap" || got.Models[1].Parameters["measure"] != "bm25" || got.Folds[0].HistoryEntries == 0 {
		t.Errorf("got %+v", got)
	}
	if x, ok := got.Models[0].Metrics["auc"]; !ok || !(x.Low < x.Mean && x.Mean < x.High) {
		t.Errorf("auc %+v, %v", x, ok)
	}
	table := mustKith(t, "evaluate", "--input", input, "--models", "popularity,itemknn", "--negatives", "9", "--metrics", "ndcg,novelty")
	if !strings.Contains(table, "among 9 drawn ones") || !strings.Contains(table, "NDCG@10") || strings.Contains(table, "NOVELTY") {
		t.Errorf("table:\n%s", table)
	}
	held := writeFile(t, "held.csv", "user,item,rating\nu1,i1,4\nu2,i2,4\nu3,i3,4\nnobody,i4,4\n")
	if given := mustJSON[evaluate.Result](t, "evaluate", "--input", input, "--test", held, "--models", "popularity"); given.Split != evaluate.SplitGiven ||
		given.Repeated+given.Folds[0].TestEntries != 4 || given.Folds[0].ColdUsers != 1 {
		t.Errorf("got %+v", given)
	}
	empty := writeFile(t, "empty.csv", "item,category\n")
	notTrials := writeFile(t, "notes.txt", "what I thought\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--metrics", "luck"}, "novelty"},
		{[]string{"--state", "x.jsonl"}, "--tune"},
		{[]string{"--report", "x.pdf"}, ".html"},
		{[]string{"--categories", empty}, "no category"},
		{[]string{"--categories", filepath.Join(t.TempDir(), "absent.csv")}, "--categories"},
		{[]string{"--tune", "3", "--state", notTrials}, "line 1 is no trial"},
		{[]string{"--tune", "3", "--split", "k-fold"}, "k-fold"},
		{[]string{"--validation-folds", "3"}, "--tune"},
		{[]string{"--workers", "a:7801"}, "--tune"},
		{[]string{"--workers", "a", "--tune", "3"}, "host:port"},
		{[]string{"--test", held, "--split", "ratio"}, "--split"},
	} {
		got := kith(t, nil, append([]string{"evaluate", "--input", input, "--models", "popularity"}, c.args...)...)
		if got.code == 0 || !strings.Contains(got.err, c.want) {
			t.Errorf("%v: exit code %d, %q, want it to say %q", c.args, got.code, got.err, c.want)
		}
	}
}

// TestEvaluateUsers: of users without any history, attributes tell what they want; popularity, and a model that is not told to look at them, do not know it.
func TestEvaluateUsers(t *testing.T) {
	var events, users strings.Builder
	events.WriteString("user,item\n")
	for u := range 60 {
		for item := range 4 {
			fmt.Fprintf(&events, "u%d,club%d-%d\n", u, u%4, item)
		}
		fmt.Fprintf(&users, `{"key": "u%d", "version": 1, "attributes": {"club": "club %d", "age": %d}}`+"\n", u, u%4, 20+u)
	}
	input, people := writeFile(t, "events.csv", events.String()), writeFile(t, "users.jsonl", users.String())
	const of = "warp(batches=4,learning-rate=0.2,user-attributes=club)"
	got := mustJSON[evaluate.Result](t, "evaluate", "--input", input, "--users", people, "--models", "popularity,warp,"+of, "--split", "user-new", "-n", "4")
	if got.Folds[0].HistoryEntries != 0 || got.Folds[0].TestEntries != 48 || got.Ratio != 0.8 {
		t.Errorf("folds %+v of ratio %v, want the 48 entries of 12 users in the test and none in queries", got.Folds, got.Ratio)
	}
	for i, low := range []bool{true, true, false} {
		if x := got.Models[i].Metrics["precision@4"].Mean; (x < 0.5) != low || !low && x != 1 {
			t.Errorf("%s: precision %v", got.Models[i].Name, x)
		}
	}
	if fmt.Sprint(got.Models[2].Parameters["user-attributes"]) != "[club]" {
		t.Errorf("parameters %v", got.Models[2].Parameters)
	}
	for name, args := range map[string][]string{
		"give records of users": {"evaluate", "--input", input, "--models", of},
		"clbu":                  {"evaluate", "--input", input, "--users", people, "--models", "warp(user-attributes=clbu)"},
		"absent":                {"evaluate", "--input", input, "--users", people + ".absent"},
		"kith evaluate --users": {"build", "--auto", "--candidates", "popularity," + of},
	} {
		if got := kith(t, nil, args...); got.code == 0 || !strings.Contains(got.err, name) {
			t.Errorf("%v: exit code %d, %q, want it to say %q", args, got.code, got.err, name)
		}
	}
}
