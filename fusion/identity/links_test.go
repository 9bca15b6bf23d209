package identity_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/identity"
)

type link struct{ a, b identity.Key }

func key(kind, text string) identity.Key { return identity.Key{Kind: kind, Text: text} }

func resolve(t testing.TB, cfg identity.LinkConfig, links []link) *identity.Entities {
	t.Helper()
	l, err := identity.NewLinks(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range links {
		if err := l.Add(x.a, x.b); err != nil {
			t.Fatal(err)
		}
	}
	e, err := l.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// groups returns the entities with more than one key, as text.
func groups(e *identity.Entities) []string {
	var out []string
	for canonical, keys := range e.All() {
		if len(keys) > 1 {
			out = append(out, fmt.Sprint(canonical, ": ", keys))
		}
	}
	return out
}

func TestLinks(t *testing.T) {
	a, c, d := func(s string) identity.Key { return key("account", s) }, func(s string) identity.Key { return key("cookie", s) },
		func(s string) identity.Key { return key("device", s) }
	var guest []link
	for i := range 30 {
		guest = append(guest, link{a("visitor"), c(fmt.Sprint("c", i))}, link{a(fmt.Sprintf("u%02d", i)), c(fmt.Sprint("c", i))})
	}
	tests := []struct {
		name    string
		links   []link
		want    []string
		hubs    map[string]int64
		dropped int64
		glued   int64
		below   int
	}{
		{name: "nothing"},
		{
			name: "a cookie and a device of an account", links: []link{{c("1"), d("1")}, {d("1"), a("1")}},
			want: []string{"account 1: [account 1 cookie 1 device 1]"},
		},
		{name: "the least key of the best kind stands for all", links: []link{{a("9"), a("3")}, {c("5"), a("9")}}, want: []string{"account 3: [account 3 account 9 cookie 5]"}},
		{
			name: "a shared device joins nobody", links: []link{{d("x"), a("1")}, {d("x"), a("2")}, {c("1"), a("1")}},
			want: []string{"account 1: [account 1 cookie 1]"}, hubs: map[string]int64{"device": 1}, dropped: 2,
		},
		{
			name: "two accounts of one person count once", links: []link{{d("x"), a("1")}, {d("x"), a("2")}, {a("1"), a("2")}},
			want: []string{"account 1: [account 1 account 2 device x]"},
		},
		{
			name: "a device shared by cookies of two accounts", links: []link{{d("x"), c("1")}, {d("x"), c("2")}, {c("1"), a("1")}, {c("2"), a("2")}},
			want: []string{"account 1: [account 1 cookie 1]", "account 2: [account 2 cookie 2]"}, hubs: map[string]int64{"device": 1}, dropped: 2,
		},
		{
			name: "a shared cookie does not join devices", links: []link{{c("x"), a("1")}, {c("x"), a("2")}, {d("1"), c("x")}, {d("1"), a("1")}, {d("2"), c("x")}, {d("2"), a("2")}},
			want: []string{"account 1: [account 1 device 1]", "account 2: [account 2 device 2]"}, hubs: map[string]int64{"cookie": 1}, dropped: 4,
		},
		{
			name: "nor does one without account", links: []link{{d("1"), c("x")}, {d("1"), a("1")}, {d("2"), c("x")}, {d("2"), a("2")}},
			want: []string{"account 1: [account 1 device 1]", "account 2: [account 2 device 2]"}, hubs: map[string]int64{"cookie": 1}, dropped: 2,
		},
		{
			name: "what is no key", links: []link{{a("NULL"), c("1")}, {a("1"), d("00000000-0000-0000")}, {a(""), d("2")}, {a(" Unknown "), c("1")}},
		},
		{
			name: "a guest account would take all cookies", links: guest, below: 20,
			want: func() []string {
				var w []string
				for i := range 30 {
					w = append(w, fmt.Sprintf("account u%02d: [account u%02d cookie c%d]", i, i, i))
				}
				return w
			}(), hubs: map[string]int64{"account": 1}, dropped: 30,
		},
		{
			name: "chains through anonymous keys are told", links: []link{
				{d("1"), a("1")}, {d("1"), c("1")}, {c("1"), d("2")}, {d("2"), c("2")}, {c("2"), d("3")}, {d("3"), a("3")},
			},
			want: []string{"account 1: [account 1 account 3 cookie 1 cookie 2 device 1 device 2 device 3]"}, glued: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := identity.UserLinks("account", "cookie", "device")
			if tt.below > 0 {
				cfg.MaxBelow = tt.below
			}
			e := resolve(t, cfg, tt.links)
			if d := cmp.Diff(tt.want, groups(e)); d != "" {
				t.Errorf("entities: want (-), got (+):\n%s", d)
			}
			hubs := tt.hubs
			if hubs == nil {
				hubs = map[string]int64{}
			}
			if d := cmp.Diff(hubs, e.Report.Hubs); d != "" {
				t.Errorf("hubs: want (-), got (+):\n%s", d)
			}
			if e.Report.Dropped != tt.dropped || e.Report.Glued != tt.glued {
				t.Errorf("%d links dropped, %d entities glued; want %d and %d", e.Report.Dropped, e.Report.Glued, tt.dropped, tt.glued)
			}
		})
	}
}

func TestHubSamples(t *testing.T) {
	var links []link
	for i := range 40 {
		links = append(links, link{key("account", fmt.Sprintf("a%02d", i)), key("device", "kiosk")}, link{key("account", fmt.Sprintf("a%02d", i)), key("device", fmt.Sprint("own", i))})
	}
	e := resolve(t, identity.UserLinks("account", "device"), links)
	want := []identity.Hub{{
		Key: key("device", "kiosk"), Degree: 40, Of: "account", Links: 40,
		With: []identity.Key{key("account", "a00"), key("account", "a01"), key("account", "a02")},
	}}
	if d := cmp.Diff(want, e.Report.Samples); d != "" {
		t.Errorf("samples: want (-), got (+):\n%s", d)
	}
	if got, ok := e.Canonical(key("device", "own7")); !ok || got != key("account", "a07") {
		t.Errorf("own7 is of %v (known: %t), want account a07", got, ok)
	}
	if got, ok := e.Canonical(key("device", "kiosk")); !ok || got != key("device", "kiosk") {
		t.Errorf("kiosk is of %v (known: %t), want itself", got, ok)
	}
	if got, ok := e.Canonical(key("device", "nobody's")); ok {
		t.Errorf("an unknown key is of %v", got)
	}
}

// TestResolveLikeNaive compares, where nothing is a hub, with sets merged link by link, and checks that the order of links does not matter where there are some.
func TestResolveLikeNaive(t *testing.T) {
	kinds := []string{"a", "b", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.Custom(func(rt *rapid.T) identity.Key {
			return key(rapid.SampledFrom(kinds).Draw(rt, "kind"), rapid.StringMatching(`[a-f]`).Draw(rt, "text"))
		})
		var links []link
		for range rapid.IntRange(0, 40).Draw(rt, "links") {
			links = append(links, link{k.Draw(rt, "a"), k.Draw(rt, "b")})
		}
		cfg := identity.LinkConfig{Kinds: kinds, MaxAbove: 1000, MaxBelow: 1000, Samples: 5}
		got, want := groups(resolve(t, cfg, links)), naive(kinds, links)
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("entities: naive (-), got (+):\n%s", d)
		}
		cfg.MaxAbove = rapid.IntRange(1, 3).Draw(rt, "above")
		cfg.MaxBelow = rapid.IntRange(1, 5).Draw(rt, "below")
		first := resolve(t, cfg, links)
		shuffled := slices.Clone(links)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			if r.IntN(2) == 0 {
				shuffled[i].a, shuffled[i].b = shuffled[i].b, shuffled[i].a
			}
		}
		second := resolve(t, cfg, shuffled)
		if d := cmp.Diff(groups(first), groups(second)); d != "" {
			rt.Fatalf("entities in two orders of links:\n%s", d)
		}
		if d := cmp.Diff(first.Report, second.Report); d != "" {
			rt.Fatalf("reports in two orders of links:\n%s", d)
		}
	})
}

func naive(kinds []string, links []link) []string {
	less := func(x, y identity.Key) int {
		if c := slices.Index(kinds, x.Kind) - slices.Index(kinds, y.Kind); c != 0 {
			return c
		}
		if x.Text < y.Text {
			return -1
		}
		return 1
	}
	var sets [][]identity.Key
	for _, l := range links {
		merged := []identity.Key{l.a, l.b}
		var rest [][]identity.Key
		for _, s := range sets {
			if slices.Contains(s, l.a) || slices.Contains(s, l.b) {
				merged = append(merged, s...)
			} else {
				rest = append(rest, s)
			}
		}
		slices.SortFunc(merged, less)
		merged = slices.Compact(merged)
		sets = append(rest, merged)
	}
	slices.SortFunc(sets, func(x, y []identity.Key) int { return less(x[0], y[0]) })
	var out []string
	for _, s := range sets {
		if len(s) > 1 {
			out = append(out, fmt.Sprint(s[0], ": ", s))
		}
	}
	return out
}

func TestLinksRefuse(t *testing.T) {
	for _, cfg := range []identity.LinkConfig{
		{},
		{Kinds: []string{"a"}, MaxBelow: 1},
		{Kinds: []string{"a"}, MaxAbove: 1},
		{Kinds: []string{"a", "a"}, MaxAbove: 1, MaxBelow: 1},
		{Kinds: []string{"a", ""}, MaxAbove: 1, MaxBelow: 1},
		{Kinds: []string{"a"}, MaxAbove: 1, MaxBelow: 1, MemoryBytes: -1},
	} {
		if _, err := identity.NewLinks(cfg); !errors.Is(err, identity.ErrConfig) {
			t.Errorf("%+v: error %v, want %v", cfg, err, identity.ErrConfig)
		}
	}
	cfg := identity.UserLinks("account", "device")
	cfg.MemoryBytes = 1 << 20
	l, err := identity.NewLinks(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Add(key("account", "1"), key("shoe", "2")); !errors.Is(err, identity.ErrConfig) {
		t.Errorf("a kind that is not declared: error %v, want %v", err, identity.ErrConfig)
	}
	// The same links again and again fit, new ones do not.
	for i := range 300_000 {
		if err := l.Add(key("account", fmt.Sprint("a", i%500)), key("device", fmt.Sprint("d", i%500))); err != nil {
			t.Fatalf("link %d, one of 500: %v", i, err)
		}
	}
	for i := range 300_000 {
		if err = l.Add(key("account", fmt.Sprint("b", i)), key("device", fmt.Sprint("e", i))); err != nil {
			break
		}
	}
	if !errors.Is(err, identity.ErrTooLarge) {
		t.Errorf("beyond the memory: error %v, want %v", err, identity.ErrTooLarge)
	}
}
