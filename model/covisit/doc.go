// Package covisit recommends what others looked at shortly before or after what the user has just looked at: co-visitation counts, as in Davidson et al.,
// RecSys 2010, section 2.1 [davidson2010], with the time between two events taken into account.
//
// Of each user the last events are taken, oldest first. Two items i and j of a user are a pair if events of both are at most window places apart. A pair counts for the user once, by the events that are nearest in time:
//
//	c(i,j) = sum over users of 2^(-gap/half-life)
//	s(i,j) = c(i,j) / (users(i)·users(j))^balance
//
// The k largest s(i,·) of each item are kept. The score of an item is the sum over the history
//
//	score(j) = sum over i of 2^(-newer(i)/memory) · s(i,j)
//
// where newer(i) is the number of items of the history that the user had to do with later than with i. So the answer follows what a user does now, where
// neighbor lists of users × items, which know no time, follow what they have done ever.
//
// Counts are whole numbers of 2^-20, so a model does not depend on the number of workers, bit for bit. It has no data of users: only the lists, 8 bytes an
// entry.
//
// Cost of the training: O(users · events · window) for the pairs, two passes of messages between workers, of about 6 bytes for each pair of items of each
// worker, and some 60 bytes of memory for each pair. Cost of a query: O(history · k).
package covisit
