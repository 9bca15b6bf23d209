package worker_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// interactions are weights by user and item.
type interactions map[string]map[string]float32

// shard returns the rows of users, in the order of their keys; with empty also those who have none.
func (x interactions) shard(users []string, empty bool) *worker.Shard {
	s, ids := &worker.Shard{Start: []int64{0}}, map[string]uint32{}
	for _, user := range users {
		row := x[user]
		if len(row) == 0 && !empty {
			continue
		}
		s.Users = append(s.Users, user)
		for _, item := range slices.Sorted(maps.Keys(row)) {
			if _, ok := ids[item]; !ok {
				ids[item] = uint32(len(s.Items))
				s.Items = append(s.Items, item)
			}
			s.Item, s.Weight = append(s.Item, ids[item]), append(s.Weight, row[item])
		}
		s.Start = append(s.Start, int64(len(s.Item)))
	}
	return s
}

// changingSource has rows of which some changed behind index 10.
type changingSource struct {
	now     interactions
	changed []fusion.UserChange // ascending
	unknown bool
	many    bool // users are to be read
	err     error

	reads, looks, seeks int
}

func (s *changingSource) Shard(context.Context, partition.ID, uint64, fusion.Weights, int64) (*worker.Shard, error) {
	s.reads++
	return s.now.shard(slices.Sorted(maps.Keys(s.now)), false), nil
}

func (s *changingSource) Changed(_ context.Context, _ partition.ID, after, cut uint64) ([]fusion.UserChange, bool, error) {
	s.looks++
	switch {
	case after != 10 || cut != 20:
		return nil, false, fmt.Errorf("changes of %d to %d", after, cut)
	case s.unknown || s.err != nil:
		return nil, false, s.err
	}
	return s.changed, true, nil
}

func (s *changingSource) RowsOf(_ context.Context, _ partition.ID, cut uint64, users []string, _ fusion.Weights, _ int64) (*worker.Shard, bool, error) {
	s.seeks += len(users)
	if s.many || cut != 20 {
		return nil, false, nil
	}
	return s.now.shard(users, true), true, nil
}

// kept is a version that is kept.
type kept struct{ dictionary *artifact.Dictionary }

func (k kept) Dictionary() (*artifact.Dictionary, error) { return k.dictionary, nil }

func (k kept) Lists(uint32) (*artifact.Lists, error) { return nil, errors.ErrUnsupported }

func (k kept) Release() {}

// keep writes the dictionary and the rows of version 3, with items by descending number of users.
func (x interactions) keep(t *testing.T, files *artifact.Store) (*artifact.Dictionary, string) {
	t.Helper()
	counts := map[string]uint64{}
	for _, row := range x {
		for item := range row {
			counts[item]++
		}
	}
	items := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	ids, sizes := map[string]uint32{}, make([]uint64, len(items))
	for i, item := range items {
		ids[item], sizes[i] = uint32(i), counts[item]
	}
	info, err := files.WriteDictionary(3, items, sizes)
	if err != nil {
		t.Fatal(err)
	}
	dictionary, err := artifact.OpenDictionary(files.Path(3, info.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dictionary.Close() })
	rows, users := &similarity.Rows{NumItems: len(items), Start: []int64{0}}, slices.Sorted(maps.Keys(x))
	for _, user := range users {
		for _, item := range slices.SortedFunc(maps.Keys(x[user]), func(a, b string) int { return cmp.Compare(ids[a], ids[b]) }) {
			rows.Item, rows.Weight = append(rows.Item, ids[item]), append(rows.Weight, x[user][item])
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	if info, err = files.WriteRows(3, 0, 0, users, rows); err != nil {
		t.Fatal(err)
	}
	return dictionary, files.Path(3, info.Name)
}

// counted returns what a worker counts, by item.
func (n *node) counted(t *testing.T, req *kithv1.CountRequest) (out []*kithv1.ItemCount, users uint32, interactions uint64) {
	t.Helper()
	stream, err := n.client.Count(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Receive(stream, func(m *kithv1.CountResponse) error {
		out, users, interactions = append(out, m.Items...), users+m.Users, interactions+m.Interactions
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b *kithv1.ItemCount) int { return cmp.Compare(a.Item, b.Item) })
	return out, users, interactions
}

// come lets events come to a user, of weight 1 and of none, and reports whether they can be added to the row.
func come(rng *rand.Rand, c *fusion.UserChange, row map[string]float32) (adds bool) {
	adds = true
	was := maps.Clone(row)
	for range rng.IntN(5) {
		item := fmt.Sprint("i", rng.IntN(36))
		if rng.IntN(3) == 0 {
			item = fmt.Sprint("nothing ", rng.IntN(4))
			c.Events = append(c.Events, fusion.Addition{Item: item, Behavior: "nothing", Value: 1})
			continue
		}
		c.Events = append(c.Events, fusion.Addition{Item: item, Behavior: fusion.View, Value: 1})
		if old, had := was[item]; had && (c.Adds != fusion.AddsAll || old != float32(int(old))) {
			adds = false
		}
		row[item]++
	}
	return adds
}

// TestShardOfRows compares the shard that is made of the rows of a version with that of all events, where weights are ones and where they are not.
func TestShardOfRows(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		weight := func() float32 {
			if seed%2 == 0 {
				return 1
			}
			return float32(1+rng.IntN(8)) / 2
		}
		was, now, changed, seeks := interactions{}, interactions{}, []fusion.UserChange(nil), 0
		for u := range 40 {
			user := fmt.Sprintf("u%02d", u)
			row := map[string]float32{}
			for range rng.IntN(6) {
				row[fmt.Sprint("i", rng.IntN(30))] = weight()
			}
			if len(row) > 0 {
				was[user] = row
			}
			now[user] = maps.Clone(row)
			if rng.IntN(4) > 0 {
				continue
			}
			change := fusion.UserChange{User: user, Adds: fusion.Adds(rng.IntN(3))} // some of them to what they were
			if change.Adds != fusion.AddsNone {
				if !come(rng, &change, now[user]) {
					seeks++
				}
				changed = append(changed, change)
				continue
			}
			changed, seeks = append(changed, change), seeks+1
			for range rng.IntN(3) {
				now[user][fmt.Sprint("i", rng.IntN(34))] = weight()
			}
			if rng.IntN(3) == 0 {
				clear(now[user])
			}
		}
		source := &changingSource{now: now, changed: changed}
		p := peers{}
		var dictionary *artifact.Dictionary
		n := startWith(t, worker.Config{NodeID: "a", Follow: true, Base: func(version uint64) (worker.Base, error) {
			if version != 3 {
				return nil, fmt.Errorf("version %d", version)
			}
			return kept{dictionary}, nil
		}}, source, p)
		var file string
		dictionary, file = was.keep(t, n.files)
		job := uint64(5)
		check := func(what string, reads int, change func(*kithv1.CountRequest)) {
			t.Helper()
			of := &kithv1.CountRequest{Job: job, Cut: 20, Spec: spec(), Base: 3, BaseCut: 10}
			change(of)
			all := proto.CloneOf(of)
			all.Job, all.Base, all.BaseCut = job+1, 0, 0
			job += 2
			source.reads, source.looks, source.seeks = 0, 0, 0
			want, users, entries := n.counted(t, all)
			if source.reads != 1 || source.looks != 0 {
				t.Fatalf("seed %d, %s: without a base %d passes and %d looks", seed, what, source.reads, source.looks)
			}
			source.reads = 0
			got, gotUsers, gotEntries := n.counted(t, of)
			if diff := gocmp.Diff(want, got, protocmp.Transform()); diff != "" || users != gotUsers || entries != gotEntries {
				t.Errorf("seed %d, %s: %d users, %d entries, want %d and %d, -want +got:\n%s", seed, what, gotUsers, gotEntries, users, entries, diff)
			}
			if source.reads != reads {
				t.Errorf("seed %d, %s: %d passes over all events, want %d", seed, what, source.reads, reads)
			}
		}
		check("of rows", 0, func(*kithv1.CountRequest) {})
		if source.seeks != seeks {
			t.Errorf("seed %d: %d users were read, want %d", seed, source.seeks, seeks)
		}
		if seed > 0 {
			continue
		}
		check("of a version that is not here", 1, func(r *kithv1.CountRequest) { r.Base = 4 })
		check("with decay", 1, func(r *kithv1.CountRequest) {
			r.Spec = proto.CloneOf(r.Spec)
			r.Spec.HalfLifeMs = 1
		})
		source.unknown = true
		check("of unknown changes", 1, func(*kithv1.CountRequest) {})
		source.unknown, source.many = false, true
		check("of many users to be read", 1, func(*kithv1.CountRequest) {})
		source.many, source.err = false, errors.New("damaged")
		check("of changes that cannot be read", 1, func(*kithv1.CountRequest) {})
		source.err = nil
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
		check("of a damaged file", 1, func(*kithv1.CountRequest) {})
	}
}

// TestCountColumns: counts say the same as columns, in more than one message, with sums and with squares.
func TestCountColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	now := interactions{}
	for u := range 300 {
		row := map[string]float32{}
		for range rng.IntN(40) {
			row[fmt.Sprint("item ", rng.IntN(9000))] = float32(1 + rng.IntN(3))
		}
		now[fmt.Sprintf("u%03d", u)] = row
	}
	n := startWith(t, worker.Config{NodeID: "a", Follow: true}, &changingSource{now: now}, peers{})
	for i, measure := range []string{"cosine", "adjusted-cosine", "bm25"} {
		of := spec()
		of.Measure = measure
		want, users, entries := n.counted(t, &kithv1.CountRequest{Job: uint64(2 * i), Cut: 20, Spec: of})
		if len(want) < 3000 {
			t.Fatalf("%d items", len(want))
		}
		var got []*kithv1.ItemCount
		stream, err := n.client.Count(t.Context(), &kithv1.CountRequest{Job: uint64(2*i + 1), Cut: 20, Spec: of, Columns: true})
		if err != nil {
			t.Fatal(err)
		}
		messages := 0
		if err := wire.Receive(stream, func(m *kithv1.CountResponse) error {
			messages++
			users, entries = users-m.Users, entries-m.Interactions
			keys, c := m.Columns.Keys, m.Columns
			for k, l := range c.Lengths {
				x := &kithv1.ItemCount{Item: keys[:l], Count: c.Counts[k], Updates: c.Updates[k]}
				if keys = keys[l:]; c.WeightsHigh != nil {
					x.WeightHigh, x.WeightLow = c.WeightsHigh[k], c.WeightsLow[k]
				}
				if c.Squares != nil {
					x.Squares = c.Squares[k]
				}
				got = append(got, x)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b *kithv1.ItemCount) int { return cmp.Compare(a.Item, b.Item) })
		if diff := gocmp.Diff(want, got, protocmp.Transform()); diff != "" || messages < 2 || users != 0 || entries != 0 {
			t.Errorf("%s: %d messages, %d users and %d entries missing, -items +columns:\n%s", measure, messages, users, entries, diff)
		}
	}
}
