package fusion

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/kith-io/kith/source"
)

// mappingFile is the YAML of a mapping file. All keys of a source but path are
// optional:
//
//	sources:
//	  - name: orders            # default: base name of the path
//	    path: orders.csv        # relative to the mapping file; "-" is standard input
//	    format: csv             # auto, csv, tsv, delimited, lines, baskets, parquet
//	    separator: comma        # characters, or tab, comma, semicolon, pipe, space
//	    header: auto            # auto, true, false
//	    quote: true             # false: a quote is a character like any other
//	    encoding: utf-8         # latin1, windows-1252, utf-16
//	    skip: 0                 # lines before the header or the first row
//	    ragged: false           # true: rows may differ in length from the header
//	    max_row_bytes: 1048576
//	    columns:                # by name, or by position from 1; "-" for none
//	      user: customer
//	      item: sku
//	      value: quantity       # or weight
//	      time: created
//	      behavior: status
//	      id: line
//	      context:
//	        channel: source
//	    behavior: purchase      # of rows without one
//	    behaviors:              # value of the behavior column -> behavior
//	      paid: purchase
//	      refunded: cancel
//	    time_unit: auto         # of numbers: s, ms, us, ns
//	    time_layout: 02/01/2006 # of dates that do not start with the year
type mappingFile struct {
	Sources []mappingEntry `yaml:"sources"`
}

type mappingEntry struct {
	Name        string              `yaml:"name"`
	Path        string              `yaml:"path"`
	Format      string              `yaml:"format"`
	Separator   string              `yaml:"separator"`
	Header      string              `yaml:"header"`
	Quote       *bool               `yaml:"quote"`
	Encoding    string              `yaml:"encoding"`
	Skip        int                 `yaml:"skip"`
	Ragged      bool                `yaml:"ragged"`
	MaxRowBytes int                 `yaml:"max_row_bytes"`
	Columns     mappingColumns      `yaml:"columns"`
	Behavior    Behavior            `yaml:"behavior"`
	Behaviors   map[string]Behavior `yaml:"behaviors"`
	TimeUnit    string              `yaml:"time_unit"`
	TimeLayout  string              `yaml:"time_layout"`

	Remote mappingRemote `yaml:",inline"`
}

type mappingColumns struct {
	User     string            `yaml:"user"`
	Item     string            `yaml:"item"`
	Value    string            `yaml:"value"`
	Weight   string            `yaml:"weight"`
	Time     string            `yaml:"time"`
	Behavior string            `yaml:"behavior"`
	ID       string            `yaml:"id"`
	Context  map[string]string `yaml:"context"`
}

// ReadMappings reads a mapping file. Unknown keys, repeated names and values
// out of range are errors that name the line or the source.
func ReadMappings(path string) ([]Mapping, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ms, err := parseMappings(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ms, nil
}

// parseMappings reads the YAML of a mapping file in folder dir.
func parseMappings(data []byte, dir string) ([]Mapping, error) {
	var file mappingFile
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, fmt.Errorf("%w: line %d: %s", ErrMapping, at.GetToken().Position.Line, at.GetMessage())
		}
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one document in the file; put all sources into one list", ErrMapping)
	}
	if len(file.Sources) == 0 {
		return nil, fmt.Errorf("%w: no sources; want a list under the key sources, with a path each", ErrMapping)
	}
	names := map[string]bool{}
	var out []Mapping
	for i, e := range file.Sources {
		m, err := e.mapping(dir)
		if err == nil {
			err = m.validate()
		}
		if err == nil && names[m.name()] {
			err = fmt.Errorf("%w: %s: the name is taken by an earlier source; event ids depend on it: give each its own", ErrMapping, m.name())
		}
		if err != nil {
			return nil, fmt.Errorf("source %d: %w", i+1, err)
		}
		names[m.name()] = true
		out = append(out, m)
	}
	return out, nil
}

func (e *mappingEntry) mapping(dir string) (Mapping, error) {
	m := Mapping{
		Name: e.Name, Path: e.Path,
		Source: source.Options{
			NoQuote: e.Quote != nil && !*e.Quote, Encoding: e.Encoding, Skip: e.Skip, Ragged: e.Ragged, MaxRowBytes: e.MaxRowBytes,
		},
		Columns: Columns{
			User: e.Columns.User, Item: e.Columns.Item, Value: e.Columns.Value, Time: e.Columns.Time,
			Behavior: e.Columns.Behavior, ID: e.Columns.ID, Context: e.Columns.Context,
		},
		Behavior: e.Behavior, Behaviors: e.Behaviors, TimeLayout: e.TimeLayout,
	}
	if m.Path != "" && m.Path != "-" && source.Scheme(m.Path) == "" && !filepath.IsAbs(m.Path) {
		m.Path = filepath.Join(dir, m.Path)
	}
	switch {
	case e.Columns.Weight == "":
	case m.Columns.Value != "":
		return m, fmt.Errorf("%w: columns: weight and value are the same; give one", ErrMapping)
	default:
		m.Columns.Value = e.Columns.Weight
	}
	if e.TimeUnit != "auto" {
		m.TimeUnit = TimeUnit(e.TimeUnit)
	}
	switch e.Header {
	case "", "auto":
	case "true", "yes":
		m.Source.Header = source.HeaderYes
	case "false", "no":
		m.Source.Header = source.HeaderNo
	default:
		return m, fmt.Errorf("%w: header is %q; want auto, true or false", ErrMapping, e.Header)
	}
	var err error
	if m.Source.Remote, err = e.Remote.remote(e.Path); err != nil {
		return m, err
	}
	if m.Source.Format, m.Source.Separator, err = source.ParseFormat(e.Format); err != nil {
		return m, err
	}
	sep, err := source.ParseSeparator(e.Separator)
	if sep != "" {
		m.Source.Separator = sep
	}
	return m, err
}
