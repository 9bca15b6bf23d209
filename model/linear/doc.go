// Package linear has what models share whose score of an item is linear in the history: score_j = Σ w_i·B_ij over the items i of the
// history, w_i their weights and B a matrix of items × items.
//
// Kinds that make such a matrix are ease, slim and rp3beta. Here are the file of B and the Model that answers from it, and the parts of their
// training that are alike: counting items, dividing them among the workers, the Gram matrix of the data, and
// neighbor lists.
//
// The Gram matrix G = XᵀX is formed by the owners of its rows, each from the rows of all users. The sum of a pair of items runs in ascending order of users
// whoever forms it, so that G has the same bits for any number of workers and threads, also where weights have fractions; what is sent is a byte or two for each
// entry of X, where partial sums of all pairs would be 8 bytes for each pair of items and worker.
package linear
