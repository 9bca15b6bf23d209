// Package markov predicts what comes next: the next behavior of a session, and the next item.
//
// # Sessions
//
// The events of a user are divided into sessions: by basket, by pauses longer than gap minutes, or not at all (setting session). A session is two sequences: its
// behaviors, between a start and an end, and its items, of which one that follows itself is counted once. Of a matrix without events, each user is one session, in the order of times;
// items of one time, or of unknown ones, are in no order, and nothing is counted between them.
//
// # Chains of several orders
//
// After the symbols h = h1 … hm, the last of the session (m up to order), the next is x with
//
//	P(x | h1…hm) = ( c(h1…hm x) + T(h1…hm) · P(x | h2…hm) ) / ( c(h1…hm) + T(h1…hm) )
//
// where c counts, and T is the number of different symbols that were seen after h1…hm: interpolated Witten-Bell smoothing (Witten and Bell, IEEE Trans. Inf. Theory 37(4), 1991,
// method C [witten1991]; in this form Chen and Goodman, Computer Speech and Language 13(4), 1999, section 2.4 [chen1999]). What was followed by
// many things is trusted less than what was followed by one. Where h1…hm was never seen, P(x | h2…hm) stands; at the bottom is the uniform distribution. All P(· | h) sum to 1.
//
// Answers are by a mixture over the last recent items, the j-th before the end with weight decay^j (a mixture transition model: Raftery, J. R. Stat. Soc. B 47(3), 1985
// [raftery1985]); recent=1 is the plain chain.
//
// # The chain of behaviors
//
// Chain is the plain first-order chain of behaviors, with relative frequencies: probabilities of paths, n steps ahead by a power of its matrix, and, with
// states where it stops, the chance to come to each and the expected number of steps, by the fundamental matrix N = (I − Q)⁻¹ of what is left when the stopping states
// are taken out (Kemeny and Snell, Finite Markov Chains, 1960, chapter III [kemeny1960]).
//
// All that is learned is counts, whole numbers: the model is the same, bit for bit, with any number of workers.
package markov
