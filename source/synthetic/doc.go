// Package synthetic generates the data of a shop that does not exist, with a
// known structure: catalog, customers, behavior log, orders, and the truth
// about all of it, so that models can be checked against what was planted.
// DrawMatrix makes matrices without such a structure, for measuring speed.
//
// # What is planted
//
// The item of popularity rank r, from 1, has the popularity (r+Head)^-Zipf.
// Items belong to taste clusters of equal size and similar popularity. Every item has a
// style (0 to 7), which is the same for all items of a brand. A user has a
// taste: one to three clusters with weights, and two favorite styles. A
// session is about one cluster k, drawn by the user's weights times the season of the
// cluster; each item in it is drawn with
//
//	P(i | u, k) ∝ popularity(i) × (1 if style(i) is a favorite of u, else ¼)
//
// or, with probability Explore, by popularity alone. Items that have not
// appeared yet are drawn again. Sessions are walks of a Markov chain over
// view, search, cart, purchase and exit (Funnel). Who puts the antecedent of a rule into the cart
// adds the consequent with the probability of the rule. Fraudulent users follow patterns of
// their own.
//
// Config.Planted adds identities that sources do not agree on: second accounts, cookies and devices of one or of several users, products that
// a supplier has under other numbers and titles, and attributes of which one source is right.
//
// # Constant memory in time order
//
// The log of a shop is in the order of time, so users cannot be generated one
// after the other, and neither a table of users nor the events may be held in
// memory. Five things make this work:
//
//   - Everything about a user is a function of the seed and the user's number
//     and is computed anew whenever it is needed.
//   - Users are drawn in proportion to a log-normal activity without a table.
//     The activity of the user of rank r among n is the quantile
//     exp(σ Φ⁻¹((r+½)/n)). A log-normal law weighted by its own value is again
//     log-normal, shifted by σ². So with z ~ N(σ, 1), rank ⌊n Φ(z)⌋ has the
//     right distribution. A keyed permutation turns ranks into user numbers; it
//     can be inverted, so the activity of any user is known too.
//   - Session starts come in ascending order: with S sessions to come,
//     the next is the smallest of S uniform draws on what is left of the
//     window, which needs one random number. S follows from the
//     events still to be made, so their number is met exactly. The window's
//     clock runs by season: uniform draws pass through the inverse of the
//     cumulative demand, a table of one number an hour.
//   - Open sessions wait in a heap, and their events leave it in the order of
//     time. By Little's law about rate × duration of them are open. Should the
//     rate of a huge shop push this over a bound, pauses and the delays of
//     cancellations are shortened to stay about there.
//   - Order lines and cancellations are actions of the same session, so nothing
//     needs to be looked up when they are due.
//
// Memory is O(items + clusters + hours of the window).
//
// # Equal configurations, equal bytes
//
// On any machine: the random numbers are our own (SplitMix64), not those of a
// Go release, and so are exp, log and cos, which differ between architectures in package math.
// Products that are added to something are rounded by an explicit conversion first, which keeps
// compilers from fusing the two.
package synthetic
