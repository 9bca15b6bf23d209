package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type account struct {
	key    string
	values []string
}

func match(t *testing.T, cfg MatchConfig, accounts []account) ([]Pair, MatchReport) {
	t.Helper()
	m, err := NewMatcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		if err := m.Add(a.key, a.values); err != nil {
			t.Fatal(err)
		}
	}
	pairs, report, err := m.Match(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pairs, report
}

// strangers returns accounts that have nothing in common but names.
func strangers(n int) []account {
	var out []account
	for i := range n {
		name := fmt.Sprintf("%c%c Family%d", 'a'+i%26, 'a'+i/26%26, i%50)
		out = append(out, account{fmt.Sprintf("s%05d", i), []string{fmt.Sprintf("s%d@example.com", i), fmt.Sprintf("+49 171 %07d", i+1), name, strconv.Itoa(10_000 + i%500), name}})
	}
	return out
}

func TestMatch(t *testing.T) {
	cfg := PersonMatch()
	for i, m := range []float64{0.7, 0.8, 0.9, 0.9, 0.8} {
		cfg.Fields[i].M = m
	}
	a := account{"a", []string{"Ann.Lee@gmail.com", "+49 170 5554433", "Ann Lee", "10115", "Ann Lee"}}
	tests := []struct {
		name   string
		values []string
		one    bool
	}{
		{"all agrees, written otherwise", []string{"annlee+shop@googlemail.com", "0049170/5554433", "LEE, Ann", "10 115", "LEE, Ann"}, true},
		{"e-mail and name", []string{"ann.lee@gmail.com", "", "Ann Lee", "", "Ann Lee"}, true},
		{"phone and a typing error in the name", []string{"other@example.com", "+491705554433", "Ann Leee", "10115", "Ann Leee"}, true},
		{"phone of another one", []string{"other@example.com", "+491705554433", "Zoe Kim", "20095", "Zoe Kim"}, false},
		{"name alone", []string{"", "", "Ann Lee", "", "Ann Lee"}, false},
		{"nothing", []string{"", "", "", "", ""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pairs, report := match(t, cfg, append(strangers(3000), a, account{"b", tt.values}))
			if got := len(pairs) == 1 && pairs[0].A == "a" && pairs[0].B == "b"; got != tt.one || len(pairs) > 1 {
				t.Errorf("pairs %v, want one: %t; %+v", pairs, tt.one, report)
			}
		})
	}
}

// TestEstimates draws agreements with known probabilities and wants them back.
func TestEstimates(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	truth := []float64{0.75, 0.85, 0.95}
	cfg := MatchConfig{
		Fields: []MatchField{{Name: "x"}, {Name: "y"}, {Name: "z"}}, Blocks: [][]int{{0}, {1}, {2}},
		MaxBlock: 50, Probability: 0.9, Expected: 0.2, MaxGroup: 4, SamplePairs: 50_000,
	}
	var accounts []account
	for i := range 6000 {
		first := []string{fmt.Sprint(r.IntN(20_000)), fmt.Sprint(r.IntN(10_000)), fmt.Sprint(r.IntN(5000))}
		accounts = append(accounts, account{fmt.Sprint("a", i), first})
		if i%5 == 0 {
			second := slices.Clone(first)
			for f, m := range truth {
				if r.Float64() >= m {
					second[f] = fmt.Sprint("other", r.IntN(5000))
				}
			}
			accounts = append(accounts, account{fmt.Sprint("b", i), second})
		}
	}
	_, report := match(t, cfg, accounts)
	for f, w := range report.Weights {
		// 1200 pairs of one person, of which about 80 % are in a block without the field: four standard errors.
		if bound := 4 * math.Sqrt(truth[f]*(1-truth[f])/900); math.Abs(w.M-truth[f]) > bound {
			t.Errorf("M of field %d is estimated as %.4f, was drawn with %v; want it within %.4f", f, w.M, truth[f], bound)
		}
		if u := 1 / []float64{20_000, 10_000, 5000}[f]; w.U < u/2 || w.U > 2*u {
			t.Errorf("U of field %d is estimated as %.2e, was drawn with %.2e", f, w.U, u)
		}
	}
}

func TestMatchIgnoresOrder(t *testing.T) {
	accounts := strangers(500)
	for i := range 60 {
		twin := slices.Clone(accounts[i*7].values)
		twin[i%2] = ""
		accounts = append(accounts, account{fmt.Sprint("t", i), twin})
	}
	pairs, report := match(t, PersonMatch(), accounts)
	if len(pairs) < 50 {
		t.Fatalf("%d pairs, want about 60", len(pairs))
	}
	r := rand.New(rand.NewPCG(7, 8))
	r.Shuffle(len(accounts), func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
	others, otherReport := match(t, PersonMatch(), accounts)
	if d := cmp.Diff(pairs, others); d != "" {
		t.Errorf("in another order:\n%s", d)
	}
	if d := cmp.Diff(report, otherReport); d != "" {
		t.Errorf("reports in another order:\n%s", d)
	}
}

// TestChainsEnd makes one account after the other that agrees with the one before, and wants no group beyond the bound.
func TestChainsEnd(t *testing.T) {
	cfg := PersonMatch()
	cfg.MaxGroup = 3
	accounts := strangers(2000)
	for i := range 9 {
		const name = "Chain Reaction"
		accounts = append(accounts, account{
			fmt.Sprint("c", i), []string{fmt.Sprintf("c%d@example.com", i/2), fmt.Sprintf("+49 172 10000%02d", (i+1)/2), name, fmt.Sprint("2000", (i+1)/2), name},
		})
	}
	pairs, report := match(t, cfg, accounts)
	sets := map[string]string{}
	var root func(string) string
	root = func(k string) string {
		if up, ok := sets[k]; ok {
			return root(up)
		}
		return k
	}
	for _, p := range pairs {
		sets[root(p.B)] = root(p.A)
	}
	sizes := map[string]int{}
	for _, a := range accounts {
		if sizes[root(a.key)]++; sizes[root(a.key)] > cfg.MaxGroup {
			t.Fatalf("%s is in a group of more than %d", a.key, cfg.MaxGroup)
		}
	}
	if report.Refused == 0 || len(report.RefusedPairs) == 0 || len(pairs) == 0 {
		t.Errorf("%+v; want pairs, and some refused", report)
	}
}

// TestOversizedBlocks gives many accounts one phone: it is reported and joins nobody, and others are found all the same.
func TestOversizedBlocks(t *testing.T) {
	accounts := strangers(1000)
	for i := range 200 {
		accounts[i].values[1] = "+49 30 1234567"
	}
	twin := account{"twin", slices.Clone(accounts[3].values)}
	pairs, report := match(t, PersonMatch(), append(accounts, twin))
	if report.Oversized != 1 || len(report.OversizedKeys) != 1 || report.OversizedKeys[0] != "s00000" {
		t.Errorf("%+v; want one block too large, of s00000", report)
	}
	if len(pairs) != 1 || pairs[0].A != "s00003" || pairs[0].B != "twin" {
		t.Errorf("pairs %v, want s00003 with twin", pairs)
	}
}

// TestSecretLeavesNothing looks for values in what a matcher holds.
func TestSecretLeavesNothing(t *testing.T) {
	cfg := PersonMatch()
	cfg.Secret = []byte("the secret")
	m, err := NewMatcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Add("a", []string{"ann.lee@example.com", "+49 170 5554433", "Ann Lee", "10115", "Ann Lee"}); err != nil {
		t.Fatal(err)
	}
	held := m.buf[:cap(m.buf)]
	for _, v := range []string{"ann", "5554433", "lee", "10115"} {
		if bytes.Contains(held, []byte(v)) {
			t.Errorf("%q is in the buffer: %q", v, held)
		}
	}
	if len(m.cfg.Secret) != 0 {
		t.Error("the matcher keeps the secret")
	}
	other, err := NewMatcher(PersonMatch())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Add("a", []string{"ann.lee@example.com", "+49 170 5554433", "Ann Lee", "10115", "Ann Lee"}); err != nil {
		t.Fatal(err)
	}
	for i := range m.values {
		if m.values[i] == other.values[i] {
			t.Errorf("hash %d is the same with a secret and without", i)
		}
	}
}

func TestMatcherRefuses(t *testing.T) {
	for _, change := range []func(*MatchConfig){
		func(c *MatchConfig) { c.Fields = nil },
		func(c *MatchConfig) { c.Fields[0].M = 1 },
		func(c *MatchConfig) { c.Fields[0].U = math.NaN() },
		func(c *MatchConfig) { c.Fields[0].Unless = "name" },
		func(c *MatchConfig) { c.Blocks = nil },
		func(c *MatchConfig) { c.Blocks = [][]int{{9}} },
		func(c *MatchConfig) { c.MaxBlock = 1 },
		func(c *MatchConfig) { c.MaxGroup = 1 },
		func(c *MatchConfig) { c.Probability = 1 },
		func(c *MatchConfig) { c.Expected = 0 },
		func(c *MatchConfig) { c.SamplePairs = -1 },
	} {
		cfg := PersonMatch()
		change(&cfg)
		if _, err := NewMatcher(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: error %v, want %v", cfg, err, ErrConfig)
		}
	}
	m, err := NewMatcher(PersonMatch())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Add("a", []string{"x"}); !errors.Is(err, ErrConfig) {
		t.Errorf("too few values: error %v, want %v", err, ErrConfig)
	}
	for range 2 {
		if err := m.Add("a", make([]string, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := m.Match(t.Context()); !errors.Is(err, ErrConfig) {
		t.Errorf("an account twice: error %v, want %v", err, ErrConfig)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := NewLinks(UserLinks("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Resolve(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("resolve after the end: error %v, want %v", err, context.Canceled)
	}
}
