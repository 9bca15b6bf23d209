package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
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

Events name their source by a hash; --mapping gives the names. Events that came with ids of
their own say nothing about their rows.`,
		Example: `  kith lineage product P0001
  kith lineage user U0017 --mapping shop/fuse.yaml -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] != "product" && args[0] != "user" {
				return usagef("want product or user, and a key")
			}
			return someKeys(nil, args[1:])
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			names, err := sourceNames(mapping)
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

// sourceNames returns the names of the sources of a mapping file, if one is given.
func sourceNames(mapping string) ([]string, error) {
	if mapping == "" {
		return nil, nil
	}
	f, err := pipeline.Read(mapping, fusion.MappingOptions{Lookup: func(string) (string, bool) { return "unset", true }})
	if err != nil {
		return nil, &usageError{fmt.Errorf("--mapping: %w", err)}
	}
	var names []string
	for i := range f.Sources {
		names = append(names, f.Sources[i].SourceName())
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

// ownIDs is the source of events that came with ids.
const ownIDs = "events with ids of their own"

// lineage asks for a record and, of a user, for the events.
func (c *client) lineage(ctx context.Context, kind catalog.Kind, key string, names []string) (*jsonLineage, error) {
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
				names = append(names, row.Source)
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
func (c *client) eventOrigins(ctx context.Context, user string, names []string) ([]eventOrigin, error) {
	var bySource map[string]*eventOrigin
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		bySource = map[string]*eventOrigin{}
		stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ListResponse) error {
			for _, e := range m.Events {
				name, line := ownIDs, int64(0)
				if o, ok := fusion.OriginOf(e.Id); ok {
					name, line = nameOf(o, names), o.Line
				}
				x := bySource[name]
				if x == nil {
					x = &eventOrigin{Source: name, First: line}
					bySource[name] = x
				}
				x.Events++
				x.First, x.Last = min(x.First, line), max(x.Last, line)
			}
			return nil
		})
	})
	var out []eventOrigin
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		out = append(out, *bySource[name])
	}
	slices.SortStableFunc(out, func(a, b eventOrigin) int { return cmp.Compare(b.Events, a.Events) })
	return out, err
}

// nameOf returns the name of the source of an event, or what is known of it.
func nameOf(o fusion.Origin, names []string) string {
	for _, name := range names {
		if o.Of(name, "") {
			return name
		}
	}
	return o.String()
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
