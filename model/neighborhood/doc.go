// Package neighborhood recommends from neighbor lists: item-based and user-based collaborative filtering, their hybrid,
// and the prediction of ratings.
//
// For top-N it has two layers. Scores adds up what neighbors say, and is all that a node of the cluster needs for its
// part of a query. ItemKNN, UserKNN and HybridKNN do whole queries with it on a matrix in memory; the offline
// evaluation runs them. Both come to the same bits, because a score is a sum of fixed-point integers: it depends on
// neither the order nor the grouping of the additions.
//
// Rating predicts explicit ratings by k nearest neighbors around a center: none, means, or baselines.
package neighborhood
