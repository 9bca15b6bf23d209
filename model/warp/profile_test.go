package warp

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// profileOf is a profile that tells the taste of a user of modeltest.Blocks: one half of it each.
func profileOf(user int) []model.Attribute {
	return []model.Attribute{
		{Name: "age", Number: float64(20 + 30*(user%4/2) + user%3)},
		{Name: "club", Texts: []string{fmt.Sprintf(" Club %d", user%2)}},
		{Name: "mail", Texts: []string{fmt.Sprintf("%d@example.com", user)}},
	}
}

// smallOfUsers trains fast of attributes of users.
var smallOfUsers = map[string]string{"factors": "8", "iterations": "3", "batches": "2", "user-attributes": "age+club"}

// trainedOf trains of rows and of profiles.
func trainedOf(ctx context.Context, given map[string]string, rows *similarity.Rows, profile func(user int) []model.Attribute, workers, threads int) ([]byte, error) {
	s, err := model.ParseSettings(Kind.Parameters, given)
	if err != nil {
		return nil, err
	}
	data := train.Split(rows, nil, workers)
	for w, d := range data {
		for u := d.Shape.FirstUser[w]; profile != nil && u < d.Shape.FirstUser[w+1]; u++ {
			d.Profiles = append(d.Profiles, profile(u))
		}
	}
	return train.Run(ctx, Kind, s, data, train.Options{Threads: threads})
}

// TestNewUsers: users of whom only attributes are known get the items of their taste, those with a history what they got without, and those of whom nothing is known what is popular.
func TestNewUsers(t *testing.T) {
	rows, right := modeltest.Blocks()
	given := maps.Clone(smallOfUsers)
	maps.Copy(given, map[string]string{"iterations": "60", "learning-rate": "0.2"})
	file, err := trainedOf(t.Context(), given, rows, profileOf, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Kind.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for u := range rows.NumUsers() {
		answer, err := m.Recommend(model.Query{User: -1, Profile: profileOf(u), N: 12})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range answer {
			if int(x.Item)%4 != u%4 || x.Filled {
				t.Errorf("by the profile of user %d: got %v, want the twelve items of taste %d", u, answer, u%4)
				break
			}
		}
		items := rows.Item[rows.Start[u]:rows.Start[u+1]]
		if answer, err = m.Recommend(model.Query{User: u, Items: items, Profile: profileOf(u), N: len(right[u])}); err != nil {
			t.Fatal(err)
		}
		var got []uint32
		for _, x := range answer {
			got = append(got, x.Item)
		}
		if slices.Sort(got); !slices.Equal(got, right[u]) {
			t.Errorf("user %d: got %v, want %v", u, got, right[u])
		}
	}
	answer, err := m.Recommend(model.Query{User: -1, Profile: []model.Attribute{{Name: "club", Texts: []string{"another"}}, {Name: "mail", Texts: []string{"x"}}}, N: 3})
	if err != nil || len(answer) != 3 || !answer[0].Filled {
		t.Errorf("of a profile that says nothing: %v, %v, want what is popular", answer, err)
	}
	if got := m.(train.Profiled).UserAttributes(); !slices.Equal(got, []string{"age", "club"}) {
		t.Errorf("looks at %q, want age and club", got)
	}
}

// TestSameBytesOfUsers: the model depends neither on workers nor on threads, and what was not named, or belongs to few, is not in it.
func TestSameBytesOfUsers(t *testing.T) {
	rows, _ := modeltest.Blocks()
	some := func(user int) []model.Attribute {
		switch profile := profileOf(user); {
		case user%7 == 0:
			return nil
		case user < 9:
			return append(profile[:1:1], model.Attribute{Name: "club", Texts: []string{"club 0", "of nine"}})
		default:
			return profile
		}
	}
	want, err := trainedOf(t.Context(), smallOfUsers, rows, some, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{2, 3, 7} {
		if got, err := trainedOf(t.Context(), smallOfUsers, rows, some, workers, 9); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d workers make another file than one: %v", workers, err)
		}
	}
	for text, there := range map[string]bool{"club 1": true, "of nine": false, "example.com": false, "mail": false} {
		if bytes.Contains(want, []byte(text)) != there {
			t.Errorf("%q is in the file: %v, want %v", text, !there, there)
		}
	}
	plain := maps.Clone(smallOfUsers)
	delete(plain, "user-attributes")
	got, err := trainedOf(t.Context(), plain, rows, some, 1, 1)
	if err != nil || !bytes.Equal(got, trained(t, small, rows, nil, 1, 1)) {
		t.Errorf("profiles change a model that is not told to look at them: %v", err)
	}
}

func TestUsersThatDoNotFit(t *testing.T) {
	rows, _ := modeltest.Blocks()
	with := func(name, value string) map[string]string {
		given := maps.Clone(smallOfUsers)
		given[name] = value
		return given
	}
	var many []string
	for i := range maxValues + 1 {
		many = append(many, fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		given   map[string]string
		profile func(int) []model.Attribute
		want    string
	}{
		"no records":      {smallOfUsers, nil, "give records of users"},
		"a name mistyped": {with("user-attributes", "culb"), profileOf, `"culb"`},
		"nothing shared":  {with("user-attributes", "mail"), profileOf, `"mail"`},
		"too few":         {with("least-users", "61"), profileOf, `"club"`},
		"too many values": {with("user-attributes", "club"), func(u int) []model.Attribute {
			return []model.Attribute{{Name: "club", Texts: many[:len(many)>>(20*u)]}}
		}, "different values"},
		"only long values": {with("user-attributes", "club"), func(int) []model.Attribute {
			return []model.Attribute{{Name: "club", Texts: []string{strings.Repeat("x", 200)}}}
		}, `"club"`},
	} {
		if _, err := trainedOf(t.Context(), c.given, rows, c.profile, 2, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestTraits(t *testing.T) {
	all := traits{{Name: "age", Knots: []float64{20, 30, 60}}, {Name: "club", Texts: []string{"a", "b"}}, {Name: "mixed", Texts: []string{"x"}, Knots: []float64{1}}}
	for name, c := range map[string]struct {
		profile  []model.Attribute
		features []uint32
		weights  []float32
	}{
		"nothing":               {},
		"what is not named":     {profile: []model.Attribute{{Name: "mail", Texts: []string{"a"}}}},
		"between two knots":     {[]model.Attribute{{Name: "age", Number: 37.5}}, []uint32{1, 2}, []float32{0.75, 0.25}},
		"at a knot":             {[]model.Attribute{{Name: "age", Number: 30}}, []uint32{1}, []float32{1}},
		"below and above":       {[]model.Attribute{{Name: "age", Number: -5}, {Name: "mixed", Number: 9}}, []uint32{0, 6}, []float32{1, 1}},
		"no number":             {profile: []model.Attribute{{Name: "age", Number: math.NaN()}}},
		"spelled otherwise":     {[]model.Attribute{{Name: "club", Texts: []string{" B", "b", "c"}}}, []uint32{4}, []float32{1}},
		"two of one attribute":  {[]model.Attribute{{Name: "club", Texts: []string{"b", "a"}}}, []uint32{3, 4}, []float32{0.5, 0.5}},
		"a text among numbers":  {profile: []model.Attribute{{Name: "age", Texts: []string{"20"}}}},
		"a text where both are": {[]model.Attribute{{Name: "mixed", Texts: []string{"X"}}}, []uint32{5}, []float32{1}},
	} {
		features, weights := all.of(c.profile)
		if !slices.Equal(features, c.features) || !slices.Equal(weights, c.weights) {
			t.Errorf("%s: %v with weights %v, want %v with %v", name, features, weights, c.features, c.weights)
		}
	}
}

// TestKnots: each stands for as many users as are asked for, at least.
func TestKnots(t *testing.T) {
	if got, want := knots(map[float64]int{1: 10, 2: 10, 3: 10, 4: 10}, 20), []float64{2, 4}; !slices.Equal(got, want) {
		t.Errorf("two classes of twenty have the middles %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		users, total := map[float64]int{}, 0
		for x, n := range rapid.MapOf(rapid.Float64Range(-1e3, 1e3), rapid.IntRange(1, 50)).Draw(t, "users") {
			users[coarse(x)] += n
			total += n
		}
		least := rapid.IntRange(2, 100).Draw(t, "least")
		got := knots(users, least)
		if len(got) > min(maxKnots, total/least) || (len(got) == 0) != (total < least) || !ascending(got) {
			t.Fatalf("%d users in classes of %d or more have knots %v", total, least, got)
		}
		for _, x := range got {
			if users[x] == 0 {
				t.Fatalf("knot %v is no number that a user has", x)
			}
		}
	})
}

func TestCoarse(t *testing.T) {
	for _, x := range []float64{0, 1, -1, 127, 511} {
		if coarse(x) != x {
			t.Errorf("coarse(%v) = %v", x, coarse(x))
		}
	}
	if math.Signbit(coarse(math.Copysign(0, -1))) {
		t.Error("coarse(-0) is below 0")
	}
	if got := coarse(1_234_567); got == 1_234_567 || math.Abs(got-1_234_567) > 1_234_567/256 {
		t.Errorf("coarse(1234567) = %v, want it near but not the same", got)
	}
}

// TestDamagedOfUsers is TestDamaged for a file with features of users.
func TestDamagedOfUsers(t *testing.T) {
	rows, _ := modeltest.Blocks()
	file, err := trainedOf(t.Context(), smallOfUsers, rows, profileOf, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(file) {
		if _, err := Kind.Read(file[:n:n]); err == nil {
			t.Errorf("reads a file cut at %d of %d bytes", n, len(file))
		}
	}
	if _, err := Kind.Read(append(slices.Clone(file), 0)); err == nil {
		t.Error("reads a file with a byte more")
	}
	for seed := range uint64(2000) {
		b := modeltest.Damage(file, seed)
		if seed%2 == 0 { // at the end, where the features are
			b = slices.Clone(file)
			b[len(b)-1-int(seed/2)%300] ^= byte(1 + seed%255)
		}
		m, err := Kind.Read(b)
		if err != nil {
			continue
		}
		answer, err := m.Recommend(model.Query{User: -1, Profile: profileOf(1), N: 5})
		for _, x := range answer {
			if math.IsNaN(x.Score) || math.IsInf(x.Score, 0) {
				t.Fatalf("damage %d: score %v, %v", seed, x.Score, err)
			}
		}
	}
}

// TestReadTraits: what is out of order is refused, as it would not be found.
func TestReadTraits(t *testing.T) {
	want := traits{{Name: "a", Texts: []string{"x", "y"}}, {Name: "b", Knots: []float64{1, 2.5}}}
	got, err := readTraits([]byte(`[{"name":"a","texts":["x","y"]},{"name":"b","knots":[1,2.5]}]`))
	if d := gocmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v, -want +got:\n%s", err, d)
	}
	for _, text := range []string{
		"", "7", `[{"name":"a"},{"name":"a"}]`, `[{"name":"a","texts":["y","x"]}]`, `[{"name":"a","knots":[1,1]}]`, `[{"name":"a","knots":[-1.7e308,1.7e308]}]`,
	} {
		if got, err := readTraits([]byte(text)); err == nil {
			t.Errorf("%s gives %v, want an error", text, got)
		}
	}
}
