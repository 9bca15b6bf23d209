package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/infer"
	"github.com/kith-io/kith/fusion/record"
)

// ingestTimeout is how long one message of events is tried: a lost node costs seconds, a restart of all some more.
const ingestTimeout = 60 * time.Second

func (a *app) ingestCommand() *cobra.Command {
	var r remote
	var in input
	var dryRun, schema, propose bool
	var streams int
	cmd := &cobra.Command{
		Use:   "ingest [FILE...]",
		Short: "Store the events of files on the cluster",
		Long: `Read events from files or from the sources of a mapping, check them, and store them on the
cluster. Rows that cannot be used are counted and kept in a file with their line and reason.
Every event has an id: reading a file again, as after an interruption, stores none twice.`,
		Example: `  kith ingest --mapping shop/map.yaml
  kith ingest --dry-run --columns user,item,weight,time ratings.tsv
  kith ingest --behavior purchase orders-*.csv.gz
  kith ingest --infer orders.csv products.csv > map.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.files = args
			switch {
			case schema:
				return a.printSchema()
			case propose:
				return a.infer(cmd.Context(), &in)
			}
			ms, err := in.mappings("files")
			if err != nil {
				return err
			}
			if streams < 1 || streams > 64 {
				return usagef("--streams is %d; want 1 to 64", streams)
			}
			job := &ingestion{mappings: ms, dead: in.letters("."), streams: streams, progress: a.progress("ingest")}
			if !dryRun {
				if job.client, err = r.open(); err != nil {
					return err
				}
				defer job.client.close()
				job.client.patient()
			}
			return a.ingest(cmd.Context(), job)
		},
	}
	in.register(cmd, false)
	r.register(cmd, ingestTimeout)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "read and check alone; needs no server")
	cmd.Flags().BoolVar(&propose, "infer", false, "print a mapping for the files, with the reasons for it, to be edited; needs no server")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of mapping files, for editors")
	cmd.Flags().IntVar(&streams, "streams", 4, "messages under way at once; changes speed only")
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

// ingestion brings the events of sources to a cluster.
type ingestion struct {
	mappings []fusion.Mapping
	dead     *fusion.DeadLetterWriter
	streams  int
	client   *client // nil reads and checks alone
	progress *progress
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
	// Checked names the sources that were read and checked only, since their rows are no events.
	Checked []string `json:"checked,omitempty"`
}

func (a *app) ingest(ctx context.Context, job *ingestion) error {
	began := time.Now()
	summary, err := job.run(ctx)
	job.progress.end()
	err = errors.Join(err, job.dead.Close())
	a.noteRejected(job.dead)
	if err != nil {
		if summary.Appended > 0 {
			a.note("%s had been stored before the error; ingest again to go on, none is stored twice", plural(summary.Appended, "event", "events"))
		}
		return err
	}
	if len(summary.Checked) > 0 {
		a.note("products, users and links are checked only, the cluster stores events: %s", strings.Join(summary.Checked, ", "))
	}
	summary.Seconds, summary.DeadLetters = time.Since(began).Seconds(), job.dead.Path()
	if a.json() {
		return a.printJSON(summary)
	}
	return a.printIngested("", summary)
}

func (a *app) printIngested(indent string, s *jsonIngest) error {
	if err := a.printReports(indent, s.Sources); err != nil {
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

// readBatch is the number of events that are read at a time.
const readBatch = 2000

// run reads all sources and stores their events. The summary is true also with an error.
func (j *ingestion) run(ctx context.Context) (*jsonIngest, error) {
	summary := &jsonIngest{DryRun: j.client == nil}
	var tally fusion.Tally
	others := func(m fusion.Mapping) error {
		report, err := fusion.ReadRecords(ctx, m, j.dead, func([]record.Field, record.Record) error { return nil })
		report.Reasons = reasons(report.Reasons)
		summary.Sources = append(summary.Sources, report)
		summary.Checked = append(summary.Checked, report.Name)
		return err
	}
	produce := func(yield func([]fusion.Event) error) error {
		for _, m := range j.mappings {
			if !m.Kind.HasEvents() {
				if err := others(m); err != nil {
					return err
				}
				continue
			}
			report, err := fusion.Events(ctx, m, j.dead, readBatch, func(events []fusion.Event) error {
				tally.Add(events)
				return yield(events)
			})
			report.Reasons = reasons(report.Reasons)
			summary.Sources = append(summary.Sources, report)
			if err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if j.client == nil {
		err = produce(func([]fusion.Event) error {
			j.progress.set("reading", tally.Totals().Events, 0)
			return nil
		})
	} else {
		s := &sender{client: j.client, stored: func(n int64) { j.progress.set("storing", n, 0) }}
		var total sent
		total, err = s.send(ctx, j.streams, produce)
		summary.Appended, summary.Duplicates, summary.Erased = total.Appended, total.Duplicates, total.Erased
		if err == nil && total.Refused > 0 {
			err = fmt.Errorf("the server refused %s, the first: %s; its version may differ from this program's",
				plural(total.Refused, "event", "events"), total.Refusal)
		}
	}
	summary.Totals = tally.Totals()
	return summary, err
}
