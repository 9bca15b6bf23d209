package worker_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// buildOn builds the lists of a table on two nodes, one with a memory limit. It returns the node that has merged them.
func buildOn(t *testing.T, tab *fusion.Table, follow, limitedFollows bool) *node {
	t.Helper()
	p := peers{}
	a := startWith(t, worker.Config{NodeID: "a", Follow: follow}, worker.TableSource(tab, partitions), p)
	b := startWith(t, worker.Config{NodeID: "b", Follow: limitedFollows, MemoryLimit: 1 << 20, SpillDir: t.TempDir()}, worker.TableSource(tab, partitions), p)
	for _, n := range []*node{a, b} {
		n.prepare(t, tab.Items, []uint32{7, 20, 40, 60}, []uint32{2, 4})
	}
	done := map[*node][]uint32{a: {0, 3, 5, 6}, b: {1, 2, 4, 7}}
	for n, tasks := range done {
		if _, err := n.run(t.Context(), a.sources("a"), tasks...); err != nil {
			t.Fatal(err)
		}
	}
	a.check(t, tab, want(t, tab), []*kithv1.PartialSource{
		{Node: "a", GrpcAddr: a.addr, Tasks: done[a]}, {Node: "b", GrpcAddr: b.addr, Tasks: done[b]},
	})
	return a
}

// absent fails the test if the version of the job has such a file.
func (n *node) absent(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat(n.files.Path(job, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: got %v, want no file", name, err)
	}
}

// TestFollowableBuildsLeaveRests: a build that can be followed leaves what comes behind the lists, as a build of longer lists has it,
// with bounds that nothing else is above, and norms; its lists are to the byte those of one that cannot.
func TestFollowableBuildsLeaveRests(t *testing.T) {
	tab := table(80, 60)
	n, plain := buildOn(t, tab, true, true), buildOn(t, tab, false, false)
	o := similarity.Options{Measure: similarity.Cosine, K: 10}
	keep := o.K + o.Reserve()
	kept, all := wantK(t, tab, keep), wantK(t, tab, len(tab.Items))
	bounded := 0
	for p := range uint32(partitions) {
		var lists [2][]byte
		for i, from := range []*node{n, plain} {
			var err error
			if lists[i], err = os.ReadFile(from.files.Path(job, artifact.ListsName(p))); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(lists[0], lists[1]) {
			t.Errorf("partition %d: the lists are not those of a build that nothing follows", p)
		}
		plain.absent(t, artifact.RestName(p))
		rest, err := artifact.OpenRest(n.files.Path(job, artifact.RestName(p)))
		if err != nil {
			t.Fatal(err)
		}
		var items []uint32
		for id, key := range tab.Items {
			if partition.Of(key, partitions) == partition.ID(p) {
				items = append(items, uint32(id))
			}
		}
		if !slices.Equal(rest.Items(), items) {
			t.Fatalf("partition %d: items %d, want %d", p, rest.Items(), items)
		}
		for i, item := range items {
			got, bound := rest.At(i)
			list := kept.List(item)
			if d := cmp.Diff(list[min(o.K, len(list)):], got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("rest of item %d (-want +got):\n%s", item, d)
			}
			wantBound := float32(0)
			if len(list) == keep {
				wantBound = list[keep-1].Score
				bounded++
			}
			if bound != wantBound {
				t.Errorf("bound of item %d is %v, want %v", item, bound, wantBound)
			}
			for _, x := range all.List(item)[len(list):] {
				if x.Score > bound {
					t.Errorf("item %d: %v is not held, and above the bound %v", item, x, bound)
				}
			}
		}
		if err := rest.Close(); err != nil {
			t.Error(err)
		}
	}
	if bounded == 0 || bounded == len(tab.Items) {
		t.Errorf("%d of %d items have a bound, want some", bounded, len(tab.Items))
	}
	squares := make([]float64, len(tab.Items))
	for k, item := range tab.Item {
		squares[item] += float64(tab.Weight[k]) * float64(tab.Weight[k])
	}
	norms, err := artifact.OpenNorms(n.files.Path(job, artifact.NormsName))
	if err != nil {
		t.Fatal(err)
	}
	if got := norms.Squares(); !slices.Equal(got, squares) {
		t.Errorf("squares are %v, want %v", got, squares)
	}
	if err := norms.Close(); err != nil {
		t.Error(err)
	}
	plain.absent(t, artifact.NormsName)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(n.files.Path(job, artifact.NormsName)), "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %q, %v", left, err)
	}
	stream, err := n.client.FetchArtifact(t.Context(), &kithv1.FetchArtifactRequest{Version: job, Name: artifact.NormsName})
	if err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("another node asks for norms: got %v, want %v", err, wire.ErrInvalid)
	}
}

// TestNoRestOfNodesThatKeepLess: where one of the nodes cut its lists at K nothing can be said of what comes behind.
func TestNoRestOfNodesThatKeepLess(t *testing.T) {
	n := buildOn(t, table(80, 60), true, false)
	for p := range uint32(partitions) {
		n.absent(t, artifact.RestName(p))
	}
}

// TestNoNormsOfOtherWeights: weights that are not whole, though the sums of their squares are, and negative ones leave no norms, and
// scores below zero no rest.
func TestNoNormsOfOtherWeights(t *testing.T) {
	for name, weigh := range map[string]func(k int) float32{
		"halves":   func(int) float32 { return 0.5 },
		"negative": func(k int) float32 { return float32(2*(k%2) - 1) },
	} {
		t.Run(name, func(t *testing.T) {
			tab := table(80, 60)
			for k := range tab.Weight {
				tab.Weight[k] = weigh(k)
			}
			n := buildOn(t, tab, true, true)
			n.absent(t, artifact.NormsName)
			if name != "negative" {
				return
			}
			there := 0
			for p := range uint32(partitions) {
				if _, err := os.Stat(n.files.Path(job, artifact.RestName(p))); err == nil {
					there++
				}
			}
			if there == partitions {
				t.Error("all rests were written, though there are negative scores")
			}
		})
	}
}

// TestNoNormsOfOneNode: squares of which the coordinator does not say that they are those of all partitions are not taken for them.
func TestNoNormsOfOneNode(t *testing.T) {
	n := startWith(t, worker.Config{NodeID: "n", Follow: true}, worker.TableSource(table(4, 4), partitions), peers{})
	for i, tc := range []struct {
		all     bool
		squares [2]float64
		want    bool
	}{
		{false, [2]float64{2, 1}, false},
		{true, [2]float64{2, 0}, false},
		{true, [2]float64{2, 1.5}, false},
		{true, [2]float64{2, 1 << 53}, false},
		{true, [2]float64{2, 1}, true},
	} {
		id := uint64(100 + i)
		stream, err := n.client.PutDictionary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&kithv1.PutDictionaryRequest{
			Head: &kithv1.DictionaryHead{
				Job: id, Items: 2, BlockEnds: []uint32{2}, FirstUser: make([]uint32, partitions+1), Partitions: partitions, Spec: spec(), Squares: tc.all,
			},
			Items: []*kithv1.ItemCount{{Item: "i", Count: 2, Squares: tc.squares[0]}, {Item: "j", Count: 1, Squares: tc.squares[1]}},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.CloseAndRecv(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(n.files.Path(id, artifact.NormsName)); (err == nil) != tc.want {
			t.Errorf("squares %v of all partitions %v: %v, want norms: %v", tc.squares, tc.all, err, tc.want)
		}
	}
}

// TestSquaresAreOfTheMeasure: weights that a measure takes as ones have squares of one.
func TestSquaresAreOfTheMeasure(t *testing.T) {
	tab := table(20, 10)
	for k := range tab.Weight {
		tab.Weight[k] = 0.5
	}
	n := startWith(t, worker.Config{NodeID: "n", Follow: true}, worker.TableSource(tab, partitions), peers{})
	for measure, each := range map[string]float64{"jaccard": 1, "cosine": 0, "tf-idf": 0} {
		s := spec()
		s.Measure = measure
		stream, err := n.client.Count(t.Context(), &kithv1.CountRequest{Job: uint64(len(measure)), Spec: s})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Items) == 0 {
			t.Errorf("%s: no items", measure)
		}
		for _, c := range m.Items {
			if want := each * float64(c.Count); c.Squares != want {
				t.Errorf("%s: squares of %s with %d users are %v, want %v", measure, c.Item, c.Count, c.Squares, want)
			}
		}
	}
}
