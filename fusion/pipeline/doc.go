// Package pipeline runs a mapping file: it reads sources through their joins and rules, finds out which keys are one user or one product, settles what
// sources say about them, and hands on events of canonical keys and records of products and profiles, each with its lineage.
//
// A run has four steps: tables that others join, identities, records, events (docs/adr/0015). Results are a function of the sources, the file and, where
// rows have no time of their own, the time of the run. What is held in memory is named by the types of this package; the rest is on disk.
package pipeline
