package neural

import "math"

// Sigmoid returns 1/(1+e⁻ˣ).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// BinaryCrossEntropy returns the sum of -log σ(x) over the logits x that are labeled 1 and of -log(1-σ(x)) over the others, and replaces each logit by its gradient.
// positive has one entry for each logit.
func BinaryCrossEntropy[T Float](logits []T, positive []bool) (loss float64) {
	for i, x := range logits {
		z := float64(x)
		p := Sigmoid(z)
		// log(1+eᶻ) without overflow
		loss += max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
		if positive[i] {
			loss -= z
			p--
		}
		logits[i] = T(p)
	}
	return loss
}

// CrossEntropy returns the sum of -log softmax(row)[target] over the rows of logits, and replaces each logit by its gradient. A logit of -Inf has no
// part in it; that of a target must be finite.
func CrossEntropy[T Float](logits Matrix[T], target []int) (loss float64) {
	for i := range logits.Rows {
		row := logits.Row(i)
		own := float64(row[target[i]])
		loss += softmax(row) - own
		row[target[i]]--
	}
	return loss
}

// softmax replaces x by eˣ over the sum of all, and returns the logarithm of that sum. At least one x is above -Inf.
func softmax[T Float](x []T) (logSum float64) {
	most := x[0]
	for _, z := range x {
		most = max(most, z)
	}
	var sum float64
	for j, z := range x {
		e := math.Exp(float64(z - most))
		sum += e
		x[j] = T(e)
	}
	for j := range x {
		x[j] = T(float64(x[j]) / sum)
	}
	return math.Log(sum) + float64(most)
}
