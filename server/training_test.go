package server_test

import (
	"bytes"
	"context"
	"math"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/cluster"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/similarity"
)

// visits counts, for each member, the entries that its workers of trainings went over: those of the users of a worker, once for each of its steps; and the trainings.
type visits struct {
	of      [3]atomic.Int64
	drivers atomic.Int64
}

// configure makes the workers of a member count.
func (v *visits) configure(member int, cfg *server.Config) {
	cfg.Kinds = nil
	for _, kind := range []*train.Kind{factors.ALS, cluster.Kind} {
		counted := *kind
		counted.NewWorker = func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
			w, err := kind.NewWorker(d, s, threads)
			return visiting{w, &v.of[member], int64(len(d.Rows.Item))}, err
		}
		counted.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
			v.drivers.Add(1)
			return kind.NewDriver(shape, s)
		}
		cfg.Kinds = append(cfg.Kinds, &counted)
	}
}

type visiting struct {
	train.Worker
	sum     *atomic.Int64
	entries int64
}

func (w visiting) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	w.sum.Add(w.entries)
	return w.Worker.Do(ctx, step, peers)
}

// learned is what one build has trained.
type learned struct {
	files map[string][]byte // what kinds have written
	curve map[string][]float64
	spec  []*kithv1.ModelSpec
	usage []*kithv1.NodeUsage
	// visits of each member.
	visits [3]int64
}

// work returns the steps of trainings and the bytes for them that nodes counted: the sums, and the most steps of a node.
func (l *learned) work() (steps, most, in, out uint64) {
	for _, u := range l.usage {
		steps, most, in, out = steps+u.TrainSteps, max(most, u.TrainSteps), in+u.TrainBytesIn, out+u.TrainBytesOut
	}
	return steps, most, in, out
}

// learn stores events in a cluster, trains the models of a spec, and reads them, which must be the same at all members.
func learn(t *testing.T, servers, partitions int, events []*kithv1.Event, spec *kithv1.BuildSpec) learned {
	t.Helper()
	v := new(visits)
	c := clustertest.Start(t, clustertest.Options{Servers: servers, Partitions: partitions, Configure: v.configure})
	c.Append(0, events)
	version := c.Build(servers-1, spec).ModelVersion
	if n := v.drivers.Load(); n != int64(len(spec.Models)) { // on a machine that is too slow for its leaders a training may begin anew
		t.Skipf("%d trainings of %d models: the build was disturbed, and its counts are not those of one training", n, len(spec.Models))
	}
	record := c.Members[0].Server.State().Version(version).Version
	got := learned{files: map[string][]byte{}, curve: map[string][]float64{}, spec: record.Spec.Models, usage: record.Usage}
	for _, m := range got.spec {
		for i := range servers {
			content := modelContent(t, c, i, version, m.Name)
			if i > 0 && !bytes.Equal(content, got.files[m.Name]) {
				t.Errorf("members 0 and %d have other files of %s", i, m.Name)
			}
			got.files[m.Name] = content
		}
		got.curve[m.Name] = curveOf(t, m.Kind, got.files[m.Name])
	}
	for i := range v.of {
		got.visits[i] = v.of[i].Load()
	}
	return got
}

// modelContent reads what a kind has written to the file of a model.
func modelContent(t *testing.T, c *clustertest.Cluster, member int, version uint64, name string) []byte {
	t.Helper()
	file, err := artifact.OpenModel(modelPath(c, member, version, name))
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Clone(file.Content())
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return content
}

// curveOf returns the loss of a model after each pass.
func curveOf(t *testing.T, kind string, file []byte) []float64 {
	t.Helper()
	if kind == factors.ALS.Name {
		m, err := factors.ReadALS(file)
		if err != nil {
			t.Fatal(err)
		}
		return m.Losses()
	}
	m, err := cluster.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	trials, best := m.Trials()
	return trials[best].Loss
}

// inProcess trains the models of a spec without a cluster, on the matrix that a build with a number of partitions has, by workers that have the users of firstUser.
func inProcess(t *testing.T, rows *similarity.Rows, firstUser []int, spec []*kithv1.ModelSpec) map[string][]byte {
	t.Helper()
	shape := train.Shape{Users: rows.NumUsers(), Items: rows.NumItems, Entries: int64(len(rows.Item)), FirstUser: firstUser}
	var data []*train.Data
	for w := range shape.Workers() {
		part := *rows
		part.Start = rows.Start[firstUser[w] : firstUser[w+1]+1]
		data = append(data, &train.Data{Shape: shape, Worker: w, Rows: &part})
	}
	files := map[string][]byte{}
	for _, m := range spec {
		kind, err := train.Find([]*train.Kind{factors.ALS, cluster.Kind}, m.Kind)
		if err != nil {
			t.Fatal(err)
		}
		s, err := model.ParseSettings(kind.Parameters, m.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		if files[m.Name], err = train.Run(t.Context(), kind, s, data, train.Options{Threads: 2}); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// bounds returns the first user of each of some partitions, of users in the order of a build, and then their number.
func bounds(users []string, partitions int) []int {
	first := make([]int, partitions+1)
	for _, u := range users {
		for p := int(partition.Of(u, partitions)) + 1; p <= partitions; p++ {
			first[p]++
		}
	}
	return first
}

// farthest returns the largest relative difference of two curves of equal length.
func farthest(t *testing.T, a, b []float64) float64 {
	t.Helper()
	if len(a) != len(b) || len(a) < 2 {
		t.Fatalf("curves of %d and %d losses, want equally many, and 2 or more", len(a), len(b))
	}
	far := 0.0
	for i := range a {
		far = max(far, math.Abs(a[i]-b[i])/math.Abs(a[i]))
	}
	return far
}

// TestTrainingOverNodes: what is trained is the same, bit for bit, on one node, on three, and in one process by as many workers as there are partitions; another
// number of workers changes no more of the losses than the rounding of sums. On three nodes each does its part of the work of one, and what they get of each
// other is what they give.
func TestTrainingOverNodes(t *testing.T) {
	t.Parallel()
	const partitions = 6
	events := shopEvents(240, 120, 30, 9)
	spec := models(t, "als(factors=8,iterations=6)", "clusters(k=9,rank=8)", "of-items:clusters(of=items,k=9,rank=8)")
	var one, three, more learned
	t.Run("learn", func(t *testing.T) { // it ends when all have been built
		for name, run := range map[string]func(*testing.T){
			"1 node":               func(t *testing.T) { one = learn(t, 1, partitions, events, spec) },
			"3 nodes":              func(t *testing.T) { three = learn(t, 3, partitions, events, spec) },
			"twice the partitions": func(t *testing.T) { more = learn(t, 1, 2*partitions, events, spec) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t)
			})
		}
	})
	if t.Failed() || one.usage == nil || three.usage == nil || more.usage == nil {
		return
	}
	users, _, rows := matrix(events, partitions)
	same := inProcess(t, rows, bounds(users, partitions), one.spec)
	byEleven := inProcess(t, rows, train.Split(rows, nil, 11)[0].Shape.FirstUser, one.spec)
	for _, m := range one.spec {
		if !bytes.Equal(one.files[m.Name], three.files[m.Name]) {
			t.Errorf("%s: other bytes on three nodes than on one; losses (-one +three):\n%s", m.Name, gocmp.Diff(one.curve[m.Name], three.curve[m.Name]))
		}
		if !bytes.Equal(one.files[m.Name], same[m.Name]) {
			t.Errorf("%s: other bytes in a cluster than in one process; losses (-cluster +process):\n%s", m.Name,
				gocmp.Diff(one.curve[m.Name], curveOf(t, m.Kind, same[m.Name])))
		}
		if far := farthest(t, one.curve[m.Name], curveOf(t, m.Kind, byEleven[m.Name])); far > 1e-5 {
			t.Errorf("%s: losses of 6 and 11 workers differ by %.2g of them", m.Name, far)
		}
		// More partitions number the users anew, and so draw other starts for them; items keep their numbers.
		a, b := one.curve[m.Name], more.curve[m.Name]
		limit := 0.05
		if m.Name == "of-items" {
			limit = 1e-5
			farthest(t, a, b)
		}
		if last, other := a[len(a)-1], b[len(b)-1]; math.Abs(last-other) > limit*last {
			t.Errorf("%s: the last loss is %v of 6 partitions, %v of 12", m.Name, last, other)
		}
		t.Logf("%s: losses %.6g, of twice the partitions %.6g", m.Name, a, b)
	}
	sharedOut(t, one, three)
}

// sharedOut checks the counts of a training on one node and on three.
func sharedOut(t *testing.T, one, three learned) {
	t.Helper()
	all := one.visits[0]
	if sum := three.visits[0] + three.visits[1] + three.visits[2]; all == 0 || sum != all {
		t.Errorf("workers went over %d entries on one node, %d on three", all, sum)
	}
	for i, n := range three.visits {
		if n == 0 || n > all/2 {
			t.Errorf("member %d of three went over %d entries of %d, want more than none and at most half", i, n, all)
		}
	}
	steps, _, in, out := one.work()
	if steps == 0 || in != 0 || out != 0 {
		t.Errorf("one node counts %d steps, %d bytes in and %d out, want steps and no bytes", steps, in, out)
	}
	sum, most, in, out := three.work()
	if sum != steps || most > steps/2 {
		t.Errorf("three nodes did %d steps, one of them %d; want together the %d of one node, and at most half of them each", sum, most, steps)
	}
	if in == 0 || in != out {
		t.Errorf("three nodes got %d bytes from each other and gave %d, want as many", in, out)
	}
	t.Logf("entries %v of %d, steps up to %d of %d, %d bytes", three.visits, all, most, steps, in)
}
