package source

import (
	"errors"
	"fmt"
)

// Errors of this package, to be tested with errors.Is.
var (
	// ErrOptions means that the options, not the file, are at fault.
	ErrOptions = errors.New("bad source options")
	// ErrCorrupt means that the file is damaged in a way that ends the reading.
	ErrCorrupt = errors.New("damaged file")
	// ErrFormat means that the file is of a kind that is not read here.
	ErrFormat = errors.New("unknown file format")
	// ErrNoShare means that none of the files of a source is in the share that is read.
	ErrNoShare = errors.New("no file of the share")
	// ErrIdle means that a service that is followed may have no row for a while: whoever collects rows may hand on what there is. It is
	// no end: reading goes on.
	ErrIdle = errors.New("no row at the moment")
)

// Reason codes of a RowError: short and stable, for counting.
const (
	// ReasonColumns is a row with a number of fields other than the header's.
	ReasonColumns = "columns"
	// ReasonQuote is a quoted field that does not end, or goes on after its closing quote.
	ReasonQuote = "quote"
	// ReasonTooLong is a row longer than Options.MaxRowBytes.
	ReasonTooLong = "row_too_long"
	// ReasonNoItem is a line of format Lines with a user and no items.
	ReasonNoItem = "no_item"
	// ReasonJSON is a line of JSON lines that is no object, or no JSON.
	ReasonJSON = "json"
)

// RowError is a row that cannot be read. The reader goes on after it.
type RowError struct {
	Line   int64  // where the row starts; 1 is the first line of the file
	Raw    string // its text, at most 64 KiB of it
	Reason string // one of the Reason codes
	Detail string // for a person
}

// Error names the line, the reason and the detail.
func (e *RowError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Reason, e.Detail)
}

// maxRaw bounds RowError.Raw and Reader.Raw.
const maxRaw = 64 << 10

func rowError(line int64, raw []byte, reason, format string, args ...any) *RowError {
	return &RowError{Line: line, Raw: string(shortRaw(raw)), Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
