package similarity

// columnWriter writes entries of users that ascend into columns. In matrices of many items each entry would go to another place in memory. So the entries of some users are first
// put in order of buckets, which are items with about as many entries as fit into the second-level cache, and then written bucket by bucket: radix partitioning, as joins of databases do (Manegold, Boncz, Kersten,
// "Optimizing main-memory join on modern hardware", 2002).
type columnWriter struct {
	next    []int64 // of each item, where its next entry goes
	users   []uint32
	weights []float32 // nil for ones

	only   []uint64 // bits of the items whose entries are written, as they come; nil for all
	bucket []uint16 // of each group of items; nil if entries are written as they come
	most   int64    // entries that are put in order at a time; but all of a user are
	from   []uint32 // of each bucket, where its next entry goes among those held
	held   []columnEntry
}

type columnEntry struct {
	item, user uint32
	weight     float32
}

const (
	// bucketEntries is about how many entries a bucket has.
	bucketEntries = 1 << 15
	maxBuckets    = 1 << 10
	// bucketShift is the logarithm of the items of a group, which are in one bucket, so that the table of buckets is in the cache too.
	bucketShift = 4
	// heldEntries is how many entries all threads put in order at a time, 12 bytes each. The more there are the more of a bucket come to the same lines of the cache.
	heldEntries = 1 << 22
	// Columns of fewItems have places that fit into the second-level cache, and up to fewEntries are written faster as they come.
	fewItems, fewEntries = 1 << 15, 1 << 22
)

// columnBuckets returns the bucket of each group of items of columns that begin at start, nil if there are so few entries that order saves nothing.
func columnBuckets(start []int64) []uint16 {
	items := len(start) - 1
	total := start[items] - start[0]
	n := min(total/bucketEntries, maxBuckets)
	if n < 8 || items <= fewItems && total <= fewEntries {
		return nil
	}
	buckets := make([]uint16, items>>bucketShift+1)
	for b := range buckets {
		buckets[b] = uint16((start[b<<bucketShift] - start[0]) * n / (total + 1))
	}
	return buckets
}

// write writes the entries of the users [lo, hi) of r, which are numbered from first on.
func (w *columnWriter) write(r *Rows, lo, hi int, first uint32) {
	for lo < hi {
		if w.bucket == nil {
			w.put(r, lo, hi, first)
			return
		}
		end := lo + 1
		for end < hi && r.Start[end+1]-r.Start[lo] <= w.most {
			end++
		}
		w.order(r, lo, end, first)
		w.putHeld()
		lo, first = end, first+uint32(end-lo)
	}
}

// put writes entries as they come.
func (w *columnWriter) put(r *Rows, lo, hi int, first uint32) {
	for u := lo; u < hi; u++ {
		items, weights := r.row(u)
		user := first + uint32(u-lo)
		for k, i := range items {
			if w.only != nil && !isSet(w.only, i) {
				continue
			}
			q := &w.next[i]
			w.users[*q] = user
			if w.weights != nil {
				w.weights[*q] = weightAt(weights, k)
			}
			*q++
		}
	}
}

// order holds the entries of users in order of buckets.
func (w *columnWriter) order(r *Rows, lo, hi int, first uint32) {
	entries := r.Item[r.Start[lo]:r.Start[hi]]
	if w.from == nil {
		w.from = make([]uint32, maxBuckets+1)
	}
	clear(w.from)
	for _, i := range entries {
		w.from[w.bucket[i>>bucketShift]+1]++
	}
	for b := range maxBuckets {
		w.from[b+1] += w.from[b]
	}
	w.held = atLeast(w.held, len(entries))
	for u := lo; u < hi; u++ {
		items, weights := r.row(u)
		user := first + uint32(u-lo)
		for k, i := range items {
			q := &w.from[w.bucket[i>>bucketShift]]
			w.held[*q] = columnEntry{i, user, weightAt(weights, k)}
			*q++
		}
	}
}

// putHeld writes the entries that are held.
func (w *columnWriter) putHeld() {
	for _, e := range w.held {
		q := &w.next[e.item]
		w.users[*q] = e.user
		if w.weights != nil {
			w.weights[*q] = e.weight
		}
		*q++
	}
}
