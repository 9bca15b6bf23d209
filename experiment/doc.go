// Package experiment has what tests between variants of an answer need beside the answers: who gets which variant, ids of answers by which
// impressions and clicks are counted without a lookup, the counts of what became of the answers, and inference from them that holds whenever one
// looks.
//
// All of it is pure: no clock, no network, no random source. Equal input gives equal results on every node.
package experiment
