// Package content compares products by what is known of them, their texts, categories and numbers, and recommends what is like the history of a user. It needs no
// events of a product, so it answers for new ones: Lops et al., Recommender Systems Handbook, 2011 [lops2011].
//
// A product is a vector of three parts, each of length √w, w the weight of the part, or absent where nothing is known:
//
//   - text: the words of all attributes that are prose, weighed by tf-idf or BM25 (package text);
//   - categories: the values of text attributes whose values repeat (at most half as many different ones as there are of all), weighed by inverse document frequency;
//   - numbers: each value by the two hat functions around it, between knots at quantiles, so that only near values have a product above zero.
//
// The similarity of two products is the cosine of their vectors:
//
//	s(x, y) = Σ w_p·cos_p(x, y) / √(W(x)·W(y)), W(x) the sum of the weights of the parts that x has,
//
// which is the weighted mean of the cosines of the parts where both have all. The K best of each product are exact: they come from package similarity, with features in the
// place of users. The score of an item is the sum, over the history, of weight times similarity, as that of item-based neighbors [deshpande2004].
package content
