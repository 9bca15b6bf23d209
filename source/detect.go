package source

import (
	"context"
)

// Detected is what DetectFormat found.
type Detected struct {
	Format    Format
	Separator string   // "" for Parquet
	Columns   []string // nil without header
	Width     int      // fields of the first row
}

// DetectFormat opens the file at path and reports how Open would read it. What
// o sets is taken as given, what it leaves open is detected:
//
//   - the format: Parquet by its magic number or extension, otherwise Delimited
//     (Lines and Baskets must be asked for: nothing tells them from ragged rows);
//   - the separator: the one that cuts the most of the first 100 rows into the
//     same number of fields; the extensions .csv and .tsv decide a tie;
//   - the header: see Options.KnownName.
func DetectFormat(ctx context.Context, path string, o Options) (Detected, error) {
	r, err := Open(ctx, path, o)
	if err != nil {
		return Detected{}, err
	}
	d := Detected{Format: r.format, Separator: r.sep, Columns: r.columns, Width: r.width}
	return d, r.Close()
}
