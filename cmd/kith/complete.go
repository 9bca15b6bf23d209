package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/kith-io/kith/assist"
	"github.com/kith-io/kith/catalog"
)

// completion is what kith products complete is told.
type completion struct {
	fields  string
	version int64
	assistFlags
}

func (t *recordTool) completeCommand() *cobra.Command {
	var c completion
	cmd := &cobra.Command{
		Use:   "complete FILE",
		Short: "Let a language model fill in attributes that products lack",
		Long: `Read products from a file as 'kith products put' takes it, ask a model behind an OpenAI-compatible
endpoint for the attributes of --fields that they lack, and print all of them. Needs no server.

The file of --fields is YAML, with all the values that an attribute may have:

  color: {about: the main color, values: [red, green, blue]}

No other value is taken, whatever a product or the model says. Names of what was filled in are
in the attribute "inferred". A product that the model cannot be asked for stays as it is.
Texts of products are sent to the endpoint. FILE of - is standard input.`,
		Example: `  kith products complete products.jsonl --fields fields.yaml --assist-url https://api.example.com/v1 \
    --assist-model small --assist-key-file key --assist-cache answers > completed.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return t.complete(cmd.Context(), args[0], &c) },
	}
	f := cmd.Flags()
	f.StringVar(&c.fields, "fields", "", "YAML `file` of the attributes and their values")
	f.Int64Var(&c.version, "version", -1, "version of products that were changed (default: one above their own)")
	c.register(f)
	return cmd
}

func (t *recordTool) complete(ctx context.Context, path string, c *completion) error {
	if c.fields == "" || c.endpoint.URL == "" || c.endpoint.Model == "" {
		return usagef("want all of --fields, --assist-url and --assist-model")
	}
	fields, err := readFields(c.fields)
	if err != nil {
		return &usageError{fmt.Errorf("--fields: %w", err)}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	completer, err := assist.NewCompleter(client, fields)
	if err != nil {
		return &usageError{fmt.Errorf("--fields: %w", err)}
	}
	in, done, err := t.open(path)
	if err != nil {
		return err
	}
	defer done()
	var total assist.Completed
	rejected := map[string]int{}
	err = forRecords(ctx, in, func(r *catalog.Record) error {
		if errors.Is(total.Err, assist.ErrBudget) { // say so once, and let the rest through
			total.Failed++
			return t.printRecord(r)
		}
		after, report, err := completer.Complete(ctx, []catalog.Record{*r})
		if err != nil {
			return err
		}
		total.Whole, total.Asked, total.Failed = total.Whole+report.Whole, total.Asked+report.Asked, total.Failed+report.Failed
		total.Filled, total.Unknown = total.Filled+report.Filled, total.Unknown+report.Unknown
		if errors.Is(report.Err, assist.ErrBudget) {
			total.Err = report.Err
		}
		total.Err = cmp.Or(total.Err, report.Err)
		for reason, n := range report.Rejected {
			rejected[reason] += n
		}
		if report.Filled > 0 {
			if after[0].Version++; c.version >= 0 {
				after[0].Version = c.version
			}
		}
		return t.printRecord(&after[0])
	})
	t.note("%s asked for, %s had all, %s left as they are; %s filled in, %s unknown",
		plural(total.Asked, t.one, t.many), count(total.Whole), count(total.Failed), plural(total.Filled, "attribute", "attributes"), count(total.Unknown))
	for _, reason := range slices.Sorted(maps.Keys(rejected)) {
		t.note("rejected: %s, %s", count(rejected[reason]), reason)
	}
	if total.Err != nil {
		t.note("first failure: %v", total.Err)
	}
	t.noteAssist(client)
	return err
}

func (t *recordTool) printRecord(r *catalog.Record) error {
	line, err := catalog.FormatJSON(r)
	if err != nil {
		return err
	}
	return t.printf("%s\n", line)
}

// open opens a file of records, or standard input for -.
func (t *recordTool) open(path string) (in io.Reader, done func(), err error) {
	if path == "-" {
		return t.in, func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil // only read
}

// readFields reads a file of attributes, in the order of their names.
func readFields(path string) ([]assist.Field, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var fields map[string]struct {
		About  string   `yaml:"about"`
		Values []string `yaml:"values"`
	}
	if err := yaml.UnmarshalWithOptions(b, &fields, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []assist.Field
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, assist.Field{Name: name, Doc: fields[name].About, Values: fields[name].Values})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no attributes", path)
	}
	return out, nil
}
