package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/source"
)

// input are the flags of commands that read files.
type input struct {
	files       []string
	mapping     string
	data        string
	columns     string
	behavior    string
	format      string
	sep         string
	encoding    string
	skip        int
	noHeader    bool
	deadLetters string
	share       source.Share // of the sources, in the name of the file of dead letters
}

// register adds the flags that say how to read files. With inputFlag the files are named by --input.
func (in *input) register(cmd *cobra.Command, inputFlag bool) {
	f := cmd.Flags()
	if inputFlag {
		f.StringSliceVar(&in.files, "input", nil, "`file`, folder or quoted pattern to read: CSV, TSV, JSON lines, Parquet, or lines of items; gzip and zstd are recognized; - is standard input")
	}
	f.StringVar(&in.mapping, "mapping", "", "YAML `file` that lists sources and says what their columns mean, instead of files")
	f.StringVar(&in.data, "data", "", "`folder` that ${KITH_DATA} in the paths of a mapping stands for")
	f.StringVar(&in.columns, "columns", "", "what the columns hold: user,item,-,time in order, or user=NAME,item=NAME,weight=NAME (default: usual names)")
	f.StringVar(&in.behavior, "behavior", "", "behavior of rows without one, such as purchase (default rating where there are values, else view)")
	f.StringVar(&in.format, "format", "auto", "auto, csv, tsv, delimited, jsonl, parquet, lines (user item item ...) or baskets (item item ...)")
	f.StringVar(&in.sep, "sep", "auto", "separator: characters, or tab, comma, semicolon, pipe, space")
	f.BoolVar(&in.noHeader, "no-header", false, "the first row is data (default: found out)")
	f.StringVar(&in.encoding, "encoding", "utf-8", "utf-8, latin1, windows-1252, utf-16, utf-16le or utf-16be")
	f.IntVar(&in.skip, "skip", 0, "lines to ignore before the header or the first row")
	f.StringVar(&in.deadLetters, "dead-letters", "", "`file` to which refused rows are appended, or none (default: NAME.rejected.jsonl, if there are any)")
}

// given reports whether the flags name something to read.
func (in *input) given() bool { return in.mapping != "" || len(in.files) > 0 }

// mappings returns the sources that the flags describe. An error is one of usage.
func (in *input) mappings(how string) ([]fusion.Mapping, error) {
	if (in.mapping == "") == (len(in.files) == 0) {
		return nil, usagef("what to read? Name %s or a mapping with --mapping, and not both", how)
	}
	if in.mapping != "" {
		ms, err := fusion.ReadMappingsWith(in.mapping, in.mappingOptions())
		if err != nil {
			return nil, &usageError{fmt.Errorf("--mapping: %w", err)}
		}
		return withOpeners(ms), nil
	}
	pattern := fusion.Mapping{Behavior: fusion.Behavior(in.behavior)}
	var err error
	if pattern.Columns, err = fusion.ParseColumns(in.columns); err != nil {
		return nil, &usageError{fmt.Errorf("--columns: %w", err)}
	}
	if pattern.Behavior != "" && !pattern.Behavior.Valid() {
		return nil, usagef("--behavior %q: want a name such as view, cart or purchase", in.behavior)
	}
	o := &pattern.Source
	if o.Format, o.Separator, err = source.ParseFormat(in.format); err != nil {
		return nil, &usageError{fmt.Errorf("--format: %w", err)}
	}
	sep, err := source.ParseSeparator(in.sep)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--sep: %w", err)}
	}
	if sep != "" {
		o.Separator = sep
	}
	if in.noHeader {
		o.Header = source.HeaderNo
	}
	o.Encoding, o.Skip = in.encoding, in.skip
	o.Remote.Openers = openers()
	return forFiles(pattern, in.files), nil
}

// file returns what the flags describe, with its rules and joins. An error is one of usage.
func (in *input) file(how string) (*fusion.File, error) {
	if in.mapping == "" || len(in.files) > 0 {
		ms, err := in.mappings(how)
		return &fusion.File{Sources: ms}, err
	}
	f, err := pipeline.Read(in.mapping, in.mappingOptions())
	if err != nil {
		return nil, &usageError{fmt.Errorf("--mapping: %w", err)}
	}
	withOpeners(f.Sources)
	return f, nil
}

func (in *input) mappingOptions() fusion.MappingOptions {
	return fusion.MappingOptions{Lookup: func(name string) (string, bool) {
		if name == variable("data") && in.data != "" {
			return in.data, true
		}
		return os.LookupEnv(name)
	}}
}

// withOpeners lets sources be read that are no files.
func withOpeners(ms []fusion.Mapping) []fusion.Mapping {
	for i := range ms {
		ms[i].Source.Remote.Openers = openers()
	}
	return ms
}

// meaning returns all that the flags say on how rows are read, but not which files.
func (in *input) meaning() (string, error) {
	if in.mapping != "" {
		data, err := os.ReadFile(in.mapping)
		return string(data), err
	}
	return fmt.Sprintf("%q %q %q %q %q %d %v", in.columns, in.behavior, in.format, in.sep, in.encoding, in.skip, in.noHeader), nil
}

// forFiles returns the mapping of each file. Names go into the ids of events, so files with the same base name are
// named by their path.
func forFiles(pattern fusion.Mapping, files []string) []fusion.Mapping {
	bases := map[string]int{}
	for _, path := range files {
		bases[filepath.Base(path)]++
	}
	var out []fusion.Mapping
	for _, path := range files {
		m := pattern
		m.Path = path
		if bases[filepath.Base(path)] > 1 {
			m.Name = source.PublicName(path)
		}
		out = append(out, m)
	}
	return out
}

// letters returns the writer of refused rows. Unless the flag says otherwise, its file is named after the input, and the share of it, and lies in
// folder dir.
func (in *input) letters(dir string) *fusion.DeadLetterWriter {
	path := in.deadLetters
	if path == "none" {
		return fusion.NewDeadLetterWriter("")
	}
	if path == "" {
		first := in.mapping
		if first == "" {
			first = in.files[0]
		}
		base := filepath.Base(source.PublicName(first))
		if first == "-" {
			base = "stdin"
		}
		for _, ext := range []string{".gz", ".zst", ".zstd"} {
			base = strings.TrimSuffix(base, ext)
		}
		base = strings.TrimSuffix(base, filepath.Ext(base))
		base = strings.Map(func(r rune) rune { // of a pattern
			if strings.ContainsRune("*?[]", r) {
				return '_'
			}
			return r
		}, base)
		base = cmp.Or(strings.Trim(base, "."), "input")
		if !in.share.All() {
			base += fmt.Sprintf(".%d-of-%d", in.share.Part, in.share.Of)
		}
		path = filepath.Join(dir, base+".rejected.jsonl")
	}
	return fusion.NewDeadLetterWriter(path)
}

// noteRejected says on standard error where refused rows are.
func (a *app) noteRejected(dead *fusion.DeadLetterWriter) {
	if dead.Count() == 0 {
		return
	}
	var all fusion.Report
	all.Reasons = dead.Reasons()
	where := ""
	if dead.Path() != "" {
		where = "; see " + dead.Path()
	}
	a.note("%s rejected (%s)%s", plural(dead.Count(), "row was", "rows were"), all.TopReasons(3), where)
}

// noteWeightless says on standard error which behaviors count for nothing.
func (a *app) noteWeightless(reports []fusion.Report) {
	for _, r := range reports {
		for _, b := range slices.Sorted(maps.Keys(r.Weightless)) {
			a.note("%s: %s of behavior %s without a weight, which count for nothing; give it one with --weight %s=5, or translate it in a mapping",
				printable(r.Name), plural(r.Weightless[b], "row", "rows"), b, b)
		}
	}
}

// reasons returns a map that JSON shows as an object even if it is empty.
func reasons(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

// printReports prints what became of the rows of each source.
func (a *app) printReports(indent string, reports []fusion.Report) error {
	var rows [][]any
	for _, r := range reports {
		why := r.TopReasons(3)
		if r.Skipped > 0 {
			why = strings.Trim(why+", "+count(r.Skipped)+" left out by where", ", ")
		}
		rows = append(rows, []any{printable(r.Name), count(r.Read), count(r.Kept), count(r.Repaired), count(r.Rejected), why})
	}
	return a.printTable(indent, columns{"source", ">read", ">kept", ">repaired", ">rejected", "reasons"}, rows)
}
