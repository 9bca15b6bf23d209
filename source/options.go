package source

import (
	"fmt"
	"strings"
)

// Format is the layout of a file.
type Format string

// Formats of files.
const (
	// Auto takes the format from the first bytes and the extension; see DetectFormat.
	Auto Format = ""
	// Delimited is text with one row a line and fields between separators;
	// CSV quoting applies unless switched off.
	Delimited Format = "delimited"
	// Lines is text whose lines are "user item item ...": one record with the
	// fields user and item for each item.
	Lines Format = "lines"
	// Baskets is text whose lines are "item item ...": as Lines, with the line
	// number as the user.
	Baskets Format = "baskets"
	// Parquet is Apache Parquet, columns by name.
	Parquet Format = "parquet"
	// JSONLines is text with an object of JSON a line. Its columns are the paths to
	// values that the first rows have, such as user.id or items[0].sku; objects and
	// the first elements of arrays are gone into. Texts are unescaped, other values
	// as they are written, null is an empty field. The names in a path are not escaped.
	JSONLines Format = "jsonl"
)

// ParseFormat reads the name of a format as flags and mapping files give it:
// auto (or empty), csv, tsv, delimited, lines, baskets, jsonl, parquet. The second
// result is the separator that the name implies, or "".
func ParseFormat(name string) (Format, string, error) {
	switch strings.ToLower(name) {
	case "", "auto":
		return Auto, "", nil
	case "delimited":
		return Delimited, "", nil
	case "csv":
		return Delimited, ",", nil
	case "tsv":
		return Delimited, "\t", nil
	case "lines":
		return Lines, "", nil
	case "baskets":
		return Baskets, "", nil
	case "jsonl", "ndjson":
		return JSONLines, "", nil
	case "parquet":
		return Parquet, "", nil
	}
	return Auto, "", fmt.Errorf("%w: unknown format %q; want auto, csv, tsv, delimited, lines, baskets, jsonl or parquet", ErrOptions, name)
}

// Header says whether the first row names the columns.
type Header uint8

// Values of Header.
const (
	// HeaderAuto looks at the first rows: see Options.KnownName.
	HeaderAuto Header = iota
	// HeaderYes takes the first row as names, whatever it holds.
	HeaderYes
	// HeaderNo takes the first row as data.
	HeaderNo
)

// Spaces is the separator that stands for runs of spaces and tabs.
const Spaces = " "

// ParseSeparator reads a separator as flags and mapping files give it: the
// characters themselves, or one of the names tab, space, comma, semicolon,
// pipe, or the escape \t. "auto" and "" leave it to detection.
func ParseSeparator(s string) (string, error) {
	switch strings.ToLower(s) {
	case "", "auto":
		return "", nil
	case "tab", `\t`:
		return "\t", nil
	case "space", "spaces", "whitespace":
		return Spaces, nil
	case "comma":
		return ",", nil
	case "semicolon":
		return ";", nil
	case "pipe":
		return "|", nil
	}
	if err := checkSeparator(s); err != nil {
		return "", err
	}
	return s, nil
}

func checkSeparator(s string) error {
	if strings.ContainsAny(s, "\"\r\n\x00") {
		return fmt.Errorf("%w: separator %q holds a quote, a line end or a NUL byte", ErrOptions, s)
	}
	return nil
}

// Options says how to read a file. The zero value detects what it can and
// suits most files.
type Options struct {
	// Format of the file.
	Format Format
	// Separator between fields: one or several characters, or Spaces for runs
	// of blanks. Empty means: detect from the extension and the first lines.
	Separator string
	// Header says whether the first row names the columns.
	Header Header
	// KnownName reports whether a column name (lower case, trimmed) is a usual
	// one. With HeaderAuto, a first row with a known name, and with fewer
	// numbers than texts, is a header. So is, even without known names, a first row
	// free of numbers over a column of numbers. May be nil.
	KnownName func(name string) bool
	// NoQuote switches CSV quoting off: a quote is a character like any other.
	NoQuote bool
	// Encoding of the text: "utf-8" (default), "latin1", "windows-1252",
	// "utf-16", or without byte-order mark "utf-16le" or "utf-16be". A UTF-16 byte-order mark is honored without being asked for.
	// UTF-8 is passed on as it is, also where it is invalid.
	Encoding string
	// Skip is the number of lines to ignore before the header or first row.
	Skip int
	// Ragged accepts rows with more or fewer fields than the header. Without a
	// header rows may always differ in length.
	Ragged bool
	// MaxRowBytes is the longest row, quoted line ends included. A longer one
	// is a RowError. 0 means 1 MiB: far above real rows, far below memory.
	MaxRowBytes int
	// MaxExpansion is how many times its size a compressed file may expand to, beyond the first 64 MiB. What expands more
	// is damage, since files are made that expand to more than anybody can read. 0 means 250; tables expand 5 to 50 times.
	MaxExpansion int
	// Columns are paths that JSON lines have even if the first rows do not show them. A path may also name an object or
	// array, whose text is the value.
	Columns []string
	// Explode is the path of an array in JSON lines: each of its elements is a record, with the other columns of the line,
	// and Part tells them apart. The columns of elements are named without index, as in items.sku. A line without elements is one record.
	Explode string
	// Track is told how far files are read, and says where to go on. May be nil.
	Track *Track
	// Share is the part of the files of a folder, a pattern or a bucket that are read. Single files are not left out.
	Share Share
	// Note is told, by the goroutine that reads, what a person should know and what is no error. May be nil.
	Note func(text string)
	// Remote says what to read where the path is a URL.
	Remote Remote
}

// note tells Note.
func (o *Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// Values that 0 stands for in Options.
const (
	// DefaultMaxRowBytes is that of MaxRowBytes.
	DefaultMaxRowBytes = 1 << 20
	// DefaultMaxExpansion is that of MaxExpansion.
	DefaultMaxExpansion = 250
)

// MaxColumns bounds the columns of a header or of JSON lines: those of the widest spreadsheet. More is no table, or not of this separator.
const MaxColumns = 1 << 14

func checkWidth(columns int) error {
	if columns > MaxColumns {
		return fmt.Errorf("%w: the first row has %d columns, more than %d: is it a header, and the separator right?", ErrFormat, columns, MaxColumns)
	}
	return nil
}

// Validate returns nil or an error that matches ErrOptions and says which
// option is at fault. Open and NewReader do it, too.
func (o *Options) Validate() error {
	switch o.Format {
	case Auto, Delimited, Lines, Baskets, JSONLines, Parquet:
	default:
		return fmt.Errorf("%w: unknown format %q", ErrOptions, o.Format)
	}
	if o.Skip < 0 {
		return fmt.Errorf("%w: Skip is %d; want 0 or more", ErrOptions, o.Skip)
	}
	if o.MaxRowBytes < 0 || o.MaxRowBytes > 1<<30 {
		return fmt.Errorf("%w: MaxRowBytes is %d; want 0 to %d", ErrOptions, o.MaxRowBytes, 1<<30)
	}
	if o.MaxExpansion < 0 {
		return fmt.Errorf("%w: MaxExpansion is %d; want 0 for the default, or more", ErrOptions, o.MaxExpansion)
	}
	if o.Explode != "" && o.Format != JSONLines && o.Format != Auto {
		return fmt.Errorf("%w: explode is for JSON lines, and the format is %s", ErrOptions, o.Format)
	}
	if err := checkSeparator(o.Separator); err != nil {
		return err
	}
	switch strings.ToLower(o.Encoding) {
	case "", "utf-8", "utf8", "latin1", "latin-1", "iso-8859-1", "windows-1252", "cp1252", "utf-16", "utf16", "utf-16le", "utf-16be":
	default:
		return fmt.Errorf("%w: unknown encoding %q; want utf-8, latin1, windows-1252, utf-16, utf-16le or utf-16be", ErrOptions, o.Encoding)
	}
	return nil
}
