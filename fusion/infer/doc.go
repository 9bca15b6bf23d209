// Package infer proposes a mapping for files that it has not seen before: what kind of rows they have, which column is what, and in which form
// values are. A proposal is YAML to be edited by a person: every line that is a guess says in a comment why, and how sure it is.
//
// It goes by names of columns and files first, and by content where names say nothing, and takes no type or format that does not read
// every value it has seen (the first 100,000 rows), by the code that will read them later. Equal files give equal proposals.
package infer
