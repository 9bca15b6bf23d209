// Package cluster groups users, items or orders by k-means, says what sets each group apart, and recommends what is liked in the group of a history.
//
// KMeans is the algorithm alone, for vectors in memory. Kind is the model: the vectors of what is grouped come from the matrix of interactions by a
// truncated singular value decomposition, made by all workers together (see Kind), and every pass of the algorithm is one step over them.
//
// The sum of squared distances of n vectors x to the nearest of k centers c,
//
//	loss = Σ_x min_c |x - c|²
//
// is made small by k-means|| for the first centers (Bahmani et al., PVLDB 5(7), 2012 [bahmani2012]) and the passes of Lloyd (IEEE Trans. Inf. Theory
// 28(2), 1982 [lloyd1982]): each vector goes to its nearest center, each center to the mean of its vectors. The bounds of Hamerly (SDM 2010 [hamerly2010]) leave
// out distances that cannot change an assignment; the result is that of plain passes. Mini-batches (Sculley, WWW 2010 [sculley2010]) look at a sample in each pass
// instead.
package cluster
