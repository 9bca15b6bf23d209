// Package page writes the report of a run of a mapping as a page of HTML for those who run the shop: what became of every row, what the rules changed, who
// was found to be one with whom, and whose values count. The page is one file that needs no network and no scripts.
//
// Nothing is computed here that the report does not say: the page of an old report, read back from its JSON, is the same.
package page
