// Package page writes what an evaluation has found as a page of HTML that needs nothing beside it: a ranked table with intervals and significance, plots, and what
// tuning has tried. It holds figures and names of models, no data of users.
package page
