package hybrid

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// LearnedRanker is the ranker for package train. Its base is trained a second time within its training, of what is not held back: each step of that is a step of this one. So no model of the base
// knows what it is asked for, neighbor lists neither: those of the version, in which the entries that are held back have their part, are not looked at. Then the workers ask these models for
// their users, and the first worker learns from all examples, as Learn does.
var LearnedRanker = &train.Kind{
	Name: "ranker", Doc: "models that were named before it, ranked as what they find of held-back entries teaches",
	Parameters:    append([]model.Parameter{train.Base}, rankerParameters()...),
	CheckSettings: func(s model.Settings) error { return checkBase(s.Names(train.Base.Name), nil, 1) },
	OfBase: func(base []train.BaseModel) (train.NewDriver, train.NewWorker, error) {
		for _, b := range base {
			if b.Kind.Read == nil {
				return nil, nil, fmt.Errorf("a ranker does not learn from models of kind %s, which are made of others", b.Kind.Name)
			}
		}
		return func(shape train.Shape, s model.Settings) (train.Driver, error) {
				return &learning{shape: shape, o: LearnOptionsOf(s, 1), base: base}, nil
			}, func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
				return &learner{data: d, s: s, o: LearnOptionsOf(s, threads), base: base}, nil
			}, nil
	},
	Write:           writeRanking,
	ReadCombination: ReadCombination,
}

// LearnOptionsOf returns the options that settings of a ranker say.
func LearnOptionsOf(s model.Settings, threads int) LearnOptions {
	return LearnOptions{
		Learner: Learner(s.Whole("learner")), Depth: s.Whole("depth"), Trees: s.Whole("trees"), Users: s.Whole("users"),
		Seed: uint64(s.Number("seed")), Threads: max(1, threads),
	}
}

// Steps of a ranker.
const (
	stepHold  = "hold"  // hold entries back, and say of which users and what the newest times are
	stepCount = "count" // count items, and new entries from the cuts on
	stepMake  = "make"  // make the worker of a model of the base, whose number is the input
	stepDo    = "do"    // a step of that
	stepFile  = "file"  // write its file
	stepAsk   = "ask"   // ask all models for the users of the input
	stepLearn = "learn"
)

// Names under which workers of a ranker put. Those of the base have a number and / before them.
const (
	putCounts   = "counts"
	putExamples = "examples"
	putWeighing = "weighing"
	putFile     = "file" // and the number of the model
)

// learning is the driver.
type learning struct {
	shape, rest train.Shape // rest is that of what is not held back
	o           LearnOptions
	base        []train.BaseModel
	at          int // in base
	inner       train.Driver
	step        string // the last
	asked       []byte
}

// Progress implements train.Driver: the base takes nearly all.
func (d *learning) Progress() float64 {
	part := float64(d.at)
	if d.inner != nil {
		part += d.inner.Progress()
	}
	return part / float64(len(d.base)+1)
}

// Next implements train.Driver.
func (d *learning) Next(said [][]byte) (step train.Step, done bool, err error) {
	switch d.step {
	case "":
		step.Name = stepHold
	case stepHold:
		step.Name = stepCount
		step.Input, err = d.held(said)
	case stepCount:
		step = d.make()
	case stepMake, stepDo:
		if d.step == stepMake {
			if d.inner, err = d.base[d.at].Kind.NewDriver(d.rest, d.base[d.at].Settings); err != nil {
				return step, false, fmt.Errorf("base %s: %w", d.base[d.at].Name, err)
			}
			said = nil
		}
		inner, ended, err := d.inner.Next(said)
		if err != nil {
			return step, false, fmt.Errorf("base %s: %w", d.base[d.at].Name, err)
		}
		if step.Name = stepFile; !ended {
			step.Name = stepDo
			step.Input = append(appendNames(nil, []string{inner.Name}), inner.Input...)
		}
	case stepFile:
		d.inner = nil
		if d.at++; d.at < len(d.base) {
			step = d.make()
		} else {
			step = train.Step{Name: stepAsk, Input: d.asked}
		}
	case stepAsk:
		step.Name = stepLearn
	default:
		done = true
	}
	d.step = step.Name
	return step, done, err
}

func (d *learning) make() train.Step {
	return train.Step{Name: stepMake, Input: binary.AppendUvarint(binary.AppendUvarint(nil, uint64(d.at)), uint64(d.rest.Entries))}
}

// held takes what the workers have held back, and returns the cuts: the times from which on entries are new, of the rest and of all.
func (d *learning) held(said [][]byte) ([]byte, error) {
	d.rest = d.shape
	d.rest.Entries = 0
	has := make([]bool, 0, d.shape.Users)
	var rest, all []int64
	for w, b := range said {
		r := newReader(b)
		d.rest.Entries += int64(r.Uvarint())
		for range d.shape.FirstUser[w+1] - d.shape.FirstUser[w] {
			has = append(has, r.Uvarint() == 1)
		}
		rest, all = append(rest, r.times()...), append(all, r.times()...)
		if err := r.end(); err != nil {
			return nil, fmt.Errorf("worker %d: %w", w, err)
		}
	}
	for _, u := range choose(len(has), func(u int) bool { return has[u] }, d.o) {
		d.asked = binary.AppendUvarint(d.asked, uint64(u))
	}
	timed := func(t int64) bool { return t != 0 }
	if !slices.ContainsFunc(all, timed) || len(rest) == 0 {
		return nil, nil
	}
	return binary.AppendVarint(binary.AppendVarint(nil, cutOf(rest)), cutOf(all)), nil
}

// learner is a worker.
type learner struct {
	data *train.Data
	s    model.Settings
	o    LearnOptions
	base []train.BaseModel

	rest  train.Data // what is not held back
	held  [][]uint32 // by own user
	at    int        // of inner in base
	inner train.Worker
	peers *innerPeers
}

// Do implements train.Worker.
func (l *learner) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case stepHold:
		return l.hold(), nil
	case stepCount:
		return nil, l.count(step.Input, peers)
	case stepMake:
		return nil, l.make(ctx, step.Input, peers)
	case stepDo:
		r := newReader(step.Input)
		name := r.names()
		if err := r.Err(); err != nil {
			return nil, err
		}
		l.peers.Peers = peers
		return l.inner.Do(ctx, train.Step{Name: name[0], Input: r.Take(uint64(r.Len()), 1)}, l.peers)
	case stepFile:
		return nil, l.file(ctx, peers)
	case stepAsk:
		return nil, l.ask(ctx, step.Input, peers)
	case stepLearn:
		return nil, l.learn(ctx, peers)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// first is the number of the first own user.
func (l *learner) first() int { return l.data.Shape.FirstUser[l.data.Worker] }

func (l *learner) hold() (said []byte) {
	d := l.data
	l.rest = *d
	l.rest.Rows, l.rest.Times, l.held = HoldOut(d.Rows, d.Times, l.s.Number("hold"), l.s.Choice("held") == "random", l.o.Seed, l.first())
	if d.Events != nil {
		l.rest.Events = func(ctx context.Context, f func(user int, events []train.Event) error) error {
			return d.Events(ctx, func(user int, events []train.Event) error {
				held := l.held[user-l.first()]
				return f(user, slices.DeleteFunc(slices.Clone(events), func(e train.Event) bool {
					_, out := slices.BinarySearch(held, e.Item)
					return out
				}))
			})
		}
	}
	said = binary.AppendUvarint(said, uint64(len(l.rest.Rows.Item)))
	for _, held := range l.held {
		said = append(said, byte(min(1, len(held))))
	}
	stride := strideOf(d.Shape.Entries)
	said = appendTimes(said, sampleTimes(l.rest.Rows, timesOf(l.rest.Rows, l.rest.Times), l.first(), stride))
	return appendTimes(said, sampleTimes(d.Rows, timesOf(d.Rows, d.Times), l.first(), stride))
}

// timesOf returns the times of the entries of rows: zeros where none is known, as other workers may know some.
func timesOf(rows *similarity.Rows, times []int64) []int64 {
	if times == nil {
		times = make([]int64, rows.Start[rows.NumUsers()]-rows.Start[0])
	}
	return times
}

// count puts the counts of items, and of new entries of each, of the rest and of all.
func (l *learner) count(cuts []byte, peers train.Peers) error {
	var b []byte
	for _, d := range []*train.Data{&l.rest, l.data} {
		b = appendCounts(b, popularity.Counts(d.Rows))
		if len(cuts) > 0 {
			cut, n := binary.Varint(cuts)
			if n <= 0 {
				return errors.New("damaged cuts")
			}
			b, cuts = appendCounts(b, countNew(d.Rows, timesOf(d.Rows, d.Times), cut)), cuts[n:]
		}
	}
	return peers.Put(putCounts, b)
}

func (l *learner) make(ctx context.Context, input []byte, peers train.Peers) (err error) {
	r := newReader(input)
	at, entries := r.Uvarint(), r.Uvarint()
	if err := r.end(); err != nil {
		return err
	}
	if at >= uint64(len(l.base)) {
		return fmt.Errorf("model %d of a base of %d", at, len(l.base))
	}
	l.at = int(at)
	l.rest.Shape.Entries = int64(entries)
	l.peers = &innerPeers{prefix: fmt.Sprintf("%d/", at), put: map[string]bool{}}
	b, data := l.base[at], l.rest
	features, err := peers.Share(ctx, "features", func() (any, error) { return b.Kind.FeaturesOf(data.Products, b.Settings) })
	if err == nil {
		data.Features = features.(*similarity.Rows)
		err = b.Kind.Check(&data)
	}
	if err == nil {
		l.inner, err = b.Kind.NewWorker(&data, b.Settings, l.o.Threads)
	}
	if err != nil {
		return fmt.Errorf("base %s: %w", b.Name, err)
	}
	return nil
}

// file ends the training of a model of the base. The first worker puts its file.
func (l *learner) file(ctx context.Context, peers train.Peers) error {
	l.peers.Peers, l.inner = peers, nil
	if l.data.Worker == 0 {
		var file bytes.Buffer
		b := l.base[l.at]
		if err := b.Kind.Write(ctx, l.rest.Shape, b.Settings, l.peers.Get, &file); err != nil {
			return fmt.Errorf("base %s: %w", b.Name, err)
		}
		if err := peers.Put(fmt.Sprint(putFile, l.at), file.Bytes()); err != nil {
			return err
		}
	}
	l.peers.dropAll()
	return nil
}

// ask puts the examples of the own ones of the users that were chosen.
func (l *learner) ask(ctx context.Context, chosen []byte, peers train.Peers) error {
	var parts []Part
	for i, b := range l.base {
		m, err := peers.Share(ctx, fmt.Sprint(putFile, i), func() (any, error) {
			file, err := peers.Get(ctx, 0, fmt.Sprint(putFile, i))
			if err != nil {
				return nil, err
			}
			return b.Kind.Read(file)
		})
		if err != nil {
			return fmt.Errorf("base %s: %w", b.Name, err)
		}
		parts = append(parts, Part{b.Name, m.(train.Model)})
	}
	rest, _, err := catalogs(ctx, l.data.Shape, peers.Get)
	if err != nil {
		return err
	}
	var users []int
	var places []int // among the chosen
	r := newReader(chosen)
	for n := 0; r.Len() > 0; n++ {
		if u := int(r.Uvarint()); u >= l.first() && u < l.data.Shape.FirstUser[l.data.Worker+1] {
			users, places = append(users, u), append(places, n)
		}
	}
	o := l.o
	o.Profiles = l.data.Profiles
	if slices.ContainsFunc(l.base, func(b train.BaseModel) bool { return b.Kind.PredictsRatings }) {
		if o.Ratings, err = l.rest.Ratings(ctx); err != nil {
			return err
		}
	}
	groups, err := exampleGroups(ctx, parts, rest, l.rest.Rows, l.rest.Times, l.held, users, l.first(), o)
	if err != nil {
		return err
	}
	var b []byte
	for i, g := range groups {
		b = appendGroup(b, places[i], &g)
	}
	return peers.Put(putExamples, b)
}

// learn makes the first worker learn, and all forget what that was made of.
func (l *learner) learn(ctx context.Context, peers train.Peers) error {
	peers.Drop(putExamples)
	if l.data.Worker > 0 {
		return nil
	}
	var groups []examples // by place
	for w := range l.data.Shape.Workers() {
		b, err := peers.Get(ctx, w, putExamples)
		if err != nil {
			return err
		}
		r := newReader(b)
		for r.Len() > 0 {
			place, g := r.group(len(l.base)*partFeatures + itemFeatures)
			if err := r.Err(); err != nil {
				return fmt.Errorf("examples of worker %d: %w", w, err)
			}
			for len(groups) <= place {
				groups = append(groups, examples{})
			}
			groups[place] = g
		}
	}
	e, err := join(groups)
	if err != nil {
		return err
	}
	w, err := weigh(ctx, e, l.s.Names(train.Base.Name), l.o)
	if err != nil {
		return err
	}
	for i := range l.base {
		peers.Drop(fmt.Sprint(putFile, i))
	}
	var file bytes.Buffer
	if _, err := w.WriteTo(&file); err != nil {
		return err
	}
	return peers.Put(putWeighing, file.Bytes())
}

// catalogs adds up the counts of all workers: of what is not held back, and of all.
func catalogs(ctx context.Context, shape train.Shape, get func(ctx context.Context, worker int, name string) ([]byte, error)) (rest, all *Catalog, err error) {
	var sums [4][]int64 // counts and new ones of the rest, and of all; counts alone if times are unknown
	n := 0
	for w := range shape.Workers() {
		b, err := get(ctx, w, putCounts)
		if err != nil {
			return nil, nil, err
		}
		r := newReader(b)
		for n = 0; r.Len() > 0 && n < len(sums); n++ {
			if sums[n] == nil {
				sums[n] = make([]int64, shape.Items)
			}
			for i := range sums[n] {
				sums[n][i] += int64(r.Uvarint())
			}
		}
		if err := r.end(); err != nil {
			return nil, nil, fmt.Errorf("counts of worker %d: %w", w, err)
		}
	}
	if sums[2] == nil {
		return newCatalog(shape.Users, sums[0], nil), newCatalog(shape.Users, sums[1], nil), nil
	}
	return newCatalog(shape.Users, sums[0], sums[1]), newCatalog(shape.Users, sums[2], sums[3]), nil
}

func writeRanking(ctx context.Context, shape train.Shape, _ model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	_, all, err := catalogs(ctx, shape, get)
	if err != nil {
		return err
	}
	b, err := get(ctx, 0, putWeighing)
	if err != nil {
		return err
	}
	weighing, err := ReadWeighing(b)
	if err != nil {
		return err
	}
	_, err = w.Write(NewRanking(all, weighing).appendTo(nil))
	return err
}

// innerPeers is how the worker of a model of the base sees others: with names of its own.
type innerPeers struct {
	train.Peers
	prefix string

	mu  sync.Mutex // guards put
	put map[string]bool
}

// Put implements train.Peers.
func (p *innerPeers) Put(name string, b []byte) error {
	p.mu.Lock()
	p.put[name] = true
	p.mu.Unlock()
	return p.Peers.Put(p.prefix+name, b)
}

// Drop implements train.Peers.
func (p *innerPeers) Drop(name string) {
	p.mu.Lock()
	delete(p.put, name)
	p.mu.Unlock()
	p.Peers.Drop(p.prefix + name)
}

// Get implements train.Peers.
func (p *innerPeers) Get(ctx context.Context, worker int, name string) ([]byte, error) {
	return p.Peers.Get(ctx, worker, p.prefix+name)
}

// Share implements train.Peers.
func (p *innerPeers) Share(ctx context.Context, name string, f func() (any, error)) (any, error) {
	return p.Peers.Share(ctx, p.prefix+name, f)
}

func (p *innerPeers) dropAll() {
	for name := range p.put {
		p.Peers.Drop(p.prefix + name)
	}
}

func appendTimes(b []byte, times []int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(times)))
	for _, t := range times {
		b = binary.AppendVarint(b, t)
	}
	return b
}

func appendCounts(b []byte, counts []int64) []byte {
	for _, n := range counts {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// appendGroup appends the examples of the user at a place of the chosen: none where nothing right was found.
func appendGroup(b []byte, place int, g *examples) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(place)), uint64(g.len()))
	for _, right := range g.label {
		if right {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	for _, x := range g.x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func (r reader) group(width int) (place int, g examples) {
	place = int(r.Uvarint())
	n := r.Uvarint()
	for _, label := range r.Take(n, 1) {
		g.label = append(g.label, label == 1)
	}
	g.x, g.width = model.Numbers[float32](r.Reader, n*uint64(width)), width
	return place, g
}

func (r reader) times() (times []int64) {
	n := r.Uvarint()
	if n > uint64(r.Len()) {
		r.Fail("%d times in %d bytes", n, r.Len())
	}
	for ; n > 0 && r.Err() == nil; n-- {
		times = append(times, r.Varint())
	}
	return times
}
