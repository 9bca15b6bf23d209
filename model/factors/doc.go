// Package factors describes users and items by vectors of factors, whose product says how much the user wants the item: ALS and BPR for top-N from
// implicit feedback, and MF and SVDPP for ratings, which are kinds of package train; MFSGD and SVDPPSGD, also for ratings, are for evaluations alone. docs/models/factors.md says when to use which,
// and what they reach.
//
// The kinds keep no factors of users. They fold in the history of a query with the factors of the items as they are, so that an answer has the newest event in it, and
// there is nothing of a user to erase.
package factors
