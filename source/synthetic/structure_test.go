package synthetic

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// shop is a generated shop as a reader of its files sees it.
type shop struct {
	files memory
	truth Truth
	log   log // devices are resolved to users
	items map[string]truthItem
	users map[string]truthUser
}

type truthItem struct {
	rank, cluster, style int
	popularity           float64
	fresh                bool
}

type truthUser struct {
	activity float64
	clusters []int
	fraud    string
	fresh    bool
}

var theShop = sync.OnceValue(func() *shop {
	t := &testing.B{}
	cfg := DefaultConfig(3000, 600, 200_000, 11)
	cfg.Fraud = 0.02 // enough to measure
	m, _ := generate(t, cfg)
	s := &shop{files: m, truth: m.truth(t), log: readLog(t, m), items: map[string]truthItem{}, users: map[string]truthUser{}}
	integer := func(x string) int { n, _ := strconv.Atoi(x); return n }
	float := func(x string) float64 { f, _ := strconv.ParseFloat(x, 64); return f }
	first := cfg.Start.Format(time.DateOnly)
	for _, r := range m.rows(t, TruthItemsFile) {
		s.items[r["item"]] = truthItem{rank: integer(r["rank"]), cluster: integer(r["cluster"]), style: integer(r["style"]), popularity: float(r["popularity"])}
	}
	for _, r := range m.rows(t, ProductsFile) {
		it := s.items[r["item"]]
		it.fresh = r["added"] > first
		s.items[r["item"]] = it
	}
	for _, r := range m.rows(t, TruthUsersFile) {
		u := truthUser{activity: float(r["activity"]), fraud: r["fraud"]}
		for _, c := range []string{"cluster1", "cluster2", "cluster3"} {
			if r[c] != "" {
				u.clusters = append(u.clusters, integer(r[c]))
			}
		}
		s.users[r["user"]] = u
	}
	for _, r := range m.rows(t, UsersFile) {
		u := s.users[r["user"]]
		u.fresh = r["signup"] >= first
		s.users[r["user"]] = u
	}
	devices := map[string]string{}
	for _, r := range m.rows(t, IdentitiesFile) {
		devices[r["device"]] = r["user"]
	}
	for i := range s.log.rows {
		if u, ok := devices[s.log.rows[i].user]; ok {
			s.log.rows[i].user = u
		}
	}
	return s
})

// between logs x and fails the test if it is not between low and high.
func between(t *testing.T, what string, x, low, high float64) {
	t.Helper()
	t.Logf("%s: %.4g", what, x)
	if !(x >= low && x <= high) {
		t.Errorf("%s is %.4g; want %.4g to %.4g", what, x, low, high)
	}
}

// slope returns the slope of the least-squares line through points.
func slope(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	sxy, sxx := 0.0, 0.0
	for i := range x {
		sxy += (x[i] - mx) * (y[i] - my)
		sxx += (x[i] - mx) * (x[i] - mx)
	}
	return sxy / sxx
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func TestPopularityIsZipf(t *testing.T) {
	if testing.Short() {
		t.Skip("is one goroutine, of which the race detector has nothing to tell")
	}
	s := theShop()
	// What rules add is left out: their consequents have more than their popularity.
	consequent := map[string]bool{}
	for _, r := range s.truth.Rules {
		consequent[r.Then] = true
	}
	counts, all := map[string]float64{}, 0.0
	for _, r := range s.log.rows {
		if r.behavior == "view" && s.users[r.user].fraud == "" {
			counts[r.item]++
			all++
		}
	}
	var x, y []float64
	head, want := 0.0, 0.0
	for key, it := range s.items {
		if it.fresh || consequent[key] {
			continue
		}
		if counts[key] == 0 {
			t.Errorf("item %s of rank %d has no view", key, it.rank)
			continue
		}
		x = append(x, math.Log(float64(it.rank)+s.truth.Config.Head))
		y = append(y, math.Log(counts[key]))
		if it.rank <= 60 {
			head += counts[key] / all
			want += it.popularity
		}
	}
	between(t, "slope of popularity", slope(x, y), -s.truth.Config.Zipf-0.07, -s.truth.Config.Zipf+0.07)
	between(t, "share of the first tenth over that planted", head/want, 0.9, 1.15)
}

func TestActivityIsLogNormal(t *testing.T) {
	s := theShop()
	var logs []float64
	sessions, seen := map[string]float64{}, map[string]bool{}
	for _, r := range s.log.rows {
		if r.session != "" && !seen[r.session] {
			seen[r.session] = true
			sessions[r.user]++
		}
	}
	var users []string
	for key, u := range s.users {
		logs = append(logs, math.Log(u.activity))
		users = append(users, key)
	}
	sigma := s.truth.Config.Activity
	slices.Sort(logs)
	for i := 150; i < 3000; i += 150 {
		p := float64(i) / 3000
		between(t, "Φ of the activity at "+strconv.Itoa(i), math.Erfc(-logs[i]/sigma/math.Sqrt2)/2, p-0.001, p+0.001)
	}
	// The sessions of each tenth of the users against the integral of the log-normal law.
	slices.SortFunc(users, func(a, b string) int { return cmp.Compare(s.users[a].activity, s.users[b].activity) })
	for tenth := range 10 {
		got := 0.0
		for _, u := range users[tenth*300 : tenth*300+300] {
			got += sessions[u] / float64(len(seen))
		}
		share := func(p float64) float64 {
			if p <= 0 || p >= 1 {
				return max(0, min(p, 1))
			}
			return math.Erfc(-(math.Sqrt2*math.Erfinv(2*p-1)-sigma)/math.Sqrt2) / 2
		}
		want := share(float64(tenth+1)/10) - share(float64(tenth)/10)
		between(t, "sessions of tenth "+strconv.Itoa(tenth)+" over those of the law", got/want, 0.85, 1.15)
	}
}

func TestRulesHoldInOrders(t *testing.T) {
	s := theShop()
	orders := map[string]map[string]bool{}
	for _, r := range s.log.rows {
		if r.behavior == "purchase" {
			if orders[r.order] == nil {
				orders[r.order] = map[string]bool{}
			}
			orders[r.order][r.item] = true
		}
	}
	count := func(a, b string) (n, both int64) {
		for _, o := range orders {
			if o[a] {
				n++
				if o[b] {
					both++
				}
			}
		}
		return n, both
	}
	if len(s.truth.Rules) < 30 {
		t.Fatalf("%d rules are planted", len(s.truth.Rules))
	}
	enough, got, want, chance := 0, 0.0, 0.0, 0.0
	for _, r := range s.truth.Rules {
		n, both := count(r.If, r.Then)
		if n != r.Orders || both != r.Both {
			t.Errorf("rule %v: the files have %d orders, %d with both", r, n, both)
		}
		if n < 20 {
			continue
		}
		enough++
		c := r.Confidence
		deviation := 4 * math.Sqrt(c*(1-c)/float64(n))
		between(t, "confidence of "+r.If+" -> "+r.Then, float64(both)/float64(n), c-deviation, c+deviation+0.08)
		got += float64(both) / float64(n)
		want += c
		// How often the consequent is in the other orders.
		with, _ := count(r.Then, r.If)
		chance += float64(with-both) / float64(int64(len(orders))-n)
	}
	if enough < 15 {
		t.Errorf("only %d rules have 20 orders", enough)
	}
	between(t, "mean confidence over that planted", got/want, 0.95, 1.12)
	between(t, "mean share of the consequent in orders without the antecedent", chance/float64(enough), 1e-6, 0.02)
}

// histories returns the distinct items of each user, in order of time.
func (s *shop) histories() map[string][]string {
	rows := slices.Clone(s.log.rows)
	slices.SortStableFunc(rows, func(a, b row) int { return a.time.Compare(b.time) })
	type pair struct{ user, item string }
	seen := map[pair]bool{}
	out := map[string][]string{}
	for _, r := range rows {
		if p := (pair{r.user, r.item}); !seen[p] {
			seen[p] = true
			out[r.user] = append(out[r.user], r.item)
		}
	}
	return out
}

// cosines returns the item-item cosines of histories: common users over the root of the product.
func cosines(histories map[string][]string) (counts map[string]float64, of func(a, b string) float64) {
	counts = map[string]float64{}
	common := map[[2]string]float64{}
	for _, items := range histories {
		for _, a := range items {
			counts[a]++
			for _, b := range items {
				common[[2]string{a, b}]++
			}
		}
	}
	return counts, func(a, b string) float64 {
		if counts[a] == 0 || counts[b] == 0 {
			return 0
		}
		return common[[2]string{a, b}] / math.Sqrt(counts[a]*counts[b])
	}
}

func TestClustersAreSeparable(t *testing.T) {
	s := theShop()
	_, cosine := cosines(s.histories())
	var top []string
	for key, it := range s.items {
		if it.rank <= 200 {
			top = append(top, key)
		}
	}
	slices.Sort(top)
	var inside, across []float64
	nearest := 0.0
	for _, a := range top {
		best, bestOf := 0.0, ""
		for _, b := range top {
			if a == b {
				continue
			}
			c := cosine(a, b)
			if s.items[a].cluster == s.items[b].cluster {
				inside = append(inside, c)
			} else {
				across = append(across, c)
			}
			if c > best {
				best, bestOf = c, b
			}
		}
		if s.items[bestOf].cluster == s.items[a].cluster {
			nearest++
		}
	}
	between(t, "mean cosine inside clusters over across", mean(inside)/mean(across), 2, 100)
	between(t, "share of items whose nearest item is of their cluster", nearest/float64(len(top)), 0.85, 1)
}

// TestNeighborsBeatPopularity hides the last item of each user.
func TestNeighborsBeatPopularity(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	s := theShop()
	histories := s.histories()
	hidden := map[string]string{}
	for u, items := range histories {
		if len(items) >= 5 && s.users[u].fraud == "" {
			hidden[u] = items[len(items)-1]
			histories[u] = items[:len(items)-1]
		}
	}
	counts, cosine := cosines(histories)
	var items []string
	for key := range s.items {
		items = append(items, key)
	}
	slices.Sort(items)
	// hit reports whether fewer than ten items that the user does not have score at least as much.
	hit := func(u string, score func(string) float64) bool {
		has := map[string]bool{}
		for _, x := range histories[u] {
			has[x] = true
		}
		target, better := score(hidden[u]), 0
		for _, x := range items {
			if !has[x] && x != hidden[u] && score(x) >= target {
				better++
			}
		}
		return better < 10
	}
	byNeighbors, byPopularity, tested := 0.0, 0.0, 0.0
	for u := range hidden {
		if n, _ := strconv.Atoi(u[1:]); n%5 != 0 { // a fifth is enough
			continue
		}
		tested++
		if hit(u, func(x string) float64 { return counts[x] }) {
			byPopularity++
		}
		if hit(u, func(x string) float64 {
			sum := 0.0
			for _, y := range histories[u] {
				sum += cosine(x, y)
			}
			return sum
		}) {
			byNeighbors++
		}
	}
	t.Logf("hit rate at 10 of %v users: neighbors %.3f, popularity %.3f", tested, byNeighbors/tested, byPopularity/tested)
	between(t, "hit rate of neighbors over popularity", byNeighbors/byPopularity, 1.7, 100)
}

func TestSeasons(t *testing.T) {
	s := theShop()
	season := &s.truth.Config.Season
	var hours [24]float64
	var weekdays [7]float64
	var halves [2]float64 // of the year: around the peak, around the trough
	clusters := make([][2]float64, len(s.truth.Clusters))
	seen := map[string]bool{}
	near := func(t time.Time, peak float64) int {
		d := math.Abs(float64(t.YearDay()-1) - peak)
		if min(d, 365.25-d) < 365.25/4 {
			return 0
		}
		return 1
	}
	total := 0.0
	for _, r := range s.log.rows {
		if r.session == "" || seen[r.session] { // the first event of each session
			continue
		}
		seen[r.session] = true
		total++
		hours[r.time.Hour()]++
		weekdays[r.time.Weekday()]++
		halves[near(r.time, season.PeakDay)]++
		k := s.items[r.item].cluster
		clusters[k][near(r.time, s.truth.Clusters[k].PeakDay)]++
	}
	sum := func(x []float64) float64 { return mean(x) * float64(len(x)) }
	for h, n := range hours {
		want := season.Daily[h] / sum(season.Daily[:]) * total
		between(t, "sessions of hour "+strconv.Itoa(h), n, want-5*math.Sqrt(want), want+5*math.Sqrt(want))
	}
	for d, n := range weekdays {
		want := season.Weekly[d] / sum(season.Weekly[:]) * total
		between(t, "sessions of weekday "+strconv.Itoa(d), n, want*0.94, want*1.06)
	}
	// The mean of 1 + a cos over the half around the peak is 1 + 2a/π; growth changes it a little.
	high, low := 1+season.Yearly*2/math.Pi, 1-season.Yearly*2/math.Pi
	between(t, "demand around the peak over the trough", halves[0]/halves[1], high/low*0.9, high/low*1.2)
	var up, down float64
	for k := range clusters {
		up += clusters[k][0]
		down += clusters[k][1]
	}
	// Less than for one season, 1.47, because users shift demand only between their own
	// tastes, and 40 % of them have but one. Without seasons of clusters it is 1.
	between(t, "demand for clusters around their peak over their trough", up/down, 1.08, 1.3)
}

func TestFunnelAndFraud(t *testing.T) {
	s := theShop()
	type step struct{ from, to string }
	steps, from := map[step]float64{}, map[string]float64{}
	last := map[string]row{}
	pauses := map[string][]float64{} // between views, by fraud
	orders, canceled := map[string]float64{}, map[string]float64{}
	for _, r := range s.log.rows {
		f := s.users[r.user].fraud
		switch r.behavior {
		case "purchase":
			orders[f]++
			continue
		case "cancel":
			canceled[f]++
			continue
		}
		before, ok := last[r.session]
		last[r.session] = r
		if !ok {
			before.behavior = "start"
		}
		if ok && before.behavior == "view" && r.behavior == "view" {
			pauses[f] = append(pauses[f], r.time.Sub(before.time).Seconds())
		}
		if f == "" {
			steps[step{before.behavior, r.behavior}]++
			from[before.behavior]++
		}
	}
	for _, r := range last { // how sessions end counts too
		if s.users[r.user].fraud == "" {
			from[r.behavior]++
		}
	}
	funnel := &s.truth.Config.Funnel
	for _, want := range []struct {
		step
		p float64
	}{
		{step{"start", "view"}, funnel.Start.View},
		{step{"start", "search"}, funnel.Start.Search},
		{step{"view", "view"}, funnel.View.View},
		{step{"view", "cart"}, funnel.View.Cart},
		{step{"search", "view"}, funnel.Search.View},
	} {
		// Rules add views and carts, a few percent.
		got := steps[want.step] / from[want.from]
		between(t, "probability of "+want.from+" -> "+want.to, got, want.p-0.04, want.p+0.04)
	}
	between(t, "share of lines canceled by honest users", canceled[""]/orders[""], funnel.Cancel-0.02, funnel.Cancel+0.02)
	between(t, "share of lines canceled by cancelers", canceled["cancel"]/orders["cancel"], 0.75, 1)
	between(t, "pause of honest users in seconds", mean(pauses[""]), 35, 42)
	between(t, "pause of bursts in seconds", mean(pauses["burst"]), 1.3, 1.7)
}

// TestMemoryDoesNotGrow makes ten times the events of the same shop.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a million events")
	}
	measure := func(users int, events int64) (bytes, objects float64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Generate(t.Context(), DefaultConfig(users, 1000, events, 1), discard{}.create, nil); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc), float64(after.Mallocs - before.Mallocs)
	}
	bytes, objects := measure(10_000, 100_000)
	moreBytes, moreObjects := measure(100_000, 1_000_000)
	// All that is ever allocated, not only what is held at once. More sessions are open in
	// a busier shop, up to a bound.
	between(t, "bytes allocated for a million events", moreBytes, 0, bytes+4e6)
	between(t, "objects allocated for a million events", moreObjects, 0, objects+40_000)
}

func TestOpenSessionsAreBounded(t *testing.T) {
	const bound = 300
	cfg := DefaultConfig(1000, 1000, 200_000, 1)
	cfg.Days = 1
	g := newGenerator(&cfg)
	if g.planner.pace != 1 {
		t.Fatalf("pace is %v before there is need", g.planner.pace)
	}
	g = newGenerator(&cfg)
	g.planned, g.sessions = 0, 0
	g.try(bound)
	peak := 0
	g.create = discard{}.create
	g.progress = func(int64, int64) { peak = max(peak, len(g.queue.open)+len(g.queue.free)) }
	if err := g.writeLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	between(t, "peak of open sessions", float64(peak), bound/3, bound*2)
}
