// Package pipeline runs a mapping file: it reads sources through their joins and rules, finds out which keys are one user or one product, settles what
// sources say about them, and hands on events of canonical keys and records of products and profiles, each with its lineage.
//
// A run has four steps: tables that others join, identities, records, events (docs/adr/0015). Results are a function of the sources, the file and, where
// rows have no time of their own, the time of the run.
//
// Memory: tables that others join, the rules of a source, and the rows of one key are bounded by Options.MemoryLimit, each. Without a bound, it grows with
// the distinct keys of users and items of events (for their number), with keys that are linked (identity.LinkConfig bounds them), with accounts that
// are matched and with listings whose titles are compared. The rest is on disk.
package pipeline
