// Package fusion turns raw records of package source into clean events, and
// events into interactions.
//
// The way of a row: a Mapping says which columns hold the user, the item and so
// on; the row becomes an Event, which Validate checks; what is refused goes to
// a DeadLetterWriter with its line and reason, and is counted in the Report of
// its source. Events streams a file this way, in constant memory; ReadTable builds the
// user-item matrix of whole files in memory; Fuse makes the interactions of
// one user from the events of the event store.
package fusion
