package server_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/evaluate/trials"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// tunedShop is an experiment on ratings of 60 users for 24 items, of two tastes, with attributes of both.
func tunedShop(method string, folds int, models ...string) evaluate.Experiment {
	t := &fusion.Table{Start: []int64{0}}
	products, users := map[string]train.Product{}, map[string][]model.Attribute{}
	for i := range 24 {
		key := fmt.Sprintf("i%02d", i)
		t.Items = append(t.Items, key)
		products[key] = train.Product{Attributes: []model.Attribute{{Name: "kind", Texts: []string{fmt.Sprint(i % 2)}}, {Name: "place", Vector: []float32{float32(i % 2), 0.5}}, {Name: "price", Number: 0.1}}}
	}
	rng := rand.New(rand.NewPCG(3, 0))
	for u := range 60 {
		key := fmt.Sprintf("u%02d", u)
		t.Users = append(t.Users, key)
		users[key] = []model.Attribute{{Name: "club", Texts: []string{fmt.Sprint(u % 2)}}}
		for i := range 24 {
			if rng.Float64() < 0.2 || i%2 == u%2 && rng.Float64() < 0.6 {
				t.Item, t.Weight, t.Time = append(t.Item, uint32(i)), append(t.Weight, float32(1+rng.IntN(5))), append(t.Time, 1+rng.Int64N(1e9))
			}
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return evaluate.Experiment{
		Data: t, Products: products, Users: users, Split: evaluate.SplitRatio, Models: models, N: []int{5}, Seed: 9, Threads: 2, Samples: 100,
		Tuning: &evaluate.Tuning{Trials: 6, Method: method, Folds: folds},
	}
}

// TestTrialsOnServers: an evaluation finds the same whether this process, one server or three make the trials of its tuning, also while servers are lost; and it ends with an
// error when none is left.
func TestTrialsOnServers(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Threads: 2, Configure: func(_ int, cfg *server.Config) { cfg.Version = "1.2.3"; cfg.TrialMemory = 1 << 20 }})
	run := func(e evaluate.Experiment, members ...int) (*evaluate.Result, error) {
		var servers []trials.Server
		for _, i := range members {
			servers = append(servers, trials.Server{Addr: fmt.Sprint("member ", i), Conn: c.Conn(i)})
		}
		tuning := *e.Tuning
		if e.Tuning = &tuning; len(servers) > 0 {
			w, err := trials.NewWorkers(t.Context(), e, "1.2.3", servers, func(addr string, err error) { t.Log(addr, err) })
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			w.Patience = 0 // those that are stopped do not come back
			tuning.Maker = w
		}
		return evaluate.Run(t.Context(), e, nil)
	}
	same := func(what string, want *evaluate.Result, e evaluate.Experiment, members ...int) {
		t.Helper()
		got, err := run(e, members...)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		ignore := cmp.Options{cmpopts.IgnoreUnexported(evaluate.Result{}), cmpopts.IgnoreFields(evaluate.ModelResult{}, "Seconds"), cmpopts.IgnoreFields(evaluate.Trial{}, "Seconds")}
		if diff := cmp.Diff(want, got, ignore...); diff != "" {
			t.Errorf("%s (-here +there):\n%s", what, diff)
		}
	}
	var last *evaluate.Result
	var of evaluate.Experiment
	for i, method := range evaluate.TuningMethods() {
		models := []string{"itemknn", "baseline"}
		if i == 0 {
			models = append(models, "popularity", "warp(factors=4,batches=1,iterations=1,user-attributes=club)", "content")
		}
		of = tunedShop(method, 1+i, models...)
		var err error
		if last, err = run(of); err != nil {
			t.Fatal(err)
		}
		if len(last.Tuning) < 2 || last.Tuning[0].Best == "" {
			t.Fatalf("%s: tuned %+v", method, last.Tuning)
		}
		if i == 0 {
			same(method+" on one server", last, of, 1)
		}
		same(method+" on three servers", last, of, 0, 1, 2)
	}
	given := of
	given.Split, given.Test = evaluate.SplitGiven, &fusion.Table{Users: []string{"u01", "u77"}, Items: []string{"i03", "new"}, Start: []int64{0, 2, 3}, Item: []uint32{0, 1, 1}}
	here, err := run(given)
	if err != nil {
		t.Fatal(err)
	}
	same("given test data", here, given, 0)

	wide := of
	wide.Data = &fusion.Table{Users: []string{strings.Repeat("u", 1<<20)}, Items: []string{"i"}, Start: []int64{0, 1}, Item: []uint32{0}}
	if _, err := run(wide, 0); err == nil || !strings.Contains(err.Error(), "--trial-memory-mib") {
		t.Errorf("an experiment larger than its memory: %v", err)
	}

	// A server dies in the middle; what it had is made by the others.
	kept := 0
	killing := of
	killing.Tuning = &evaluate.Tuning{Trials: 6, Method: of.Tuning.Method, Folds: of.Tuning.Folds, Keep: func(evaluate.Trial) error {
		if kept++; kept == 4 {
			c.Kill(2)
		}
		return nil
	}}
	same("with a server that dies", last, killing, 0, 1, 2)
	stopping := of
	kept = 0
	stopping.Tuning = &evaluate.Tuning{Trials: 6, Method: of.Tuning.Method, Folds: of.Tuning.Folds, Keep: func(evaluate.Trial) error {
		if kept++; kept == 4 {
			c.Stop(1)
		}
		return nil
	}}
	if _, err := run(stopping, 1); err == nil || !strings.Contains(err.Error(), "no server is left") {
		t.Errorf("with the only server stopped: %v", err)
	}
	failed := errors.New("no room for trials")
	stopping.Tuning.Keep = func(evaluate.Trial) error { return failed }
	if _, err := run(stopping, 0); !errors.Is(err, failed) {
		t.Errorf("with trials that cannot be kept: %v", err)
	}
}
