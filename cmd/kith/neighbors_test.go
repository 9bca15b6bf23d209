package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/datatest"
)

// neighborRow is a row of the output.
type neighborRow struct {
	Item, Neighbor string
	Rank           int
	Score          float32
}

func readCSV(t *testing.T, path string) []neighborRow {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"neighbor", "rank", "score"}, rows[0][1:]); d != "" {
		t.Fatal(d)
	}
	var out []neighborRow
	for _, r := range rows[1:] {
		rank, rankErr := strconv.Atoi(r[2])
		score, scoreErr := strconv.ParseFloat(r[3], 32)
		if rankErr != nil || scoreErr != nil {
			t.Fatalf("row %q: %v, %v", r, rankErr, scoreErr)
		}
		out = append(out, neighborRow{r[0], r[1], rank, float32(score)})
	}
	return out
}

func readJSONL(t *testing.T, path string) []neighborRow {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []neighborRow
	for line := range bytes.Lines(b) {
		var r neighborRow
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, r)
	}
	return out
}

func readParquet(t *testing.T, path string) []neighborRow {
	t.Helper()
	rows, err := parquet.ReadFile[itemRow](path)
	if err != nil {
		t.Fatal(err)
	}
	var out []neighborRow
	for _, r := range rows {
		out = append(out, neighborRow{r.Item, r.Neighbor, int(r.Rank), r.Score})
	}
	return out
}

// ratings is a matrix of users and items.
type ratings map[string]map[string]float64

// randomRatings has a Zipf-like popularity, so that some pairs have many common users and some have none.
func randomRatings(rng *rand.Rand, users, items int) ratings {
	r := ratings{}
	for u := range users {
		row := map[string]float64{}
		for range 1 + rng.IntN(12) {
			row[fmt.Sprintf("i%d", int(float64(items)*math.Pow(rng.Float64(), 2)))] = float64(1 + rng.IntN(5))
		}
		r[fmt.Sprintf("u%d", u)] = row
	}
	return r
}

func (r ratings) csv() string {
	var b strings.Builder
	b.WriteString("user,item,weight\n")
	for u, row := range r {
		for i, w := range row {
			fmt.Fprintf(&b, "%s,%s,%g\n", u, i, w)
		}
	}
	return b.String()
}

// bruteForce returns the scores of all pairs of items with enough common users, by item and neighbor, in float64.
func (r ratings) bruteForce(measure string, shrinkage float64, support int) map[string]map[string]float64 {
	type sums struct{ dot, n, x, y, xx, yy, swing float64 } // over the common users
	length, total := map[string]float64{}, 0.0
	for _, row := range r {
		for i, w := range row {
			length[i] += w
			total += w
		}
	}
	keys := slices.Sorted(maps.Keys(length))
	id := map[string]int{}
	pairs := make([][]sums, len(keys))
	for i, key := range keys {
		id[key], pairs[i] = i, make([]sums, len(keys))
	}
	items := float64(len(keys))
	for _, row := range r {
		mean := 0.0
		for _, w := range row {
			mean += w / float64(len(row))
		}
		idf := math.Log(items / (1 + float64(len(row))))
		type entry struct {
			item   int
			weight float64
		}
		var entries []entry
		for i, w := range row {
			switch measure {
			case "adjusted-cosine":
				w -= mean
			case "tf-idf":
				w = math.Sqrt(w) * idf
			case "bm25":
				w *= 2.2 / (w + 1.2*(0.25+0.75*length[i]*items/total)) * idf
			}
			entries = append(entries, entry{id[i], w})
		}
		for _, x := range entries {
			for _, y := range entries {
				p := &pairs[x.item][y.item]
				p.dot += x.weight * y.weight
				p.n++
				p.x, p.y = p.x+x.weight, p.y+y.weight
				p.xx, p.yy = p.xx+x.weight*x.weight, p.yy+y.weight*y.weight
			}
		}
	}
	if measure == "swing" {
		r.bruteSwing(id, func(x, y int, s float64) { pairs[x][y].swing += s })
	}
	out := map[string]map[string]float64{}
	users := float64(len(r))
	for i, x := range keys {
		out[x] = map[string]float64{}
		for j, y := range keys {
			p := pairs[i][j]
			if i == j || p.n == 0 || p.n < float64(support) {
				continue
			}
			a, b, xx, yy := pairs[i][i].n, pairs[j][j].n, pairs[i][i].dot, pairs[j][j].dot
			score := 0.0
			switch measure {
			case "jaccard":
				score = p.n / (a + b - p.n)
			case "dice":
				score = p.n / ((a + b) / 2)
			case "conditional-probability":
				score = p.n / a
			case "lift":
				score = (p.n / users) / (a / users * b / users)
			case "log-likelihood":
				h := func(x ...float64) (h float64) { // entropy times the sum
					var sum float64
					for _, n := range x {
						sum += n
						if n > 0 {
							h -= n * math.Log(n)
						}
					}
					return h + sum*math.Log(sum)
				}
				score = 2 * (h(a, users-a) + h(b, users-b) - h(p.n, a-p.n, b-p.n, users-a-b+p.n))
				if p.n < a*b/users {
					score = -score
				}
			case "bm25":
				score = p.dot
			case "swing":
				score = p.swing + pairs[j][i].swing
			case "pearson":
				vx, vy := p.xx-p.x*p.x/p.n, p.yy-p.y*p.y/p.n
				if vx > 1e-9 && vy > 1e-9 {
					score = (p.dot - p.x*p.y/p.n) / math.Sqrt(vx*vy)
				}
			default: // asymmetric-cosine with its default is a cosine too
				if norms := xx * yy; norms > 1e-18 { // rounding of a row of equal ratings
					score = p.dot / math.Sqrt(norms)
				}
			}
			out[x][y] = score * p.n / (p.n + shrinkage)
		}
	}
	return out
}

// bruteSwing calls add for all pairs of users and pairs of their common items, which are numbered by id: once for each, in one order or the other.
func (r ratings) bruteSwing(id map[string]int, add func(x, y int, s float64)) {
	var rows [][]int
	for _, row := range r {
		var items []int
		for i := range row {
			items = append(items, id[i])
		}
		rows = append(rows, items)
	}
	has, both := make([]bool, len(id)), make([]int, 0, len(id))
	for n, u := range rows {
		for _, i := range u {
			has[i] = true
		}
		for _, v := range rows[:n] {
			both = both[:0]
			for _, i := range v {
				if has[i] {
					both = append(both, i)
				}
			}
			s := 1 / math.Sqrt(float64(len(u)*len(v))) / float64(1+len(both))
			for k, x := range both {
				for _, y := range both[:k] {
					add(x, y, s)
				}
			}
		}
		clear(has)
	}
}

// checkTolerance is that of scores, relative to the largest if that is above 1: sums of up to a thousand products in
// float32, and their rounding.
const checkTolerance = 1e-5

// checkLists compares lists with the scores of all pairs: every score is right, ranks ascend by falling score, and no pair
// that is left out scores above the last one of a list. A score of zero is not listed.
func checkLists(t *testing.T, rows []neighborRow, want map[string]map[string]float64, k int) {
	t.Helper()
	tolerance := checkTolerance
	for _, scores := range want {
		for _, score := range scores {
			tolerance = max(tolerance, checkTolerance*math.Abs(score))
		}
	}
	lists := map[string][]neighborRow{}
	for _, r := range rows {
		lists[r.Item] = append(lists[r.Item], r)
	}
	for item, scores := range want {
		list, far := lists[item], 0 // scores far from zero
		for _, score := range scores {
			if math.Abs(score) > tolerance {
				far++
			}
		}
		if len(list) < min(k, far) || len(list) > min(k, len(scores)) {
			t.Errorf("item %s has %d neighbors, want %d to %d", item, len(list), min(k, far), min(k, len(scores)))
		}
		listed, last := map[string]bool{}, 0.0
		for i, r := range list {
			score, ok := scores[r.Neighbor]
			if !ok || listed[r.Neighbor] || math.Abs(score-float64(r.Score)) > tolerance {
				t.Errorf("item %s, neighbor %s: score %v, want %v (%v)", item, r.Neighbor, r.Score, score, ok)
			}
			if r.Rank != i+1 || i > 0 && r.Score > list[i-1].Score {
				t.Errorf("item %s: rank %d with score %v stands at %d", item, r.Rank, r.Score, i+1)
			}
			listed[r.Neighbor], last = true, float64(r.Score)
		}
		for neighbor, score := range scores {
			if len(list) == k && !listed[neighbor] && score > last+tolerance && math.Abs(score) > tolerance {
				t.Errorf("item %s: %s with score %v is not listed; the last has %v", item, neighbor, score, last)
			}
		}
		delete(lists, item)
	}
	for item := range lists {
		t.Errorf("item %s is not in the data", item)
	}
}

func TestNeighborsEqualBruteForce(t *testing.T) {
	data := randomRatings(rand.New(rand.NewPCG(1, 2)), 300, 60)
	input := writeFile(t, "ratings.csv", data.csv())
	options := []struct {
		shrinkage float64
		support   int
		k         int
	}{{0, 0, 10}, {20, 0, 50}, {0, 3, 5}}
	for n, m := range slices.Concat(similarity.Measures(), []similarity.Measure{similarity.Cosine, similarity.Cosine}) {
		measure, opts := m.String(), options[n%len(options)]
		t.Run(fmt.Sprintf("%s/shrinkage=%v/support=%d", measure, opts.shrinkage, opts.support), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "lists.csv")
			mustKith(t, "neighbors", "--input", input, "--measure", measure, "-k", strconv.Itoa(opts.k), "--nodes", "3", "--out", out,
				"--shrinkage", fmt.Sprint(opts.shrinkage), "--min-support", strconv.Itoa(opts.support))
			checkLists(t, readCSV(t, out), data.bruteForce(measure, opts.shrinkage, opts.support), opts.k)
		})
	}
}

// TestNeighborsOfUsers checks lists of users against those of items of the transposed data.
func TestNeighborsOfUsers(t *testing.T) {
	data := randomRatings(rand.New(rand.NewPCG(3, 4)), 80, 40)
	transposed := ratings{}
	for u, row := range data {
		for i, w := range row {
			if transposed[i] == nil {
				transposed[i] = map[string]float64{}
			}
			transposed[i][u] = w
		}
	}
	out := filepath.Join(t.TempDir(), "users.csv")
	mustKith(t, "neighbors", "--users", "--input", writeFile(t, "ratings.csv", data.csv()), "-k", "7", "--out", out)
	checkLists(t, readCSV(t, out), transposed.bruteForce("cosine", 0, 0), 7)
}

// TestNeighborsAreReproducible checks that the bytes do not depend on the number of nodes and threads, nor on the order
// of the rows.
func TestNeighborsAreReproducible(t *testing.T) {
	data := randomRatings(rand.New(rand.NewPCG(5, 6)), 400, 90)
	dir := t.TempDir()
	numbers := []string{"1", "2", "5", "9"}
	if testing.Short() {
		numbers = []string{"1", "5"}
	}
	for _, ext := range []string{".csv", ".jsonl", ".parquet"} {
		var want []byte
		for _, nodes := range numbers {
			for _, threads := range []string{"1", "2"} {
				// The map behind the ratings gives another order each time.
				input, out := writeFile(t, "ratings.csv", data.csv()), filepath.Join(dir, nodes+threads+ext)
				mustKith(t, "neighbors", "--input", input, "--nodes", nodes, "--threads", threads, "-k", "9", "--out", out)
				got, err := os.ReadFile(out)
				switch {
				case err != nil:
					t.Fatal(err)
				case want == nil:
					want = got
				case !bytes.Equal(got, want):
					t.Errorf("%s: %s nodes with %s threads gave other bytes than 1 with 1", ext, nodes, threads)
				}
			}
		}
	}
	rows := readCSV(t, filepath.Join(dir, "11.csv"))
	if d := cmp.Diff(rows, readJSONL(t, filepath.Join(dir, "11.jsonl"))); d != "" {
		t.Errorf(".csv and .jsonl differ:\n%s", d)
	}
	if d := cmp.Diff(rows, readParquet(t, filepath.Join(dir, "11.parquet"))); d != "" {
		t.Errorf(".csv and .parquet differ:\n%s", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 6*len(numbers) {
		t.Errorf("%d files in the folder of the output, want %d: nothing temporary may stay (%v)", len(left), 6*len(numbers), err)
	}
}

// TestNeighborsOrder checks that lists come by descending popularity of the item, ties by key.
func TestNeighborsOrder(t *testing.T) {
	input := writeFile(t, "events.csv", "user,item\n1,b\n1,a\n1,c\n2,c\n2,b\n2,a\n3,c\n3,\"say \"\"x\"\", y\"\n")
	out := filepath.Join(t.TempDir(), "lists.csv")
	mustKith(t, "neighbors", "--input", input, "--out", out)
	var items []string
	for _, r := range readCSV(t, out) {
		items = append(items, r.Item)
	}
	if d := cmp.Diff([]string{"c", "a", "b", `say "x", y`}, slices.Compact(items)); d != "" {
		t.Error(d)
	}
}

func TestNeighborsOfMovieLens(t *testing.T) {
	long(t)
	path := datatest.File(t, "ml-100k/u.data")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data := ratings{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if data[f[0]] == nil {
			data[f[0]] = map[string]float64{}
		}
		if data[f[0]][f[1]], err = strconv.ParseFloat(f[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range similarity.Measures() {
		measure := m.String()
		t.Run(measure, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "lists.parquet")
			got := mustJSON[jsonNeighbors](t, "neighbors", "--input", path, "--sep", "tab", "--no-header",
				"--columns", "user,item,weight,time", "--measure", measure, "-k", "50", "--nodes", "2", "--out", out)
			if got.Rows != 100_000 || got.Users != 943 || got.Items != 1682 || got.Rejected != 0 || got.PairUpdates == 0 ||
				got.PeakMemory == 0 || len(got.PerNode) != 2 || got.Seconds.Total <= 0 {
				t.Errorf("summary: %+v", got)
			}
			checkLists(t, readParquet(t, out), data.bruteForce(measure, 0, 0), 50)
		})
	}
}

// TestNeighborsJSON checks that the summary has every key of the contract.
func TestNeighborsJSON(t *testing.T) {
	input := writeFile(t, "events.csv", "user,item\nu,a\nu,b\n,c\nv,a\n")
	dir := t.TempDir()
	out := filepath.Join(dir, "lists.csv")
	got := mustJSON[map[string]any](t, "neighbors", "--input", input, "--out", out)
	for _, key := range []string{"rows", "users", "items", "measure", "k", "nodes", "threads", "seconds", "pair_updates", "peak_memory_bytes", "memory_limit_bytes", "spilled_bytes", "per_node", "rejected", "reasons"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no key %q", key)
		}
	}
	for _, key := range []string{"read", "prepare", "compute", "merge", "write", "total"} {
		if x, ok := got["seconds"].(map[string]any)[key].(float64); !ok || x < 0 {
			t.Errorf("seconds.%s is %v", key, x)
		}
	}
	for _, key := range []string{"cpu_seconds", "idle_seconds", "bytes_in", "bytes_out", "tasks", "pair_updates"} {
		if _, ok := got["per_node"].([]any)[0].(map[string]any)[key]; !ok {
			t.Errorf("per_node has no key %q", key)
		}
	}
	if got["rejected"] != 1.0 || got["reasons"].(map[string]any)["no_user"] != 1.0 {
		t.Errorf("rejected %v because of %v, want one without user", got["rejected"], got["reasons"])
	}
	letters := filepath.Join(dir, "events.rejected.jsonl")
	if b, err := os.ReadFile(letters); err != nil || !strings.Contains(string(b), `"line":4`) || got["dead_letters"] != letters {
		t.Errorf("dead letters at %v: %q, %v", got["dead_letters"], b, err)
	}
}

// TestMemoryLimitChangesNothing compares lists with and without a memory limit, also those of users, for which the
// matrix is transposed while the file is read.
func TestMemoryLimitChangesNothing(t *testing.T) {
	data := randomRatings(rand.New(rand.NewPCG(9, 10)), 300, 70)
	dir, input := t.TempDir(), writeFile(t, "ratings.csv", data.csv())
	t.Setenv("TMPDIR", t.TempDir())
	for n, m := range []similarity.Measure{similarity.Cosine, similarity.AdjustedCosine, similarity.BM25, similarity.Jaccard, similarity.Swing} {
		args := []string{"neighbors", "--input", input, "-k", "9", "--measure", m.String(), "--threads", "2"}
		if n%2 == 1 {
			args = append(args, "--users")
		}
		free, limited := filepath.Join(dir, "free.csv"), filepath.Join(dir, "limited.csv")
		a := mustJSON[jsonNeighbors](t, append(args, "--out", free)...)
		b := mustJSON[jsonNeighbors](t, append(args, "--out", limited, "--memory-limit", "512MiB", "--nodes", strconv.Itoa(1+n%3))...)
		if a.Users != b.Users || a.Items != b.Items || a.Interactions != b.Interactions || a.Rows != b.Rows {
			t.Errorf("%s: %+v without a limit, %+v with one", m, a, b)
		}
		if a.MemoryLimit != 0 || a.Spilled != 0 || b.MemoryLimit != 512<<20 || b.Spilled == 0 {
			t.Errorf("%s: limits of %d and %d bytes, %d and %d spilled", m, a.MemoryLimit, b.MemoryLimit, a.Spilled, b.Spilled)
		}
		sameFiles(t, free, limited)
	}
	out := mustKith(t, "neighbors", "--input", input, "--memory-limit", "1GB")
	if !strings.Contains(out, "with a limit of 1 GB") {
		t.Errorf("the summary does not name the limit: %s", out)
	}
	nothing := writeFile(t, "nothing.csv", "user,item,behavior\na,x,view\na,x,cancel\n")
	for _, tt := range []struct{ input, limit, want string }{
		{input, "20MiB", "give at least "},
		{nothing, "512MiB", "no interaction is left"},
	} {
		got := kith(t, nil, "neighbors", "--input", tt.input, "--memory-limit", tt.limit)
		if got.code != exitError || !strings.Contains(got.err, tt.want) {
			t.Errorf("limit %s: code %d, %q; want %q", tt.limit, got.code, got.err, tt.want)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func sameFiles(t *testing.T, paths ...string) {
	t.Helper()
	var want []byte
	for _, path := range paths {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s and %s differ", paths[0], path)
		}
	}
}

// TestMemoryLimit builds a matrix several times the memory limit in processes of their own.
func TestMemoryLimit(t *testing.T) {
	long(t)
	dir, temp := t.TempDir(), t.TempDir()
	matrix := filepath.Join(dir, "matrix.parquet")
	run := func(args ...string) (sum jsonNeighbors) {
		t.Helper()
		cmd := exec.Command(program(t), append(args, "-o", "json")...)
		cmd.Env = append(os.Environ(), "TMPDIR="+temp, "GOMEMLIMIT=off", "GOGC=100")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kith %s: %v: %s", strings.Join(args, " "), err, stderr.String())
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("kith %s left behind: %v, %v", strings.Join(args, " "), left, err)
		}
		if err := json.Unmarshal(out, &sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	run("bench", "neighbors", "--kind", "movies", "--scale", "0.2", "--runs", "0", "--write", matrix)
	free, limited := filepath.Join(dir, "free.parquet"), filepath.Join(dir, "limited.parquet")
	without := run("neighbors", "--input", matrix, "--out", free, "--threads", "2")
	with := run("neighbors", "--input", matrix, "--out", limited, "--threads", "2", "--memory-limit", "80MiB")
	t.Logf("peak of %d MiB with a limit of %d MiB, %d MiB without; %.1f s, %.1f s without",
		with.PeakMemory>>20, with.MemoryLimit>>20, without.PeakMemory>>20, with.Seconds.Total, without.Seconds.Total)
	if with.MemoryLimit != 80<<20 || float64(with.PeakMemory) > 1.25*float64(with.MemoryLimit) || with.Spilled == 0 {
		t.Errorf("%d bytes at the peak of a limit of %d, %d spilled", with.PeakMemory, with.MemoryLimit, with.Spilled)
	}
	if without.PeakMemory < 2*uint64(with.MemoryLimit) { // nearly three times as a rule, as the collector happens to run
		t.Errorf("%d bytes without a limit, which is no test of a limit of %d", without.PeakMemory, with.MemoryLimit)
	}
	sameFiles(t, free, limited)
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"0": 0, "123": 123, "5B": 5, "512MiB": 512 << 20, "2GB": 2e9, "1.5 GiB": 3 << 29, "7kB": 7000, "8KB": 8000, " 1KiB ": 1024, "1TB": 1e12, "1TiB": 1 << 40,
	} {
		var got byteSize
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
		var back byteSize
		if s := got.String(); s != "" {
			if err := back.Set(s); err != nil || back != got {
				t.Errorf("%q as %q: got %d, %v", text, s, back, err)
			}
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1XB", "NaN", "Inf", "9e30", "12 34"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
}

func TestNeighborsTable(t *testing.T) {
	input := writeFile(t, "events.csv", "user,item\nu,a\nu,b\nv,a\nv,c\nw,a\nw,b\nx,d\n")
	golden(t, "neighbors", times(mustKith(t, "neighbors", "--input", input)))
}

// TestEvaluateProducts: a product that nobody had in the training data is found by its attributes alone.
func TestEvaluateProducts(t *testing.T) {
	var events, products strings.Builder
	events.WriteString("user,item,time\n")
	for u := range 20 {
		taste := u % 2
		fmt.Fprintf(&events, "u%d,old%d,1\nu%d,second%d,2\nu%d,new%d,100\n", u, taste, u, taste, u, taste)
	}
	for taste := range 2 {
		for _, key := range []string{"old", "second", "new"} {
			fmt.Fprintf(&products, `{"key": "%s%d", "version": 1, "attributes": {"kind": "kind %d", "since": {"time": "2026-11-25T10:00:00Z"}, "sold": true, "tags": []}}`+"\n", key, taste, taste)
		}
	}
	got := mustJSON[struct {
		Models []struct {
			Metrics map[string]struct{ Mean float64 }
		}
	}](t, "evaluate", "--input", writeFile(t, "events.csv", events.String()), "--products", writeFile(t, "products.jsonl", products.String()),
		"--models", "itemknn,content", "--split", "time", "--ratio", "0.6", "-n", "1")
	if known, content := got.Models[0].Metrics["hitrate@1"].Mean, got.Models[1].Metrics["hitrate@1"].Mean; known != 0 || content != 1 {
		t.Errorf("hit rates %v of itemknn and %v of content, want 0 and 1", known, content)
	}
	damaged := writeFile(t, "damaged.jsonl", "{")
	for _, path := range []string{damaged, damaged + ".none"} {
		got := kith(t, nil, "evaluate", "--input", writeFile(t, "events.csv", events.String()), "--products", path)
		if got.code == exitOK || !strings.Contains(got.err, path) {
			t.Errorf("%s: code %d, %q, want an error that names the file", path, got.code, got.err)
		}
	}
}

func TestEvaluate(t *testing.T) {
	data := randomRatings(rand.New(rand.NewPCG(7, 8)), 200, 50)
	input := writeFile(t, "ratings.csv", data.csv())
	for _, split := range []string{"leave-one-out", "ratio", "k-fold"} {
		got := mustJSON[struct {
			Split  string
			Models []struct {
				Name       string
				Parameters map[string]any
				Seconds    float64
				Metrics    map[string]struct{ Mean, Low, High float64 }
			}
		}](t, "evaluate", "--input", input, "--split", split, "--models", "popularity,item-knn,mean", "-n", "5,10", "--folds", "3")
		if got.Split != split || len(got.Models) != 3 || got.Models[1].Name != "itemknn" {
			t.Fatalf("got %+v", got)
		}
		for _, m := range got.Models[:2] {
			for _, metric := range []string{"ndcg@5", "ndcg@10", "hitrate@10", "precision@10", "recall@10"} {
				if e, ok := m.Metrics[metric]; !ok || e.Mean < e.Low || e.Mean > e.High {
					t.Errorf("%s, %s: %s is %+v (%v)", split, m.Name, metric, e, ok)
				}
			}
		}
		if e := got.Models[2].Metrics["rmse"]; !(e.Mean > 0) {
			t.Errorf("%s: rmse of mean is %+v", split, e)
		}
	}
	fixed := writeFile(t, "fixed.csv", "user,item,weight,time\na,1,5,1\na,2,3,2\nb,1,4,1\nb,3,1,2\nc,2,2,1\nc,1,5,2\n")
	golden(t, "evaluate", times(mustKith(t, "evaluate", "--input", fixed, "--models", "popularity,itemknn,mean", "-n", "2")))
}
