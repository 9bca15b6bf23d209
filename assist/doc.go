// Package assist asks models behind an OpenAI-compatible endpoint: for embeddings of texts, and, as an option, for what a large model can add to a shop: attributes that products lack, explanations in
// plain words, names of clusters.
//
// Nothing of kith needs it. Each use has an answer without a model (a template, an attribute left out), which is taken whenever the model is not set up, fails, is over its budget, or says something that does not
// pass the check of that use. Texts of products are data that anybody may have written: they are given to a model as JSON, and no check trusts that the model was not talked into something. What passes
// is built of allowed values, or of the facts that were given.
//
// Answers are kept in files under a hash of the question, so that the same question is paid for once, and bounded by a budget of requests and tokens.
package assist
