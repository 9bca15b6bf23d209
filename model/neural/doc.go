// Package neural holds what the neural models of kith are made of: layers with a forward and a backward pass, losses, optimizers, training over shards of users, and
// the form of their files. The models themselves are packages ncf, nais and sasrec.
//
// Layers are written once for float32, which is trained and served, and float64, in which tests compare every backward pass with differences of the forward pass. Matrices are
// row-major; products of matrices are those of gonum. A layer keeps what its backward pass needs until the next forward pass, so a network belongs to one goroutine; several
// networks share the values of parameters and have gradients of their own.
package neural
