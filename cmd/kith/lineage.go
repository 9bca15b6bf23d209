package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/source"
)

func (a *app) lineageCommand() *cobra.Command {
	var r remote
	var mapping string
	cmd := &cobra.Command{
		Use:   "lineage product|user KEY",
		Short: "Show which source records and rules made a product or a user",
		Long: `Show what 'kith ingest' made a product or a user of: the keys that are one, the rows of which
source, file and line, the rules that changed them, for each value the row that it is of and
what other rows said, and of a user also where the events come from.

Events name their source, and the file of one of several, by a hash; --mapping gives the
names, where the files are still there. Events that came with ids of their own say nothing
about their rows.`,
		Example: `  kith lineage product P0001
  kith lineage user U0017 --mapping shop/fuse.yaml -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] != "product" && args[0] != "user" {
				return usagef("want product or user, and a key")
			}
			return someKeys(nil, args[1:])
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			names, err := namedSources(mapping)
			if err != nil {
				return err
			}
			kind := catalog.Product
			if args[0] == "user" {
				kind = catalog.Profile
			}
			l, err := c.lineage(ctx, kind, args[1], names)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(l)
			}
			return a.printLineage(l)
		}),
	}
	cmd.Flags().StringVar(&mapping, "mapping", "", "the YAML `file` that was ingested, for the names of sources of events")
	r.register(cmd, queryTimeout)
	return cmd
}

// namedSource is a source that is known by name, or a file of one of several.
type namedSource struct{ name, file string }

func (n namedSource) String() string { return strings.TrimSpace(n.name + " " + n.file) }

// namedSources returns the sources of a mapping file, if one is given, and their files as far as they are there: ids of events are made of both.
func namedSources(mapping string) ([]namedSource, error) {
	if mapping == "" {
		return nil, nil
	}
	f, err := pipeline.Read(mapping, fusion.MappingOptions{Lookup: func(name string) (string, bool) {
		return cmp.Or(os.Getenv(name), "unset"), true // files that are not found have no names, and no more
	}})
	if err != nil {
		return nil, &usageError{fmt.Errorf("--mapping: %w", err)}
	}
	var names []namedSource
	for i := range f.Sources {
		m := &f.Sources[i]
		names = append(names, namedSource{name: m.SourceName()})
		if !m.Local() {
			continue
		}
		files, _, err := source.Files(m.Path, nil)
		if err != nil {
			continue
		}
		for _, file := range files {
			if file.Name != "" {
				names = append(names, namedSource{m.SourceName(), file.Name})
			}
		}
	}
	return names, nil
}

// jsonLineage is what is known of where a record and events come from.
type jsonLineage struct {
	Kind       string            `json:"kind"`
	Key        string            `json:"key"`
	Attributes map[string]string `json:"attributes,omitempty"`
	*pipeline.Lineage
	// Events are those of a user, by source.
	Events []eventOrigin `json:"events,omitempty"`
}

// eventOrigin counts the events of a source: First and Last are their lines, 0 for events with ids of their own.
type eventOrigin struct {
	Source string `json:"source"`
	Events int64  `json:"events"`
	First  int64  `json:"first_line,omitempty"`
	Last   int64  `json:"last_line,omitempty"`
}

// Sources of events that say less.
const (
	ownIDs = "events with ids of their own"
	// unknownIDs have the form of made ids, of sources without a name: of another program, most likely.
	unknownIDs = "events of unknown sources"
)

// lineage asks for a record and, of a user, for the events.
func (c *client) lineage(ctx context.Context, kind catalog.Kind, key string, names []namedSource) (*jsonLineage, error) {
	l := &jsonLineage{Kind: kind.String(), Key: key}
	records, err := c.records(ctx, kind, []string{key}, false)
	if err != nil {
		return nil, err
	}
	if len(records) > 0 {
		rec, err := wire.RecordFromProto(records[0])
		if err != nil {
			return nil, err
		}
		l.Attributes = map[string]string{}
		for i := range rec.Attributes {
			l.Attributes[rec.Attributes[i].Name] = rec.Attributes[i].Value.String()
		}
		if l.Lineage, err = pipeline.ParseLineage(rec.Places); err != nil && !errors.Is(err, pipeline.ErrNoLineage) {
			return nil, err
		}
	}
	if kind == catalog.Profile {
		if l.Lineage != nil {
			for _, row := range l.Rows {
				names = append(names, namedSource{name: row.Source}, namedSource{row.Source, row.File})
			}
		}
		if l.Events, err = c.eventOrigins(ctx, key, names); err != nil {
			return nil, err
		}
	}
	if len(records) == 0 && len(l.Events) == 0 {
		return nil, fmt.Errorf("%s %q is not known; keys of other kinds than the first have it before them, such as cookie:%s", kind, key, key)
	}
	return l, nil
}

// eventOrigins counts the events of a user by source.
func (c *client) eventOrigins(ctx context.Context, user string, names []namedSource) ([]eventOrigin, error) {
	var t originTally
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		t = originTally{names: names, made: map[fusion.Origin]*eventOrigin{}}
		stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ListResponse) error {
			for _, e := range m.Events {
				t.add(e.Id)
			}
			return nil
		})
	})
	return t.origins(), err
}

// originTally counts events by the sources that their ids name.
type originTally struct {
	names []namedSource
	own   int64 // events with ids of their own
	// made has the others by what their ids have of the source: origins without their row.
	made map[fusion.Origin]*eventOrigin
}

func (t *originTally) add(id string) {
	o, ok := fusion.OriginOf(id)
	if !ok {
		t.own++
		return
	}
	of := eventOrigin{Events: 1, First: o.Line, Last: o.Line}
	o.Line, o.Part = 0, 0
	countOrigin(t.made, o, of)
}

// countOrigin adds events to those of their source.
func countOrigin[K comparable](to map[K]*eventOrigin, key K, of eventOrigin) {
	x := to[key]
	if x == nil {
		to[key] = &of
		return
	}
	x.Events += of.Events
	x.First, x.Last = min(x.First, of.First), max(x.Last, of.Last)
}

// origins returns the counts, the most events first. Sources without a name of which there is one event only are told together: an id of another
// program that looks like ours names one of 2^40 sources, by chance.
func (t *originTally) origins() []eventOrigin {
	bySource := map[string]*eventOrigin{}
	if t.own > 0 {
		countOrigin(bySource, ownIDs, eventOrigin{Source: ownIDs, Events: t.own})
	}
	for o, x := range t.made {
		of := *x
		of.Source = o.String()
		if at := slices.IndexFunc(t.names, func(n namedSource) bool { return o.Of(n.name, n.file) }); at >= 0 {
			of.Source = t.names[at].String()
		} else if of.Events == 1 {
			of = eventOrigin{Source: unknownIDs, Events: 1}
		}
		countOrigin(bySource, of.Source, of)
	}
	var out []eventOrigin
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		out = append(out, *bySource[name])
	}
	slices.SortStableFunc(out, func(a, b eventOrigin) int { return cmp.Compare(b.Events, a.Events) })
	return out
}

func (a *app) printLineage(l *jsonLineage) error {
	if err := a.printf("%s %s\n", l.Kind, a.bold(printable(l.Key))); err != nil {
		return err
	}
	switch {
	case l.Lineage != nil:
		if err := a.printRows(l); err != nil {
			return err
		}
	case l.Attributes != nil:
		if err := a.printf("\nThe record says nothing of where it comes from: it was put as it is.\n"); err != nil {
			return err
		}
	}
	if len(l.Events) == 0 {
		return nil
	}
	var rows [][]any
	for _, e := range l.Events {
		lines := ""
		if e.First > 0 {
			lines = fmt.Sprintf("%d to %d", e.First, e.Last)
		}
		rows = append(rows, []any{printable(e.Source), count(e.Events), lines})
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable("", columns{"events of", ">events", "lines"}, rows)
}

// printRows prints keys, rows and values of a lineage.
func (a *app) printRows(l *jsonLineage) error {
	if len(l.Keys) > 0 {
		var keys []string
		for _, k := range l.Keys {
			keys = append(keys, printable(k.Kind+" "+k.Text))
		}
		if more := l.KeyCount - len(l.Keys); more > 0 {
			keys = append(keys, fmt.Sprintf("and %d more", more))
		}
		if err := a.printf("\n%d keys that are one: %s\n", l.KeyCount, wrap(strings.Join(keys, ", "), 100, "  ")); err != nil {
			return err
		}
	}
	if len(l.Rows) > 0 {
		var rows [][]any
		for i := range l.Rows {
			w := &l.Rows[i]
			changed := ""
			if w.Changed != 0 {
				changed = timeOf(w.Changed)
			}
			rows = append(rows, []any{i + 1, printable(strings.TrimSpace(w.Source + " " + w.File)), w.Line, changed, printable(strings.Join(w.Rules, ", "))})
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		if err := a.printTable("", columns{">row", "source", ">line", "changed", "rules that changed it"}, rows); err != nil {
			return err
		}
		if more := l.RowCount - len(l.Rows); more > 0 {
			if err := a.printf("and %s more\n", plural(more, "row", "rows")); err != nil {
				return err
			}
		}
	}
	return a.printFields(l)
}

// printFields prints where each value comes from.
func (a *app) printFields(l *jsonLineage) error {
	if len(l.Fields) == 0 {
		return nil
	}
	row := func(i int) string {
		if i < 0 {
			return "another"
		}
		return fmt.Sprint(i + 1)
	}
	var rows [][]any
	for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
		f := l.Fields[name]
		why := ""
		if f.Method != "" {
			why = fmt.Sprintf("%s, %d of %d agree", f.Method, f.Agree, f.Agree+f.Others)
		}
		var others []string
		for _, o := range f.Next {
			others = append(others, fmt.Sprintf("%s (%s)", o.Value, row(o.Row)))
		}
		rows = append(rows, []any{printable(name), fit(printable(l.Attributes[name]), 40), row(f.Row), why, fit(printable(strings.Join(others, ", ")), 60)})
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable("", columns{"field", "value", ">of row", "chosen by", "others (of row)"}, rows)
}
