// Package fusion turns raw records of package source into clean events, and
// events into interactions.
//
// The way of a row: a Mapping says which columns hold the user, the item and so
// on; the row becomes an Event, which Validate checks; what is refused goes to
// a DeadLetterWriter with its line and reason, and is counted in the Report of
// its source. Events streams a file this way, in constant memory. Fuse makes
// the interactions of one user of the events in the event store. ReadTable does
// both at once for whole files, to a matrix of users and items in memory. ReadSpill
// does it for matrices that memory cannot hold, a share of the users at a time.
//
// What a file leaves open is decided once for the whole file, by its first rows:
// which columns hold what (Columns), the unit of times that are numbers
// (TimeAuto), and whether a comma may be a decimal point (in every file whose
// separator is another). Ambiguous dates, such as 03/04/2021, must be explained.
//
// Keys are trimmed of blanks. A user or an item that reads NA, N/A, NaN, NULL or
// the like is missing. An empty time is unknown; an empty value is a quantity of
// 1, or refused if it should be a rating.
package fusion
