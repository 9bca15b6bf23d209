// Package evaluate measures how well models predict what was held back from them.
//
// An Experiment divides a table of interactions into training and test data, once or in folds; makes each model from the training
// data alone; and compares what it says with the test data:
//
//   - Models for top-N answer a query for every user with test items. The answer ranks all items of the training data but those
//     that the user has in it; no candidates are sampled unless Experiment.Negatives says so, which changes the order of models (Krichene and
//     Rendle, KDD 2020 [krichene2020]). See Ranking for the metrics of hits; those beyond hits are diversity, novelty, serendipity, calibration, coverage and
//     Gini.
//   - Models of ratings predict every entry of the test data. The metrics are "rmse", the root of the mean squared error, and "mae",
//     the mean absolute error, both over entries (Herlocker et al., ACM TOIS 22(1), 2004, section 5.1 [herlocker2004]).
//
// Models see the data as the served system does: users and items have dense ids, those of items by descending number of users in the
// training data, ties by key. So equal scores rank here as they do there, and what a model cannot tell is filled from popularity.
//
// # What is left out
//
// Top-N metrics are means over the users with relevant test items; the others are left out and counted (FoldCounts). Users
// without training data stay in: they get what the served system gives a stranger. An item without training data can be in no
// answer, yet counts as relevant, so that a model is charged for what it cannot know.
//
// # Intervals
//
// Every figure has a 95% confidence interval. With one fold it covers the choice of the users: the mean over users, plus and minus
// the quantile of Student's t times its standard error; for errors of ratings, whose mean is over entries, the standard error of a
// ratio with the users as clusters, because the errors of one user are not independent (Cochran, Sampling Techniques, 1977,
// section 6.4 [cochran1977]). With several folds it is the interval of the mean over the folds; as folds share training data, it is
// somewhat too narrow (Bengio and Grandvalet, JMLR 5, 2004 [bengio2004]). Catalog coverage and Gini are no means: with one fold, low and high
// are the figure itself. Experiment.Interval may ask for a bootstrap over users instead.
//
// # Comparison, tuning, choice
//
// Models are compared on the same users by a randomization test (Comparison); Choose takes one by a result. Tuning looks for parameters on validation data, a
// part of the training data, so that the test data have no part in what is chosen; on several divisions of them, if wanted. A Bench makes the trials of a tuning, here or, by way of a
// Maker, elsewhere.
//
// Equal data, settings and seed give equal results, with any number of threads.
package evaluate
