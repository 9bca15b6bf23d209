package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/source"
)

// Pipeline is a mapping that can be run. It is safe for concurrent use by several runs of different sources.
type Pipeline struct {
	file            fusion.File
	secret          []byte
	users, products side
}

// Read reads a mapping file with its rules. Every mistake is an error that names file, line and column.
func Read(path string, o fusion.MappingOptions) (*fusion.File, error) {
	o.Rules = func(_ *fusion.Mapping, node ast.Node) (any, error) {
		var cfg clean.Config
		err := cfg.UnmarshalYAML(node)
		return cfg, err
	}
	return fusion.ReadFile(path, o)
}

// New checks a file, and that the secret is there if it needs one.
func New(f fusion.File) (*Pipeline, error) {
	p := &Pipeline{
		file:     f,
		users:    side{name: "users", field: "user", kind: fusion.UserRows, entity: f.Users},
		products: side{name: "products", field: "item", kind: fusion.ProductRows, entity: f.Products},
	}
	var err error
	if p.secret, err = secretOf(&f); err != nil {
		return nil, err
	}
	for _, s := range []*side{&p.users, &p.products} {
		if err := p.checkSide(s); err != nil {
			return nil, err
		}
	}
	if err := p.checkFollow(); err != nil {
		return nil, err
	}
	for i := range f.Sources {
		if m := &f.Sources[i]; len(m.Hashed) > 0 && p.secret == nil {
			return nil, m.Fail("hashed", fmt.Errorf("%w: hashed fields need secret_env, the environment variable with the secret; hashed are %s", fusion.ErrMapping, strings.Join(m.Hashed, ", ")))
		}
	}
	return p, nil
}

// checkFollow refuses sources that do not end where all of their rows are needed before anything is handed on.
func (p *Pipeline) checkFollow() error {
	for i := range p.file.Sources {
		m := &p.file.Sources[i]
		if m.Source.Remote.Follow && !m.Kind.HasEvents() {
			return m.Fail("follow", fmt.Errorf("%w: with follow the source does not end, and all rows of %s are needed before the first event; take follow out, or read events or orders",
				fusion.ErrMapping, m.Kind))
		}
		for k := range m.Joins {
			if of := p.file.Source(m.Joins[k].Source); of != nil && of.Source.Remote.Follow {
				return m.Fail(fmt.Sprintf("join[%d].source", k), fmt.Errorf("%w: %s has follow: true and does not end, so its rows cannot be joined; take follow out there",
					fusion.ErrMapping, of.SourceName()))
			}
		}
	}
	return nil
}

// side returns a side for one goroutine.
func (p *Pipeline) side(s side) side {
	if s.entity.Pseudonyms {
		s.hash = newHasher(p.secret)
	}
	return s
}

// maxKind is the longest name of a kind, in bytes.
const maxKind = 64

// checkSide checks how keys of a side are joined.
func (p *Pipeline) checkSide(s *side) error {
	e := &s.entity
	fail := func(key, format string, args ...any) error {
		return p.file.Fail(s.name+key, fmt.Errorf("%w: "+format, append([]any{fusion.ErrMapping}, args...)...))
	}
	if len(e.Kinds) == 0 {
		if len(e.Match) > 0 || e.Titles != nil {
			return fail("", "keys that are found to be one need kinds, such as kinds: [%s]", map[string]string{"users": "account", "products": "sku"}[s.name])
		}
		for i := range p.file.Sources {
			if m := &p.file.Sources[i]; s.joined(m) {
				return m.Fail("kind", fmt.Errorf("%w: links join %s by the kinds of their keys; say %s: {kinds: [...]} at the end of the file, the best first", fusion.ErrMapping, s.name, s.name))
			}
		}
	} else {
		for i, kind := range e.Kinds {
			if strings.Contains(kind, ":") || len(kind) > maxKind {
				return fail(fmt.Sprintf(".kinds[%d]", i), "%q has a colon, which stands between kind and key, or more than %d letters", kind, maxKind)
			}
		}
		cfg := s.linkConfig()
		if _, err := identity.NewLinks(cfg); err != nil {
			return fail(".kinds", "%w", err)
		}
	}
	for field, method := range e.Fields {
		if _, err := identity.ParseMethod(method); err != nil {
			return fail(".fields."+field, "%w", err)
		}
	}
	if _, err := identity.ParseMethod(cmp.Or(e.Settle, "trust")); err != nil {
		return fail(".settle", "%w", err)
	}
	if e.Changed == "" {
		if e.Settle == "newest" {
			return fail(".settle", "newest needs changed, the field that says when a row was changed")
		}
		for field, method := range e.Fields {
			if method == "newest" {
				return fail(".fields."+field, "newest needs changed, the field that says when a row was changed")
			}
		}
	}
	if e.Pseudonyms && p.secret == nil {
		return fail(".pseudonyms", "pseudonyms need secret_env, the environment variable with the secret")
	}
	return nil
}

// Sink takes what a run makes. What is handed over belongs to the sink; calls come one after the other. An error ends the run.
type Sink struct {
	Events  func(ctx context.Context, events []fusion.Event) error
	Records func(ctx context.Context, kind catalog.Kind, records []catalog.Record) error
	// Joins takes what has been found out about keys of users, before the first event; nil leaves it out.
	Joins func(ctx context.Context, joins []Join) error
}

// Join says that what is stored under one key of a user is to be stored under another.
type Join struct{ From, To string }

// Options says how a run works.
type Options struct {
	// Dead takes rejected rows; nil counts them only.
	Dead *fusion.DeadLetterWriter
	// TempDir is the folder of temporary files; empty means that of the system. All are removed when Run returns, and those of a run that was killed
	// when the next one begins.
	TempDir string
	// MemoryLimit is about how many bytes tables, rules and the sorting of records may take, each; 0 means DefaultMemoryLimit.
	MemoryLimit int64
	// Now is the version of all records: of two runs the one with the later Now counts. The zero Time means the time of the call.
	Now time.Time
	// Batch is the number of events handed over at once; 0 means fusion.DefaultBatch.
	Batch int
	// Follow, if it is not nil, is called before the events of a source are read, and may change how it is read. Resumed then says whether events of the
	// source were handed on by an earlier run, and finish is called when all have been handed over.
	Follow func(m *fusion.Mapping) (resumed func() bool, finish func() error)
	// Resume says that sources are gone on with where an earlier run ended. Those with rules that need all of them are refused.
	Resume bool
	// Share is the part of the work that this run does, of several that run the same file: of sources of events with several files its files, of others
	// all or nothing. All runs find out identities; the first share makes the records. Sources of events with rules that need all of them are refused.
	Share source.Share
	// Outlast is the context of the reading of sources that do not end (source.Remote.Follow), in the place of that of Run; nil means that.
	Outlast context.Context //nolint:containedctx // one more argument of Run
	// Progress is told how many rows and records have been dealt with; it may be nil.
	Progress func(step string, n int64)
}

// DefaultMemoryLimit is that of Options: room for a table of some millions of rows.
const DefaultMemoryLimit = 512 << 20

// Steps of a run, as Progress has them.
const (
	StepTables     = "reading tables"
	StepIdentities = "finding identities"
	StepRecords    = "fusing records"
	StepEvents     = "reading"
)

// input is a source of a run.
type input struct {
	m     fusion.Mapping
	rules clean.Config
	joins []*table
	// idle is called while a followed source has no rows, and flush before it is closed, unless it was interrupted; both may be nil.
	idle, flush func() error
	report      *Source
	counts      *Source // what joins and rules do is counted here: the report at the first reading, nothing that counts later
	read        bool    // its rows are counted, and those that the mapping, joins and rules reject set aside
}

// run is one run.
type run struct {
	*Pipeline
	users, products side
	o               Options
	sink            Sink
	inputs          []*input
	report          *Report
	step            string
	rows            int64
}

// Run reads all sources and hands what they say to the sink. The report is true also with an error.
func (p *Pipeline) Run(ctx context.Context, sink Sink, o Options) (_ *Report, err error) {
	o.MemoryLimit = cmp.Or(o.MemoryLimit, DefaultMemoryLimit)
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Dead == nil {
		o.Dead = fusion.NewDeadLetterWriter("")
	}
	var remove func() error
	if o.TempDir, remove, err = tempDir(o.TempDir); err != nil {
		return &Report{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := &run{Pipeline: p, users: p.side(p.users), products: p.side(p.products), o: o, sink: sink}
	r.report = &Report{Events: Events{Behaviors: map[fusion.Behavior]int64{}}}
	r.plan()
	err = r.run(ctx)
	for _, in := range r.inputs {
		in.report.Samples = slices.Clip(in.report.Samples)
	}
	return r.report, err
}

// plan lists the sources.
func (r *run) plan() {
	for _, m := range r.file.Sources {
		m.HideUsers = r.file.Users.Pseudonyms
		in := &input{m: m, report: &Source{Report: fusion.Report{Name: m.SourceName(), Reasons: map[string]int64{}}, Kind: cmp.Or(m.Kind, fusion.EventRows), Private: m.Private()}}
		in.rules, _ = m.Rules.(clean.Config)
		r.inputs = append(r.inputs, in)
		r.report.Sources = append(r.report.Sources, in.report)
	}
}

func (r *run) run(ctx context.Context) (err error) {
	r.begin(StepTables)
	for _, in := range r.inputs {
		if err := r.openJoins(ctx, in); err != nil {
			return err
		}
	}
	for _, in := range r.inputs {
		if err := r.check(ctx, in); err != nil {
			return err
		}
	}
	r.begin(StepIdentities)
	if r.report.Users, err = r.identify(ctx, &r.users); err != nil {
		return err
	}
	if r.report.Products, err = r.identify(ctx, &r.products); err != nil {
		return err
	}
	r.begin(StepRecords)
	if r.report.Profiles, err = r.fuse(ctx, &r.users, catalog.Profile); err != nil {
		return err
	}
	if r.report.Catalog, err = r.fuse(ctx, &r.products, catalog.Product); err != nil {
		return err
	}
	r.begin(StepEvents)
	if err := r.joins(ctx); err != nil {
		return err
	}
	return r.events(ctx)
}

func (r *run) begin(step string) { r.step, r.rows = step, 0 }

// progressEvery is the number of rows between two reports of progress.
const progressEvery = 1 << 12

func (r *run) progress(n int) {
	before := r.rows
	r.rows += int64(n)
	if r.o.Progress != nil && before/progressEvery != r.rows/progressEvery {
		r.o.Progress(r.step, r.rows)
	}
}

// refusalCode is the reason of rows that a rule rejects, as dead letters and reports have it.
func refusalCode(rule string) string { return "rule_" + strings.ReplaceAll(rule, " ", "_") }
