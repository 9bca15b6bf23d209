package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// Bench makes trials of one experiment. It is safe for concurrent use.
type Bench struct {
	e     *Experiment
	of    string
	folds map[float64][]*fold // by share of the users
}

// NewBench returns a Bench for an experiment with tuning; but for Seconds, its trials are those that Run makes of it. It is an error if the data, which may come from
// elsewhere, are no table. Cost: O(entries · log(entries of a user)) for each of e.Divisions(); memory: 20 bytes an entry for each.
func NewBench(e Experiment) (*Bench, error) {
	if e.Tuning == nil {
		return nil, errors.New("evaluate: trials are of an experiment with tuning")
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e = e.withDefaults()
	for name, t := range map[string]*fusion.Table{"data": e.Data, "test data": e.Test} {
		if err := checkTable(t); err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", name, err)
		}
	}
	d, _, err := e.divideAll()
	if err != nil {
		return nil, err
	}
	v, err := e.validation(d)
	if err != nil {
		return nil, fmt.Errorf("evaluate: validation: %w", err)
	}
	return e.bench(e.fingerprint(), v), nil
}

// checkTable tells what is wrong with a table, which may be nil.
func checkTable(t *fusion.Table) error {
	if t == nil {
		return nil
	}
	n := len(t.Item)
	switch {
	case len(t.Start) != len(t.Users)+1 || t.Start[0] != 0 || t.Start[len(t.Users)] != int64(n) || !slices.IsSorted(t.Start):
		return errors.New("the entries of users do not follow each other")
	case t.Weight != nil && len(t.Weight) != n || t.Time != nil && len(t.Time) != n:
		return fmt.Errorf("%d entries have %d weights and %d times", n, len(t.Weight), len(t.Time))
	case !ascend(t.Users) || !ascend(t.Items):
		return errors.New("keys do not ascend")
	}
	for u := range t.Users {
		if row := t.Item[t.Start[u]:t.Start[u+1]]; !ascend(row) || len(row) > 0 && int(row[len(row)-1]) >= len(t.Items) {
			return fmt.Errorf("the items of user %d do not ascend, or are not there", u)
		}
	}
	if slices.ContainsFunc(t.Weight, func(w float32) bool { return math.IsNaN(float64(w)) || math.IsInf(float64(w), 0) }) {
		return errors.New("a weight is no number")
	}
	return nil
}

// ascend tells whether each element is larger than the one before.
func ascend[T cmp.Ordered](list []T) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

// shares are those of the users with which tuning makes trials, each once.
func (t *Tuning) shares() []float64 {
	if t.Method != TuneHalving {
		return []float64{1}
	}
	var out []float64
	for _, r := range rungs(t.Trials) {
		if !slices.Contains(out, r.share) {
			out = append(out, r.share)
		}
	}
	return out
}

// Divisions is how many divisions of the data, or of a share of the users, a Bench of the experiment keeps: a fold for each of Tuning.Folds and share.
func (e Experiment) Divisions() int {
	e = e.withDefaults()
	return e.validationFolds() * len(e.Tuning.shares())
}

// bench returns a Bench of divisions of the training data. e must not change.
func (e *Experiment) bench(of string, v []validation) *Bench {
	b := &Bench{e: e, of: of, folds: map[float64][]*fold{}}
	for _, share := range e.Tuning.shares() {
		for i := range v {
			b.folds[share] = append(b.folds[share], v[i].share(e, share))
		}
	}
	return b
}

// Of is the fingerprint of the experiment, that of its trials.
func (b *Bench) Of() string { return b.of }

// Try makes the trial of a model, by its name with parameters, with a share of the users and up to some threads. What a model refuses is no error, but a trial that failed.
func (b *Bench) Try(ctx context.Context, name string, share float64, threads int) (trial Trial, err error) {
	folds := b.folds[share]
	if folds == nil {
		return trial, fmt.Errorf("evaluate: tuning makes no trials with a share of %v of the users", share)
	}
	trial = Trial{Of: b.of, Name: name, Share: share}
	e := *b.e
	m, _, err := e.resolve(name)
	if err != nil {
		trial.Failed = err.Error()
		return trial, nil
	}
	metric := e.by(m.rating)
	e.Threads = threads
	e.hitsOnly = slices.ContainsFunc(rankingMetrics, func(m rankingMetric) bool { return m.name == Kind(metric) })
	if metric != metricAUC {
		e.Metrics = nil
	}
	out := ModelResult{Name: name}
	defer func() { trial.Seconds = out.Seconds }()
	var all []*values
	for i, f := range folds {
		found, err := e.evaluate(ctx, &out, name, f, func(float64) {})
		switch {
		case ctx.Err() != nil:
			return trial, ctx.Err()
		case err != nil && len(folds) > 1:
			trial.Failed = fmt.Sprintf("validation fold %d: %v", i+1, err)
			return trial, nil
		case err != nil:
			trial.Failed = err.Error()
			return trial, nil
		}
		if v := found.users[metric]; v != nil {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		trial.Failed = "no user has the metric " + metric
		return trial, nil
	}
	trial.Figure, _ = pooled(all).estimate() // of somebody: measured has no metric without
	if metric == metricRMSE {
		trial.Figure = trial.Figure.root()
	}
	return trial, nil
}
