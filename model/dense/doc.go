// Package dense finds the nearest of vectors that come from outside: embeddings of texts, pictures, sounds, or factors of a model.
//
// Vectors finds them exactly, by products of whole tiles of the matrix, and is right for up to some hundred thousand vectors at query time, or millions over night. Index finds
// most of them with a small part of the work, by a graph (HNSW): Malkov and Yashunin, IEEE TPAMI 42(4), 2020 [malkov2020].
//
// The three measures are one inside: key(q, x) = q·x - b(x) orders as the measure does, with rows made of length 1 and b = 0 for the cosine, and b = |x|²/2 for the Euclidean
// distance. For the product rows get one more coordinate that makes all as long as the longest, so that what is near is near both ways, as the graph needs it:
// Bachrach et al., RecSys 2014 [bachrach2014].
//
// Rows are padded to a multiple of eight numbers: the kernels sum in an order that depends on the alignment, and so it is always the same. Every ranking is by
// score descending, then id ascending, of scores summed in float64 and rounded to float32.
package dense
