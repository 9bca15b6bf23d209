package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/infer"
	"github.com/kith-io/kith/fusion/page"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/checkpoint"
)

// ingestTimeout is how long one message of events is tried: a lost node costs seconds, a restart of all some more.
const ingestTimeout = 60 * time.Second

func (a *app) ingestCommand() *cobra.Command {
	var r remote
	var in input
	var dryRun, schema, propose bool
	var streams int
	var state, report, shareText string
	var stateEvery time.Duration
	memory := byteSize(pipeline.DefaultMemoryLimit)
	cmd := &cobra.Command{
		Use:   "ingest [FILE...]",
		Short: "Store the events of files on the cluster",
		Long: `Read events from files or from the sources of a mapping, check them, and store them on the
cluster. Rows that cannot be used are counted and kept in a file with their line and reason.
Every event has an id: reading a file again, as after an interruption, stores none twice.

A folder, or a pattern in quotes such as 'logs/**/2024-*.csv.gz', is one source of many files.
With --state, how far each source is stored is kept in a file: after an interruption, or when
there is more, reading goes on there. A file that was replaced is read from its beginning.
Of a topic of Kafka the offsets are committed, with --state or without. With follow: true in
the mapping it is read until an interruption, which ends in order.`,
		Example: `  kith ingest --mapping shop/map.yaml
  kith ingest --dry-run --columns user,item,weight,time ratings.tsv
  kith ingest --behavior purchase orders-*.csv.gz
  kith ingest --state shop.state --mapping shop/map.yaml
  kith ingest --mapping shop/fuse.yaml --report report.html
  kith ingest --infer orders.csv products.csv > map.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.files = args
			switch {
			case schema:
				return a.printSchema()
			case propose:
				return a.infer(cmd.Context(), &in)
			}
			file, err := in.file("files")
			if err != nil {
				return err
			}
			line, err := pipeline.New(*file)
			if err != nil {
				return &usageError{err}
			}
			if streams < 1 || streams > 64 {
				return usagef("--streams is %d; want 1 to 64", streams)
			}
			switch {
			case state != "" && dryRun:
				return usagef("--state says what is stored, and --dry-run stores nothing; give one of them")
			case stateEvery <= 0:
				return usagef("--state-every is %v; want more than 0", stateEvery)
			case report != "" && reportForm(report) == "":
				return usagef("--report %s: want a name that ends in .html or .json", report)
			}
			if err := followsLast(file.Sources); err != nil {
				return err
			}
			for i := range file.Sources {
				file.Sources[i].Source.Note = func(text string) { a.note("%s", printable(text)) }
			}
			if shareText != "" {
				if in.share, err = source.ParseShare(shareText); err != nil {
					return &usageError{fmt.Errorf("--share: %w", err)}
				}
			}
			job := &ingestion{
				share: in.share,
				line:  line, dead: in.letters("."), streams: streams, memory: int64(memory), progress: a.progress("ingest"), every: stateEvery,
				follows: file.Sources[len(file.Sources)-1].Source.Remote.Follow,
			}
			if !dryRun {
				if job.client, err = r.open(); err != nil {
					return err
				}
				defer job.client.close()
				job.client.patient()
			}
			if state != "" {
				if err := a.openState(cmd.Context(), job, &in, state); err != nil {
					return err
				}
			}
			if err := checkReport(report); err != nil {
				return err
			}
			return a.ingest(cmd.Context(), job, report, in.mapping)
		},
	}
	in.register(cmd, false)
	r.register(cmd, ingestTimeout)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "read and check alone; needs no server")
	cmd.Flags().BoolVar(&propose, "infer", false, "print a mapping for the files, with the reasons for it, to be edited; needs no server")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of mapping files, for editors")
	cmd.Flags().StringVar(&shareText, "share", "", "read the `part/of` the events, such as 2/3, of several runs of one mapping side by side")
	cmd.Flags().StringVar(&report, "report", "", "`file` for a report of what became of every row: a page if it ends in .html, or .json")
	cmd.Flags().IntVar(&streams, "streams", 4, "messages under way at once; changes speed only")
	cmd.Flags().StringVar(&state, "state", "", "`file` that keeps how far each source is stored; what is stored is not read again")
	cmd.Flags().Var(&memory, "memory-limit", "about what tables that are joined, rules, and the sorting of records may take, each, such as 512MiB")
	cmd.Flags().DurationVar(&stateEvery, "state-every", 2*time.Second, "how often the file of --state is written, and offsets of Kafka are committed")
	return cmd
}

func (a *app) printSchema() error {
	schema, err := fusion.MappingSchema()
	if err != nil {
		return err
	}
	return a.printf("%s", schema)
}

// infer prints a mapping that is proposed for files.
func (a *app) infer(ctx context.Context, in *input) error {
	if len(in.files) == 0 || in.mapping != "" {
		return usagef("what to look at? Name files, and no mapping")
	}
	proposal, err := infer.Files(ctx, in.files)
	if err != nil {
		return err
	}
	return a.printf("%s", proposal)
}

// openState makes an ingestion go on where an earlier one was.
func (a *app) openState(ctx context.Context, job *ingestion, in *input, path string) error {
	var status *kithv1.StatusResponse
	err := job.client.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		status, err = kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
		if err == nil && status.ClusterId == "" {
			err = fmt.Errorf("%w: it has no id yet, by which the state knows it", wire.ErrNotReady)
		}
		return err
	})
	if err != nil {
		return err
	}
	reading, err := in.meaning()
	if err != nil {
		return err
	}
	job.state, err = checkpoint.Open(path, status.ClusterId, reading, job.every, func(text string) { a.note("%s", printable(text)) })
	return err
}

// ingestion brings what sources say to a cluster.
type ingestion struct {
	line     *pipeline.Pipeline
	dead     *fusion.DeadLetterWriter
	streams  int
	memory   int64
	client   *client // nil reads and checks alone
	progress *progress
	state    *checkpoint.Store // nil reads everything
	every    time.Duration     // how often it is kept what is stored
	follows  bool              // the last source does not end
	share    source.Share
	blind    bool // records that are stored may not be read
}

// jsonIngest is the summary of an ingestion. Duplicates were stored already: by an earlier run, as an event with the same
// id, or by an attempt whose answer was lost. Erased were refused, as their user was erased.
type jsonIngest struct {
	fusion.Summary
	Appended    uint64  `json:"appended"`
	Duplicates  uint64  `json:"duplicates"`
	Erased      uint64  `json:"erased"`
	Seconds     float64 `json:"seconds"`
	DryRun      bool    `json:"dry_run"`
	DeadLetters string  `json:"dead_letters,omitempty"`
	// Complete says that the run came to its end. If it did not, Error tells why, and the rest is what was done until then.
	Complete bool   `json:"complete"`
	Error    string `json:"error,omitempty"`
	// Share is the part of the work that was done, "" for all.
	Share string `json:"share,omitempty"`
	// Joined says what became of keys of users that were stored under before they were known to be another's.
	Joined joinCounts `json:"joined"`
	// Stored says what became of the records of products and profiles that were stored.
	Stored recordCounts `json:"records"`

	report *pipeline.Report
}

// end says how the run ended.
func (s *jsonIngest) end(err error) {
	if s.Complete = err == nil; err != nil {
		s.Error = err.Error()
	}
}

// ingest runs an ingestion and says what became of it; also, if a file is named for it, in a report.
func (a *app) ingest(ctx context.Context, job *ingestion, reportFile, mapping string) error {
	began := time.Now()
	summary, err := job.run(ctx)
	job.progress.end()
	err = errors.Join(err, job.dead.Close())
	a.noteRejected(job.dead)
	took := time.Since(began)
	summary.Seconds, summary.DeadLetters = took.Seconds(), job.dead.Path()
	if reportFile != "" {
		err = errors.Join(err, writeReport(reportFile, summary.report, page.About{
			Mapping: mapping, Version: thisBuild().Version, Started: began, Took: took, DryRun: summary.DryRun, Share: summary.Share, DeadLetters: summary.DeadLetters, Err: err,
		}))
	}
	if summary.end(err); err != nil {
		if summary.Appended > 0 {
			a.note("%s had been stored before the error; ingest again to go on, none is stored twice", plural(summary.Appended, "event", "events"))
		}
		if a.json() {
			err = errors.Join(err, a.printJSON(summary))
		}
		return err
	}
	if a.json() {
		return a.printJSON(summary)
	}
	return a.printIngested("", summary)
}

// reportForm returns the form of a report by the name of its file, or "".
func reportForm(file string) string {
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".html", ".json":
		return ext
	}
	return ""
}

// reportPerm is the mode of reports: they may show rows that were refused.
const reportPerm = 0o600

// checkReport makes sure that a report can be written before the work begins. What the file has stays until there is another report.
func checkReport(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, reportPerm)
	if err != nil {
		return &usageError{fmt.Errorf("--report: %w", err)}
	}
	return f.Close()
}

// writeReport writes the report of a run.
func writeReport(file string, report *pipeline.Report, about page.About) error {
	write := page.WriteJSON
	if reportForm(file) == ".html" {
		write = page.Write
	}
	if err := writeMode(file, reportPerm, func(w io.Writer) error { return write(w, report, about) }); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

func (a *app) printIngested(indent string, s *jsonIngest) error {
	if err := a.printReports(indent, s.Sources); err != nil {
		return err
	}
	if err := a.printFused(indent, s); err != nil {
		return err
	}
	what := fmt.Sprintf("%s new, %s known", count(s.Appended), count(s.Duplicates))
	if s.Erased > 0 {
		what += fmt.Sprintf(", %s of erased users refused", count(s.Erased))
	}
	if s.DryRun {
		what = "nothing stored"
	}
	rate := int64(float64(s.Events) / max(s.Seconds, 1e-3))
	return a.printf("\n%s%s of %s and %s: %s, in %s (%s/s).\n", indent, plural(s.Events, "event", "events"),
		plural(s.Users, "user", "users"), plural(s.Items, "item", "items"), what, seconds(s.Seconds), count(rate))
}

// printFused says what became of keys, products and profiles.
func (a *app) printFused(indent string, s *jsonIngest) error {
	var lines []string
	for _, side := range []struct {
		name string
		of   *pipeline.Identity
	}{{"users", s.report.Users}, {"products", s.report.Products}} {
		if side.of != nil {
			lines = append(lines, fmt.Sprintf("%s: %s are %s", side.name, plural(side.of.Links.Keys, "key", "keys"), count(side.of.Links.Entities)))
		}
	}
	for _, kind := range []struct {
		one, many string
		of        *pipeline.Fused
	}{{"product", "products", s.report.Catalog}, {"profile", "profiles", s.report.Profiles}} {
		if kind.of != nil {
			conflicts := int64(0)
			for _, f := range kind.of.Fields {
				conflicts += f.Conflicts
			}
			lines = append(lines, fmt.Sprintf("%s of %s, %s settled", plural(kind.of.Records, kind.one, kind.many), plural(kind.of.Rows, "row", "rows"),
				plural(conflicts, "conflict", "conflicts")))
		}
	}
	if s.Joined.any() {
		lines = append(lines, s.Joined.words())
		for _, x := range s.Joined.Refused {
			lines = append(lines, x.Detail)
		}
	}
	if s.Stored != (recordCounts{}) {
		lines = append(lines, s.Stored.words("record", "records"))
	}
	for i, line := range lines {
		if i == 0 {
			line = "\n" + indent + line
		} else {
			line = indent + line
		}
		if err := a.printf("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// readBatch is the number of events that are read at a time.
const readBatch = 2000

// run reads all sources and stores what they say. The summary is true also with an error.
func (j *ingestion) run(ctx context.Context) (*jsonIngest, error) {
	summary := &jsonIngest{DryRun: j.client == nil, Share: j.share.String()}
	work, release := j.outlast(ctx)
	defer release()
	s := &sender{client: j.client, hold: j.hold(), stored: func(n int64) { j.progress.set("storing", n, 0) }}
	o := pipeline.Options{Dead: j.dead, MemoryLimit: j.memory, Batch: readBatch, Resume: j.state != nil, Share: j.share, Outlast: work}
	o.Follow = func(m *fusion.Mapping) (func() bool, func() error) { return j.follow(ctx, m, s) }
	o.Progress = func(step string, n int64) {
		if j.client == nil || step != pipeline.StepEvents {
			j.progress.set(step, n, 0)
		}
	}
	records := func(ctx context.Context, kind catalog.Kind, records []catalog.Record) error {
		return j.put(ctx, kind, records, &summary.Stored)
	}
	var err error
	produce := func(yield func([]fusion.Event) error) (err error) {
		summary.report, err = j.line.Run(ctx, pipeline.Sink{
			Events:  func(_ context.Context, events []fusion.Event) error { return yield(events) },
			Records: records,
			Joins:   func(ctx context.Context, joins []pipeline.Join) error { return j.join(ctx, joins, &summary.Joined) },
		}, o)
		return err
	}
	if j.client == nil {
		err = produce(func([]fusion.Event) error { return nil })
	} else {
		var total sent
		total, err = s.send(work, j.streams, produce)
		summary.Appended, summary.Duplicates, summary.Erased = total.Appended, total.Duplicates, total.Erased
		if err == nil && total.Refused > 0 {
			err = fmt.Errorf("the server refused %s, the first: %s; its version may differ from this program's",
				plural(total.Refused, "event", "events"), total.Refusal)
		}
	}
	if j.state != nil {
		err = errors.Join(err, j.state.Save())
	}
	if users := summary.report.Users; users != nil && summary.Joined.Sum() > 0 {
		users.Stored = &summary.Joined.Joins
	}
	summary.Totals = summary.report.Events.Totals
	for _, source := range summary.report.Sources {
		summary.Sources = append(summary.Sources, source.Report)
	}
	summary.end(err)
	return summary, err
}

// put stores records of products or profiles, without those that are stored already and say the same: their version is the time of the run, where no row
// has one, and would make each run store all of them again.
func (j *ingestion) put(ctx context.Context, kind catalog.Kind, records []catalog.Record, total *recordCounts) error {
	if j.client == nil {
		return nil
	}
	stored, err := j.stored(ctx, kind, records)
	if err != nil {
		return err
	}
	s := recordSender{client: j.client, kind: kind, total: total}
	for i := range records {
		if r := &records[i]; sameRecord(r, stored[r.Key]) {
			total.Unchanged++
		} else if err := s.add(ctx, r); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// join makes keys one that have been found to be, where something is stored under those that are to go.
func (j *ingestion) join(ctx context.Context, joins []pipeline.Join, total *joinCounts) error {
	if j.client == nil {
		return nil
	}
	req := &kithv1.JoinUsersRequest{OnlyStored: true}
	for _, x := range joins {
		req.Joins = append(req.Joins, &kithv1.UserJoin{From: x.From, To: x.To})
	}
	return j.client.join(ctx, req, total)
}

// stored returns what is stored under the keys of records, by key; nothing if the caller may write alone.
func (j *ingestion) stored(ctx context.Context, kind catalog.Kind, records []catalog.Record) (map[string]*kithv1.Record, error) {
	if j.blind {
		return nil, nil
	}
	keys := make([]string, len(records))
	for i := range records {
		keys[i] = records[i].Key
	}
	found, err := j.client.records(ctx, kind, keys, false)
	if errors.Is(wire.FromStatus(err), wire.ErrForbidden) {
		j.blind = true
		return nil, nil
	}
	out := make(map[string]*kithv1.Record, len(found))
	for _, m := range found {
		out[m.Key] = m
	}
	return out, err
}

// sameRecord reports whether a stored record, which may be nil, says what another one does.
func sameRecord(r *catalog.Record, m *kithv1.Record) bool {
	if m == nil {
		return false
	}
	have, err := wire.RecordFromProto(m)
	if err != nil {
		return false
	}
	have.Version = r.Version
	return bytes.Equal(have.Append(nil), r.Append(nil))
}
