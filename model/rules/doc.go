// Package rules finds what goes together: sets of items that are often in one transaction, and rules such as "who buys a and b buys c".
//
// # What it learns
//
// A transaction is the set of the items of one basket, or of one user (setting per), of one behavior (setting behavior). An itemset is frequent if at
// least min-support transactions have all of it. A frequent set {a, b, c} gives the rules {a, b} → c, {a, c} → b and {b, c} → a; they have one item on the right, as those of Agrawal,
// Imieliński and Swami, SIGMOD 1993 [agrawal1993]. With n transactions, and n(X) of them with all of X, the rule A → c has
//
//	support    = n(A ∪ c) / n
//	confidence = n(A ∪ c) / n(A)                            how often c is there where A is
//	lift       = confidence / (n(c) / n)                    1 where A says nothing about c
//	leverage   = n(A ∪ c)/n − n(A)/n · n(c)/n               0 where A says nothing about c (Piatetsky-Shapiro 1991 [piatetsky1991])
//	conviction = (1 − n(c)/n) / (1 − confidence)            infinite where c is always there (Brin et al. 1997 [brin1997])
//
// With the setting from, antecedents are of another behavior than consequents: "who views a and b buys c". An item then counts as two, one of each
// behavior, and a set has at most one that was bought; an item is not on both sides.
//
// # How
//
// Frequent sets are found by FP-growth (Han, Pei and Yin, SIGMOD 2000 [han2000]): transactions become paths of a prefix tree, most frequent items first, and sets grow by
// one item at a time on the tree of those paths that end in the set. Over several workers it is parallel FP-growth (Li et al., RecSys 2008 [li2008]): items are
// dealt to groups, one for each worker; of each transaction a worker gets the part up to the last item of its group, which is all that the sets ending in that group need.
// Counts are whole numbers, and sets of different groups are different: the model is the same, bit for bit, with any number of workers and threads.
//
// The number of sets may be exponential in the length of transactions. It is bounded by max-itemsets, beyond which training ends with an error that says what to change; sets
// cut off at random would give rules that depend on the order of the work.
package rules
