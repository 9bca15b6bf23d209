package evaluate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
)

// Names of the ways to look for parameters.
const (
	// TuneRandom tries settings drawn at random (Bergstra and Bengio, JMLR 13, 2012 [bergstra2012]).
	TuneRandom = "random"
	// TuneHalving tries all settings on a ninth of the users, the best third of them on a third of the users, and the best third of those on all:
	// successive halving (Jamieson and Talwalkar, AISTATS 2016 [jamieson2016]) by thirds, as in Li et al., JMLR 18, 2018 [li2018].
	TuneHalving = "halving"
	// TuneTPE draws settings where those that were good are denser than the others: tree-structured Parzen estimators (Bergstra et al., NIPS 2011
	// [bergstra2011]).
	TuneTPE = "tpe"
)

// TuningMethods returns the names of all ways to look for parameters.
func TuningMethods() []string { return []string{TuneRandom, TuneHalving, TuneTPE} }

// Tuning says how parameters of models are looked for. Each model with parameters that may be searched (model.Parameter.Search) and that are not
// given in its name is trained with several settings on the training data less the validation data, and measured on the latter. The best setting by
// Experiment.By is then evaluated once on the test data.
type Tuning struct {
	// Trials is the number of settings for each model, at least 1. The first is the default one.
	Trials int
	// Method is one of TuningMethods; "" means TuneRandom.
	Method string
	// Folds is the number of divisions of the training data on which each setting is measured, 1 to 100; 0 means 1. See Experiment.validation for what they are.
	Folds int
	// Known are trials that need not be made again: those of the same data, division, seed and metric are taken from here, others are not looked at.
	Known []Trial
	// Maker, unless nil, makes the trials in place of this process. Who makes them changes no result but the seconds that they took.
	Maker Maker
	// Keep, unless nil, is told of each trial that was made, by the goroutine of Run. Its error ends the experiment.
	Keep func(Trial) error
}

func (t Tuning) withDefaults() Tuning {
	t.Method = cmp.Or(t.Method, TuneRandom)
	t.Folds = cmp.Or(t.Folds, 1)
	return t
}

const (
	// maxTrials bounds the settings that are tried for one model.
	maxTrials = 100_000
	// maxValidationFolds bounds the divisions that are in memory at a time.
	maxValidationFolds = 100
)

func (t *Tuning) validate() error {
	switch {
	case t.Trials < 1 || t.Trials > maxTrials:
		return fmt.Errorf("trials is %d, want 1 to %d", t.Trials, maxTrials)
	case t.Folds < 1 || t.Folds > maxValidationFolds:
		return fmt.Errorf("validation folds is %d, want 1 to %d", t.Folds, maxValidationFolds)
	case !slices.Contains(TuningMethods(), t.Method):
		return fmt.Errorf("unknown way of tuning %q, want one of %s", t.Method, strings.Join(TuningMethods(), ", "))
	}
	return nil
}

// Maker makes trials of one experiment elsewhere.
type Maker interface {
	// Start gets ready for trials of the experiment with a fingerprint, Trial.Of, and returns how many can be made at a time, at least 1.
	Start(ctx context.Context, of string) (parallel int, err error)
	// Try makes the trial of a model, by its name with parameters, with a share of the users. An error ends the experiment. It is called from so many goroutines
	// at a time as Start has said.
	Try(ctx context.Context, name string, share float64) (Trial, error)
}

// Trial is one setting of a model, measured on the validation data.
type Trial struct {
	// Of is a fingerprint of all else that the figure depends on: data, division, seed, metric, settings of the experiment.
	Of string `json:"of"`
	// Name is the name of the model with its parameters.
	Name string `json:"name"`
	// Share is the share of the users with whom it was trained and measured.
	Share float64 `json:"share"`
	// Figure is that of the metric; without meaning if Failed says why there is none.
	Figure  Estimate `json:"figure"`
	Failed  string   `json:"failed,omitempty"`
	Seconds float64  `json:"seconds"`
}

// TunedModel is what tuning has found about a model.
type TunedModel struct {
	// Model is the name as the experiment has it, Best that with the parameters that were taken; "" if no trial worked, as Failed says then.
	Model  string  `json:"model"`
	Best   string  `json:"best"`
	Failed string  `json:"failed,omitempty"`
	Method string  `json:"method"`
	Metric string  `json:"metric"`
	Trials []Trial `json:"trials"`
}

// validation is a division of the training data, or of the older part of them.
type validation struct {
	table *fusion.Table
	d     *Division // of table
}

// validation divides the training data of a division in the way of the split, once for each fold, into what trials train with and what they are measured
// on. No entry is measured in two folds, nor, where the split is by users, a user.
//
// Where the split holds back at random, a fold trains with all that it does not measure: cross-validation (Stone, J. Royal Statistical Society B 36(2), 1974
// [stone1974]). Where it holds back what is newest, a fold divides what the one before has trained with, so that nothing is trained with its own future: the
// origin rolls back (Tashman, International J. of Forecasting 16(4), 2000 [tashman2000]). Users with too few entries for all folds are measured in the first ones.
func (e *Experiment) validation(d *Division) ([]validation, error) {
	table, _ := part(e.Data, func(_ int, p int64) bool { return d.trains(p, 0) })
	share := e.Validation // of the training data; without meaning for splits that have no ratio
	if hasRatio(e.Split) {
		share /= e.Ratio
	}
	var out []validation
	left := table                        // what no fold has held back
	at := make([]int64, len(table.Item)) // by entry of left: that of table
	for p := range at {
		at[p] = int64(p)
	}
	for k := range e.validationFolds() {
		stream := uint64(streamTuning)
		if k > 0 {
			stream = streamFolds + uint64(k)
		}
		inner, err := e.divide(left, 1-share/(1-float64(k)*share), 1-share, stream)
		if err != nil {
			return nil, fmt.Errorf("fold %d: %w", k+1, err)
		}
		v := validation{left, inner}
		if !byTime(e.Split, table) {
			v = validation{table, within(table, inner, at)}
		}
		out = append(out, v)
		var kept []int64
		left, kept = part(left, func(_ int, p int64) bool { return inner.trains(p, 0) })
		for i, p := range kept {
			kept[i] = at[p]
		}
		at = kept
	}
	return out, nil
}

// validationFolds is Tuning.Folds, 1 without tuning.
func (e *Experiment) validationFolds() int {
	if e.Tuning == nil {
		return 1
	}
	return e.Tuning.Folds
}

// byTime tells whether a split of a table holds back what is newest.
func byTime(split string, t *fusion.Table) bool {
	return split == SplitTime || split == SplitUserTime || split == SplitLeaveOneOut && t.Time != nil
}

// within returns the division of a table that one of a part of it makes, whose entries are at those places: the others are training data.
func within(t *fusion.Table, of *Division, at []int64) *Division {
	d := newDivision(t)
	if of.History != nil {
		d.History = make([]bool, len(t.Item))
	}
	for p, whole := range at {
		d.TestOf[whole] = of.TestOf[p]
		if of.History != nil {
			d.History[whole] = of.History[p]
		}
	}
	return d
}

// hide makes what a division of the training data holds back hidden in the outer division.
func (v *validation) hide(d *Division) {
	hidden := make([]bool, len(d.TestOf))
	next := int64(0) // entry of v.table, which has the training data in their order
	for p := range d.TestOf {
		if d.trains(int64(p), 0) {
			hidden[p] = !v.d.trains(next, 0)
			next++
		}
	}
	d.Hidden = hidden
}

// share returns the fold of a share of the users, drawn so that a smaller share is part of a larger one.
func (v *validation) share(e *Experiment, share float64) *fold {
	if share == 1 {
		return newFold(v.table, v.d, 0, e.Relevant)
	}
	order := rand.New(rand.NewPCG(e.Seed, streamTuning+1)).Perm(len(v.table.Users))
	in := make([]bool, len(order))
	for _, u := range order[:int(math.Ceil(share*float64(len(order))))] {
		in[u] = true
	}
	table, entry := part(v.table, func(u int, _ int64) bool { return in[u] })
	d := newDivision(table)
	if v.d.History != nil {
		d.History = make([]bool, len(entry))
	}
	for p, at := range entry {
		d.TestOf[p] = v.d.TestOf[at]
		if d.History != nil {
			d.History[p] = v.d.History[at]
		}
	}
	return newFold(table, d, 0, e.Relevant)
}

// part returns the table of some entries, with all users and items, and which entries they were.
func part(t *fusion.Table, keep func(user int, entry int64) bool) (*fusion.Table, []int64) {
	out := &fusion.Table{Users: t.Users, Items: t.Items, Start: []int64{0}}
	var entries []int64
	for u := range t.Users {
		for p := t.Start[u]; p < t.Start[u+1]; p++ {
			if !keep(u, p) {
				continue
			}
			entries = append(entries, p)
			out.Item = append(out.Item, t.Item[p])
			if t.Weight != nil {
				out.Weight = append(out.Weight, t.Weight[p])
			}
			if t.Time != nil {
				out.Time = append(out.Time, t.Time[p])
			}
		}
		out.Start = append(out.Start, int64(len(out.Item)))
	}
	return out, entries
}

// figuresVersion goes up when a model or a metric gives other figures than before, so that trials of the one and of the other are not compared.
const figuresVersion = 2

// fingerprint is Trial.Of.
func (e *Experiment) fingerprint() string {
	h := sha256.New()
	put := func(x any) { _ = binary.Write(h, binary.LittleEndian, x) } // to memory, of types that it knows
	text := func(list []string) {
		put(int64(len(list)))
		for _, s := range list {
			put(int64(len(s)))
			put([]byte(s))
		}
	}
	text(e.Data.Users)
	text(e.Data.Items)
	put(e.Data.Start)
	put(e.Data.Item)
	put(e.Data.Weight)
	put(e.Data.Time)
	if e.Test != nil {
		text(e.Test.Users)
		text(e.Test.Items)
		put(e.Test.Start)
		put(e.Test.Item)
	}
	e.putSettings(h)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// putSettings hashes what of an experiment a trial depends on, but for its data.
func (e *Experiment) putSettings(h hash.Hash) {
	_, _ = fmt.Fprintln(h, figuresVersion, e.Split, e.Ratio, e.Seed, e.Relevant, e.Negatives, e.by(false), e.by(true), e.Validation,
		e.Measure, e.RatingMeasure, e.K, e.Shrinkage, e.MinSupport, e.Alpha)
	if folds := e.validationFolds(); folds > 1 {
		_, _ = fmt.Fprintln(h, "folds", folds)
	}
	_, _ = fmt.Fprintf(h, "%q\n", e.bases())
	for _, key := range slices.Sorted(maps.Keys(e.Products)) {
		_, _ = fmt.Fprintf(h, "%q %q\n", key, plain(e.Products[key].Attributes))
	}
	for _, key := range slices.Sorted(maps.Keys(e.Users)) {
		_, _ = fmt.Fprintf(h, "user %q %q\n", key, plain(e.Users[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(e.Categories)) {
		_, _ = fmt.Fprintf(h, "%q %q\n", key, e.Categories[key])
	}
}

// plain returns attributes as text, the same for a zero of either sign and for a list that is empty or none, which come over the wire as one.
func plain(attributes []model.Attribute) string {
	var b strings.Builder
	for _, a := range attributes {
		fmt.Fprintf(&b, "%q %q %v %v;", a.Name, a.Texts, a.Number+0, a.Vector)
	}
	return b.String()
}

// trials returns about how many trials tuning makes.
func (e *Experiment) trials() int {
	if e.Tuning == nil {
		return 0
	}
	sum := 0
	for _, name := range e.Models {
		if s, err := e.space(name); err == nil && len(s.searched) > 0 {
			sum += e.Tuning.size()
		}
	}
	return sum
}

// size is the number of trials of one model.
func (t *Tuning) size() int {
	if t.Method != TuneHalving {
		return t.Trials
	}
	sum := 0
	for _, r := range rungs(t.Trials) {
		sum += r.trials
	}
	return sum
}

// rung is one step of successive halving.
type rung struct {
	share  float64
	trials int
}

// rungs returns the steps for so many settings: up to three, the last with all users.
func rungs(trials int) []rung {
	steps := []rung{{1, trials}}
	for range 2 {
		if trials = (trials + 2) / 3; trials == steps[len(steps)-1].trials || steps[len(steps)-1].trials < 3 {
			break
		}
		steps = append(steps, rung{1, trials})
	}
	for i := len(steps) - 2; i >= 0; i-- {
		steps[i].share = steps[i+1].share / 3
	}
	return steps
}

// space is the settings of a model that may be tried: points of a cube.
type space struct {
	name     string            // of the method
	given    map[string]string // in the name of the model
	rating   bool
	searched []model.Parameter
	defaults model.Settings
}

// space returns the settings that may be tried for a name: those of parameters that may be searched and are not given.
func (e *Experiment) space(text string) (*space, error) {
	m, defaults, err := e.resolve(text)
	if err != nil {
		return nil, err
	}
	name, given, err := model.ParseName(text)
	if err != nil {
		return nil, err
	}
	s := &space{name: name, given: given, rating: m.rating, defaults: defaults}
	for _, p := range m.space(e) {
		if _, fixed := given[p.Name]; !fixed && p.Search != [2]float64{} {
			s.searched = append(s.searched, p)
		}
	}
	return s, nil
}

// named returns the name of the model with the parameters of a point, or with the defaults if it is nil.
func (s *space) named(point []float64) string {
	var parts []string
	for _, p := range s.searched {
		value := s.defaults.Text(p.Name)
		if point != nil {
			value = valueAt(&p, point[len(parts)])
		}
		parts = append(parts, p.Name+"="+value)
	}
	var fixed []string
	for name, value := range s.given {
		fixed = append(fixed, name+"="+value)
	}
	slices.Sort(fixed)
	return s.name + "(" + strings.Join(append(fixed, parts...), ",") + ")"
}

// valueAt writes the value of a parameter at a place from 0 to 1 of what is searched, with four digits.
func valueAt(p *model.Parameter, at float64) string {
	low, high := p.Search[0], p.Search[1]
	if len(p.Choices) > 0 {
		n := high - low + 1
		return p.Choices[int(min(high, low+math.Floor(at*n)))]
	}
	x := low + at*(high-low)
	if p.Log {
		x = low * math.Pow(high/low, at)
	}
	if p.Whole {
		return strconv.FormatFloat(max(low, min(high, math.Round(x))), 'f', -1, 64)
	}
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	return strconv.FormatFloat(max(low, min(high, x)), 'g', -1, 64)
}

// tuner tunes one model.
type tuner struct {
	e        *Experiment
	s        *space
	of       string
	metric   string
	parallel int
	// make makes a trial with some threads.
	make   func(ctx context.Context, name string, share float64, threads int) (Trial, error)
	known  map[string]Trial // by name and share
	out    TunedModel
	points [][]float64 // of the trials with all users, in their order; nil for the default
	report *reporter
}

// tune tunes all models, and returns the names with the parameters that were found best; those of models without parameters, or without a trial that worked, as they are.
func (e *Experiment) tune(ctx context.Context, v []validation, report *reporter) (tuned []TunedModel, names []string, err error) {
	known := map[string]Trial{}
	of, parallel := e.fingerprint(), e.Threads
	for _, t := range e.Tuning.Known {
		if t.Of == of {
			known[keyOf(t.Name, t.Share)] = t
		}
	}
	var try func(ctx context.Context, name string, share float64, threads int) (Trial, error)
	if m := e.Tuning.Maker; m == nil {
		try = e.bench(of, v).Try
	} else {
		if parallel, err = m.Start(ctx, of); err != nil {
			return nil, nil, err
		}
		try = func(ctx context.Context, name string, share float64, _ int) (Trial, error) {
			return m.Try(ctx, name, share)
		}
	}
	for i, name := range e.Models {
		names = append(names, name)
		s, err := e.space(name)
		if err != nil {
			return nil, nil, err
		}
		if len(s.searched) == 0 {
			continue
		}
		t := &tuner{e: e, s: s, of: of, metric: e.by(s.rating), parallel: parallel, make: try, known: known, report: report}
		t.out = TunedModel{Model: name, Method: e.Tuning.Method, Metric: t.metric, Trials: []Trial{}}
		if err := t.run(ctx, rand.New(rand.NewPCG(e.Seed, streamTuning+2+uint64(i)))); err != nil {
			return nil, nil, fmt.Errorf("model %s: %w", name, err)
		}
		names[i] = cmp.Or(t.out.Best, name)
		tuned = append(tuned, t.out)
	}
	return tuned, names, nil
}

func keyOf(name string, share float64) string { return fmt.Sprintf("%s/%.6f", name, share) }

// batchTPE is how many settings are drawn from the same trials: a bound of what is tried at a time, which must not depend on threads.
const batchTPE = 4

func (t *tuner) run(ctx context.Context, rng *rand.Rand) error {
	points := [][]float64{nil}
	trials := t.e.Tuning.Trials
	switch t.e.Tuning.Method {
	case TuneTPE:
		for len(points) < min(trials, max(5, trials/4)) {
			points = append(points, t.draw(rng))
		}
		for {
			if _, err := t.try(ctx, points, 1); err != nil {
				return err
			}
			if len(t.points) >= trials {
				t.choose()
				return nil
			}
			model := newParzen(t.s.searched, t.points[1:], t.losses()[1:])
			points = points[:0]
			for len(points) < min(batchTPE, trials-len(t.points)) {
				points = append(points, model.draw(rng))
			}
		}
	case TuneHalving:
		for len(points) < trials {
			points = append(points, t.draw(rng))
		}
		for _, r := range rungs(trials) {
			points = points[:r.trials]
			figures, err := t.try(ctx, points, r.share)
			if err != nil {
				return err
			}
			points = byLoss(points, figures)
		}
		t.choose()
		return nil
	}
	for len(points) < trials {
		points = append(points, t.draw(rng))
	}
	if _, err := t.try(ctx, points, 1); err != nil {
		return err
	}
	t.choose()
	return nil
}

// draw returns a point at random.
func (t *tuner) draw(rng *rand.Rand) []float64 {
	point := make([]float64, len(t.s.searched))
	for i := range point {
		point[i] = rng.Float64()
	}
	return point
}

// byLoss returns points by ascending loss, equal ones in their order.
func byLoss(points [][]float64, losses []float64) [][]float64 {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(losses[a], losses[b]) })
	out := make([][]float64, len(points))
	for i, at := range order {
		out[i] = points[at]
	}
	return out
}

// try measures points with a share of the users, several at a time, keeps the trials, and returns their losses.
func (t *tuner) try(ctx context.Context, points [][]float64, share float64) (losses []float64, err error) {
	trials := make([]Trial, len(points))
	first := map[string]int{} // by name: which point has it first
	var open []int
	for i, point := range points {
		name := t.s.named(point)
		trials[i] = Trial{Of: t.of, Name: name, Share: share}
		if _, twice := first[name]; twice {
			continue
		}
		first[name] = i
		if known, ok := t.known[keyOf(name, share)]; ok {
			trials[i] = known
		} else {
			open = append(open, i)
		}
	}
	parallel := max(1, min(t.parallel, len(open)))
	made := make(chan int, len(open))
	var kept error
	err = inChunks(ctx, evenCuts(len(open), 1), parallel, func(int) {
		i := <-made
		t.known[keyOf(trials[i].Name, share)] = trials[i]
		if t.e.Tuning.Keep != nil && kept == nil {
			kept = t.e.Tuning.Keep(trials[i])
		}
		t.report.share()(1)
	}, func(chunk int) error {
		i := open[chunk]
		trial, err := t.make(ctx, trials[i].Name, share, max(1, t.parallel/parallel))
		if err != nil {
			return err
		}
		trials[i] = trial
		made <- i
		return nil
	})
	if err = errors.Join(err, kept); err != nil {
		return nil, err
	}
	for range len(points) - len(open) {
		t.report.share()(1)
	}
	for i, point := range points {
		trials[i] = trials[first[trials[i].Name]]
		losses = append(losses, t.loss(&trials[i]))
		t.out.Trials = append(t.out.Trials, trials[i])
		if share == 1 {
			t.points = append(t.points, point)
		}
	}
	return losses, nil
}

// loss is what is to be small; infinite for trials that failed.
func (t *tuner) loss(trial *Trial) float64 {
	switch {
	case trial.Failed != "":
		return math.Inf(1)
	case LowerIsBetter(t.metric):
		return trial.Figure.Mean
	}
	return -trial.Figure.Mean
}

// losses returns those of the trials with all users.
func (t *tuner) losses() (out []float64) {
	for i := range t.out.Trials {
		if t.out.Trials[i].Share == 1 {
			out = append(out, t.loss(&t.out.Trials[i]))
		}
	}
	return out
}

// choose takes the best trial with all users, the first of equals, or says why there is none.
func (t *tuner) choose() {
	best := -1
	for i := range t.out.Trials {
		x := &t.out.Trials[i]
		if x.Share == 1 && x.Failed == "" && (best < 0 || t.loss(x) < t.loss(&t.out.Trials[best])) {
			best = i
		}
	}
	if best < 0 {
		t.out.Failed = "no trial worked; the last one said: " + t.out.Trials[len(t.out.Trials)-1].Failed
		return
	}
	t.out.Best = t.out.Trials[best].Name
}
