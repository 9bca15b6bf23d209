package evaluate

import (
	"math"
	"slices"

	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

// Metrics that look at more than hits. All are taken of the first N items of an answer; those with fewer count as they are.
const (
	// metricAUC is the share of pairs of a relevant and another candidate that the whole answer has in the right order; a pair with neither in the answer
	// counts half. Rendle et al., UAI 2009 [rendle2009].
	metricAUC = "auc"
	// metricDiversity is 1 less the mean cosine over the pairs of items of the answer, that of their sets of users in the training data:
	// |users of both| / sqrt(users of one · users of the other). Answers of one item are left out. Intra-list diversity: Smyth and McClave, ICCBR 2001
	// [smyth2001]; Ziegler et al., WWW 2005 [ziegler2005].
	metricDiversity = "diversity"
	// metricNovelty is the mean over the items of the answer of -log2(p), in bits, where p is the share of the users of the training data who have
	// the item: how surprising it is to see it. Zhou et al., PNAS 107(10), 2010 [zhou2010]; Vargas and Castells, RecSys 2011 [vargas2011].
	metricNovelty = "novelty"
	// metricSerendipity is the number of relevant items in the answer that are not in the answer of popularity to the same query, over N: useful and
	// unexpected. Ge et al., RecSys 2010, section 3 [ge2010], with popularity as the primitive model.
	metricSerendipity = "serendipity"
	// metricCalibration is the divergence of the answer from the history of the user, by classes of items: the sum over classes c of
	// p(c) ln(p(c) / q'(c)), q' = 0.99 q + 0.01 p, where p is the mean over the history of the shares of the classes of an item, and q that over the
	// answer; 0 is best. Users without a history are left out. Steck, RecSys 2018 [steck2018], with all weights 1.
	metricCalibration = "calibration"
	// metricGini is the Gini coefficient of how often each item of the catalog is in an answer: the sum over items, k the place of one by ascending
	// count x, of (2k - n - 1) x / (n · the sum of x). 0 if all are equally often, near 1 if few make up most answers. Fleder and Hosanagar, Management
	// Science 55(5), 2009 [fleder2009].
	metricGini = "gini"
)

// calibrationMix is the share of p in q', which keeps the divergence finite: that of Steck.
const calibrationMix = 0.01

// Shares of the training entries that head and tail have, where classes of items are made by popularity: Abdollahpouri et al., UMAP 2021
// [abdollahpouri2021].
const headShare, tailShare = 0.2, 0.2

// What Result.Calibration says.
const (
	byCategories = "categories"
	byPopularity = "popularity"
)

// beyond computes the metrics beyond hits. It is safe for concurrent use.
type beyond struct {
	columns     *similarity.Rows // items × users of the training data
	root        []float64        // by item: 1 / the root of its number of users
	information []float64        // by item: -log2 of its share of the users
	classes     [][]int32        // by item
	numClasses  int
}

// newBeyond prepares the metrics of a fold. categories may be nil. Cost: O(entries); memory: 8 bytes for each training entry.
func newBeyond(f *fold, categories map[string][]string) *beyond {
	b := &beyond{columns: f.train.Transpose()}
	users := 0
	for u := range f.train.NumUsers() {
		if f.train.Start[u+1] > f.train.Start[u] {
			users++
		}
	}
	counts := popularity.Counts(f.train)
	for _, n := range counts {
		b.root = append(b.root, 1/math.Sqrt(float64(n)))
		b.information = append(b.information, math.Log2(float64(users)/float64(n)))
	}
	if categories != nil {
		b.classify(f.items, categories)
	} else {
		b.classifyByPopularity(counts)
	}
	return b
}

// classify numbers the categories. Items without one have a class of their own.
func (b *beyond) classify(items []string, categories map[string][]string) {
	number := map[string]int32{}
	for _, key := range items {
		names := slices.Clone(categories[key])
		if len(names) == 0 {
			names = []string{""}
		}
		slices.Sort(names)
		var classes []int32
		for _, name := range slices.Compact(names) {
			n, ok := number[name]
			if !ok {
				n = int32(len(number))
				number[name] = n
			}
			classes = append(classes, n)
		}
		b.classes = append(b.classes, classes)
	}
	b.numClasses = len(number)
}

// classifyByPopularity makes three classes: head, the most popular items that begin within the first headShare of all entries; tail, those
// that lie within the last tailShare; and the others. counts descend.
func (b *beyond) classifyByPopularity(counts []int64) {
	var all, before int64
	for _, n := range counts {
		all += n
	}
	for _, n := range counts {
		class := []int32{1}
		switch {
		case float64(before) < headShare*float64(all):
			class = []int32{0}
		case float64(before) >= (1-tailShare)*float64(all):
			class = []int32{2}
		}
		b.classes = append(b.classes, class)
		before += n
	}
	b.numClasses = 3
}

// pairSums adds up the similarities of pairs. It is for one goroutine.
type pairSums struct {
	by      []float64 // by user: the sum over the items so far that the user has, of 1/root of their users
	touched []uint32
}

func (b *beyond) newPairs() *pairSums { return &pairSums{by: make([]float64, b.columns.NumItems)} }

// add takes an item in, and returns the sum of its similarities to those before. Cost: O(users of the item).
func (p *pairSums) add(b *beyond, item uint32) (sum float64) {
	users, _ := itemsOf(b.columns, int(item))
	for _, u := range users {
		if p.by[u] == 0 {
			p.touched = append(p.touched, u)
		}
		sum += p.by[u]
		p.by[u] += b.root[item]
	}
	return sum * b.root[item]
}

func (p *pairSums) reset() {
	for _, u := range p.touched {
		p.by[u] = 0
	}
	p.touched = p.touched[:0]
}

// list is the metrics of one answer at one N. Those that say nothing are NaN.
type list struct{ diversity, novelty, serendipity, calibration float64 }

// lists returns the metrics of an answer at each of ns, ascending. expected tells whether an item would be in the answer of popularity at N.
// Cost: O(N + the users of the items).
func (b *beyond) lists(answer, relevant, history []uint32, ns []int, expected func(item uint32, n int) bool, p *pairSums) []list {
	defer p.reset()
	out := make([]list, len(ns))
	taste, shown := b.shares(history), make([]float64, b.numClasses)
	var similar, novelty float64
	length := 0
	for i, n := range ns {
		for length < min(n, len(answer)) {
			item := answer[length]
			similar += p.add(b, item)
			novelty += b.information[item]
			b.addClasses(shown, item)
			length++
		}
		hits := 0
		for _, item := range answer[:length] {
			if _, found := slices.BinarySearch(relevant, item); found && !expected(item, n) {
				hits++
			}
		}
		l := list{math.NaN(), math.NaN(), float64(hits) / float64(n), math.NaN()}
		if length > 0 {
			l.novelty = novelty / float64(length)
			if taste != nil {
				l.calibration = divergence(taste, shown, float64(length))
			}
		}
		if length > 1 {
			l.diversity = 1 - similar/(float64(length)*float64(length-1)/2)
		}
		out[i] = l
	}
	return out
}

// addClasses adds the shares of the classes of an item, which are 1 together.
func (b *beyond) addClasses(sums []float64, item uint32) {
	classes := b.classes[item]
	for _, c := range classes {
		sums[c] += 1 / float64(len(classes))
	}
}

// shares returns the mean shares of the classes of items, nil of none.
func (b *beyond) shares(items []uint32) []float64 {
	if len(items) == 0 {
		return nil
	}
	sums := make([]float64, b.numClasses)
	for _, item := range items {
		b.addClasses(sums, item)
	}
	for c := range sums {
		sums[c] /= float64(len(items))
	}
	return sums
}

// divergence is that of metricCalibration. The classes of q add up to total.
func divergence(p, q []float64, total float64) (sum float64) {
	for c, x := range p {
		if x > 0 {
			sum += x * math.Log(x/((1-calibrationMix)*q[c]/total+calibrationMix*x))
		}
	}
	return max(0, sum) // rounding
}

// gini is that of metricGini. It sorts counts. NaN if all are 0.
func gini(counts []int64) float64 {
	slices.Sort(counts)
	var weighted, all float64
	n := float64(len(counts))
	for k, x := range counts {
		weighted += (2*float64(k+1) - n - 1) * float64(x)
		all += float64(x)
	}
	return weighted / (n * all)
}

// auc is that of metricAUC. ranks are those of the relevant items in an answer of a length, of so many candidates, of which so many are
// relevant; relevant counts also those that are no candidates. NaN if all candidates are relevant.
func auc(ranks []int, length, candidates, relevantCandidates, relevant int) float64 {
	others := candidates - relevantCandidates
	if others == 0 {
		return math.NaN()
	}
	listed := length - len(ranks) // others in the answer
	missing := float64(others - listed)
	right := float64(relevantCandidates-len(ranks)) * missing / 2
	for before, rank := range ranks {
		right += float64(listed-(rank-1-before)) + missing
	}
	return right / (float64(others) * float64(relevant))
}
