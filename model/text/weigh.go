package text

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/similarity"
)

// Weighting says what a term counts in a document.
type Weighting uint8

// In the formulas N is the number of documents, df that of those with the term, tf how often the term is in the document, l the length of the
// document in tokens over the mean length.
const (
	// TFIDF is (1+ln tf)·(1+ln((1+N)/(1+df))): logarithmic counts as in Manning et al., section 6.4.1 [manning2008]; with 1 added so that a term of all documents is not
	// without weight, as TfidfTransformer in scikit-learn has it with smooth_idf and sublinear_tf.
	TFIDF Weighting = iota
	// BM25 is idf·tf(K1+1)/(tf+K1(1-B+B·l)), idf = ln(1+(N-df+½)/(df+½)), K1=1.2, B=0.75: Robertson and Zaragoza, section 3 [robertson2009], with the idf of Lucene, which
	// is never negative.
	BM25
)

// Constants of BM25.
const (
	k1 = 1.2
	b  = 0.75
)

// IDF returns the part of the weight that depends on the term alone.
func (w Weighting) IDF(n, df int) float64 {
	if w == BM25 {
		return math.Log(1 + (float64(n-df)+0.5)/(float64(df)+0.5))
	}
	return 1 + math.Log(float64(1+n)/float64(1+df))
}

// TF returns the part of the weight that depends on the document: tf is at least 1, length the tokens of the document over the mean.
func (w Weighting) TF(tf int, length float64) float64 {
	if w == BM25 {
		return float64(tf) * (k1 + 1) / (float64(tf) + k1*(1-b+b*length))
	}
	return 1 + math.Log(float64(tf))
}

// Model is the terms of a set of documents.
type Model struct {
	Weighting Weighting
	// Terms are in order of falling number of documents, then ascending.
	Terms []string
	// IDF goes with Terms.
	IDF []float64
	// MeanLength is the mean number of tokens of a document, at least 1.
	MeanLength float64
	ids        map[string]uint32
}

// Fit counts the terms of documents, given by their tokens. Terms of fewer than minDocuments are left out (one of a single document says nothing of another), and those of more
// than maxShare of all, 0 to 1: they say little, and cost most. Cost: O(tokens + terms · log terms).
func Fit(documents [][]string, w Weighting, minDocuments int, maxShare float64) *Model {
	df, last := map[string]int{}, map[string]int{}
	tokens := 0
	for d, doc := range documents {
		tokens += len(doc)
		for _, term := range doc {
			if last[term] != d+1 {
				last[term] = d + 1
				df[term]++
			}
		}
	}
	m := &Model{Weighting: w, MeanLength: max(1, float64(tokens)/float64(max(1, len(documents))))}
	most := maxShare * float64(len(documents))
	for term, n := range df {
		if n >= minDocuments && float64(n) <= most {
			m.Terms = append(m.Terms, term)
		}
	}
	slices.SortFunc(m.Terms, func(a, b string) int { return cmp.Or(cmp.Compare(df[b], df[a]), cmp.Compare(a, b)) })
	for _, term := range m.Terms {
		m.IDF = append(m.IDF, w.IDF(len(documents), df[term]))
	}
	m.index()
	return m
}

func (m *Model) index() {
	m.ids = make(map[string]uint32, len(m.Terms))
	for i, term := range m.Terms {
		m.ids[term] = uint32(i)
	}
}

// Vector returns the weights of a document: terms ascending, those that m does not know left out. The document need not be one that m was made of.
func (m *Model) Vector(tokens []string) (terms []uint32, weights []float32) {
	for _, t := range tokens {
		if id, ok := m.ids[t]; ok {
			terms = append(terms, id)
		}
	}
	slices.Sort(terms)
	length := float64(len(tokens)) / m.MeanLength
	kept := terms[:0]
	for i := 0; i < len(terms); {
		n := i
		for n < len(terms) && terms[n] == terms[i] {
			n++
		}
		id := terms[i]
		weights = append(weights, float32(m.IDF[id]*m.Weighting.TF(n-i, length)))
		kept = append(kept, id)
		i = n
	}
	return kept, weights
}

// Matrix returns the vectors of documents as documents × terms.
func (m *Model) Matrix(documents [][]string) *similarity.Rows {
	r := &similarity.Rows{NumItems: len(m.Terms), Start: make([]int64, 1, len(documents)+1), Weight: []float32{}}
	for _, doc := range documents {
		terms, weights := m.Vector(doc)
		r.Item, r.Weight = append(r.Item, terms...), append(r.Weight, weights...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r
}

// ParseWeighting returns the weighting of a name, tf-idf or bm25.
func ParseWeighting(name string) (Weighting, error) {
	if i := slices.Index(Weightings, name); i >= 0 {
		return Weighting(i), nil
	}
	return 0, fmt.Errorf("unknown weighting %q, want one of %q", name, Weightings)
}

// Weightings are the names of all weightings, by number.
var Weightings = []string{"tf-idf", "bm25"}
