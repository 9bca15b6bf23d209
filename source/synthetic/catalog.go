package synthetic

import (
	"strconv"
	"strings"
)

// item is one product, 12 bytes.
type item struct {
	price    uint32 // in cents
	day      uint16 // of the window on which it appears; 0 is from the start
	cluster  uint16
	category uint8
	brand    uint8
}

func (it *item) style() int { return int(it.brand) % styles }

// cluster is one taste: items that the same users look at.
type cluster struct {
	share   float64  // of the popularity of all items
	members []uint32 // items by descending popularity
	draw    alias    // of a member
	peak    float64  // day of the year
	main    uint8    // category of most items
	second  uint8    // category of the others
}

// rule says: who puts the antecedent into the cart adds the consequent with
// probability confidence.
type rule struct {
	antecedent, consequent int
	confidence             float64
	orders, both           int64 // counted when generated
}

// catalog has the products and what is planted among them.
type catalog struct {
	items    []item
	clusters []cluster
	topics   alias // of a cluster, by share
	rules    []rule
	ruleOf   map[int]int // from antecedent
	ranks    permutation // popularity rank -> item
	names    []permutation
	width    int // digits of an item number
}

func newCatalog(cfg *Config) *catalog {
	c := &catalog{
		items:    make([]item, cfg.Items),
		clusters: make([]cluster, cfg.Clusters),
		ruleOf:   map[int]int{},
		ranks:    newPermutation(cfg.Seed, domainItemOrder, 0, cfg.Items),
		width:    digits(cfg.Items),
	}
	r := newRandom(cfg.Seed, domainCatalog, 0)
	for k := range c.clusters {
		// The peaks are spread over the year, the categories over the clusters.
		c.clusters[k].peak = mul(365.25, float64(k)+r.float()) / float64(cfg.Clusters)
		c.clusters[k].main = uint8(k % len(categories))
		c.clusters[k].second = uint8((k + r.between(1, len(categories)-1)) % len(categories))
	}
	c.deal(cfg, &r)
	for j := range categories {
		c.names = append(c.names, newPermutation(cfg.Seed, domainNames, uint64(j), combinations(j)))
	}
	c.plantRules(cfg, &r)
	return c
}

// deal gives the items to the clusters, so many ranks at a time as there are clusters, one to
// each, which makes clusters of equal size and similar popularity.
func (c *catalog) deal(cfg *Config, r *random) {
	order := make([]int, cfg.Clusters)
	weights := make([][]float64, cfg.Clusters)
	total := 0.0
	for rank := range cfg.Items {
		at := rank % cfg.Clusters
		if at == 0 {
			for i := range order {
				j := r.intN(i + 1)
				order[i], order[j] = order[j], i
			}
		}
		k := order[at]
		cl := &c.clusters[k]
		number := c.ranks.apply(rank)
		c.items[number] = c.newItem(cfg, cl, k, r)
		cl.members = append(cl.members, uint32(number))
		w := power(float64(rank+1)+cfg.Head, -cfg.Zipf)
		weights[k] = append(weights[k], w)
		cl.share += w
		total += w
	}
	shares := make([]float64, cfg.Clusters)
	for k := range c.clusters {
		cl := &c.clusters[k]
		cl.draw = newAlias(weights[k])
		cl.share /= total
		shares[k] = cl.share
	}
	c.topics = newAlias(shares)
}

func (c *catalog) newItem(cfg *Config, cl *cluster, k int, r *random) item {
	it := item{cluster: uint16(k), category: cl.main, brand: uint8(r.intN(len(brands)))}
	if r.float() < 0.3 {
		it.category = cl.second
	}
	// Prices are spread evenly over the logarithm of the category's range and end on 49 or 99 cents.
	words := &categories[it.category]
	price := mul(words.low, power(words.high/words.low, r.float()))
	it.price = uint32(price*2)*50 + 49
	// The first of a cluster is there from the start, so that there is always one to draw.
	if fresh := r.float() < cfg.NewItems; fresh && len(cl.members) > 0 && cfg.Days > 1 {
		it.day = uint16(r.between(1, cfg.Days-1))
	}
	return it
}

// soldOut is the share of products of which none is left.
const soldOut = 0.05

// stock returns the pieces of a product that are left at the end of the window: none, or 1 to 400, most often few. Nothing else depends on it.
func stock(seed uint64, item int) int64 {
	r := newRandom(seed, domainStock, uint64(item))
	if r.float() < soldOut {
		return 0
	}
	return int64(power(400, r.float()))
}

// plantRules chooses antecedents among the popular items of a cluster and
// consequents among the middling ones, of the same cluster for even rules, of any for odd ones.
// No item is in two rules, and none appears within the window.
func (c *catalog) plantRules(cfg *Config, r *random) {
	used := map[int]bool{}
	pick := func(members []uint32, low, high int) (int, bool) {
		for range 20 {
			if high <= low {
				break
			}
			i := int(members[low+r.intN(high-low)])
			if !used[i] && c.items[i].day == 0 {
				used[i] = true
				return i, true
			}
		}
		return 0, false
	}
	for n := range cfg.Rules {
		from := c.clusters[n%cfg.Clusters].members
		to := from
		if n%2 == 1 {
			to = c.clusters[r.intN(cfg.Clusters)].members
		}
		a, ok := pick(from, 0, len(from)/4)
		if !ok {
			continue
		}
		b, ok := pick(to, len(to)/4, len(to)*3/4)
		if !ok {
			continue
		}
		c.ruleOf[a] = len(c.rules)
		// From 0.30 to 0.80 in steps of 0.05.
		c.rules = append(c.rules, rule{antecedent: a, consequent: b, confidence: float64(r.between(6, 16)) / 20})
	}
}

// combinations returns the number of names of category j.
func combinations(j int) int {
	return len(adjectives) * len(categories[j].materials) * len(categories[j].nouns)
}

// title is the parts of a name.
type title struct {
	adjective, material, noun string
	series                    int // from 1, named from 2 on
}

// name returns the name of the nth item of a category. Names are unique: when
// a category has used all combinations it numbers them.
func (c *catalog) name(category uint8, n int) string {
	t := c.title(category, n)
	name := strings.Join([]string{t.adjective, t.material, t.noun}, " ")
	if t.series > 1 {
		name += " No. " + strconv.Itoa(t.series)
	}
	return name
}

func (c *catalog) title(category uint8, n int) title {
	words := &categories[category]
	all := combinations(int(category))
	x := c.names[category].apply(n % all)
	noun := words.nouns[x%len(words.nouns)]
	x /= len(words.nouns)
	material := words.materials[x%len(words.materials)]
	return title{adjectives[x/len(words.materials)], material, noun, n/all + 1}
}

// digits returns the width of numbers below n, at least 4.
func digits(n int) int { return max(4, len(strconv.Itoa(n-1))) }

// appendKey appends a letter and n with leading zeros.
func appendKey(dst []byte, letter byte, n, width int) []byte {
	dst = append(dst, letter)
	at := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0 && i >= at; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

func (c *catalog) appendItem(dst []byte, i int) []byte { return appendKey(dst, 'P', i, c.width) }

// appendPrice appends cents as a decimal number.
func appendPrice(dst []byte, cents uint32) []byte {
	dst = strconv.AppendUint(dst, uint64(cents/100), 10)
	return append(dst, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}
