package synthetic

// fraud is the pattern of a user.
type fraud uint8

const (
	honest   fraud = iota
	clicker        // bursts of views of a few items, a second or two apart
	canceler       // large orders, nearly all of them canceled
)

var fraudNames = [...]string{"", "burst", "cancel"}

// user is all about a customer: a function of the configuration and the number.
type user struct {
	number   int
	rank     int // by activity, from the least active
	clusters [3]int
	weights  [3]float64 // of the clusters; 0 for those not used
	favorite [2]int     // styles
	country  int
	signup   int // day of the window; below 0 before it
	devices  int
	fraud    fraud
}

// tastes are the weights of one, two and three clusters.
var tastes = [3][3]float64{{1}, {0.65, 0.35}, {0.5, 0.3, 0.2}}

// othersAccepted is the probability, against 1 for favorites, of taking an item of
// another style.
const othersAccepted = 0.25

// customers derives users.
type customers struct {
	cfg     *Config
	catalog *catalog
	order   permutation // rank -> number
	width   int
	devices uint64
}

func newCustomers(cfg *Config, c *catalog) *customers {
	return &customers{
		cfg: cfg, catalog: c,
		order:   newPermutation(cfg.Seed, domainUserOrder, 0, cfg.Users),
		width:   digits(cfg.Users),
		devices: mix(cfg.Seed + domainDevice),
	}
}

// ofRank returns the user of an activity rank, ofNumber that of a number.
func (c *customers) ofRank(rank int) user     { return c.derive(c.order.apply(rank), rank) }
func (c *customers) ofNumber(number int) user { return c.derive(number, c.order.invert(number)) }

func (c *customers) derive(number, rank int) user {
	r := newRandom(c.cfg.Seed, domainUser, uint64(number))
	u := user{number: number, rank: rank}
	n := 0 // 40 % have one taste, 40 % two, 20 % three
	if x := r.float(); x >= 0.8 {
		n = 2
	} else if x >= 0.4 {
		n = 1
	}
	n = min(n, c.cfg.Clusters-1)
	u.weights = tastes[n]
	for i := 0; i <= n; {
		u.clusters[i] = c.catalog.topics.draw(&r)
		fresh := true
		for _, k := range u.clusters[:i] {
			fresh = fresh && k != u.clusters[i]
		}
		if fresh {
			i++
		}
	}
	u.favorite[0] = r.intN(styles)
	u.favorite[1] = (u.favorite[0] + r.between(1, styles-1)) % styles
	x := r.float()
	for u.country = 0; u.country < len(countries)-1 && x >= countries[u.country].share; u.country++ {
		x -= countries[u.country].share
	}
	u.devices = r.between(1, 2)
	u.signup = -r.between(1, 1095) // within three years
	// The most active one is there from the start, so that there is always one to draw.
	if fresh := r.float() < c.cfg.NewUsers; fresh && rank < c.cfg.Users-1 {
		u.signup = r.intN(c.cfg.Days)
	}
	if r.float() < c.cfg.Fraud {
		u.fraud = clicker
		if r.float() < 0.5 {
			u.fraud = canceler
		}
	}
	return u
}

// drawAt draws a user who has signed up by a day in proportion to activity. The
// activity of rank r is the quantile exp(σ Φ⁻¹((r+½)/n)); a log-normal law weighted by its
// own value is the same law shifted by σ, on the scale of the normal one.
func (c *customers) drawAt(day int, r *random) user {
	for range 64 {
		share := normalBelow(r.normal() + c.cfg.Activity)
		rank := min(int(share*float64(c.cfg.Users)), c.cfg.Users-1)
		if u := c.ofRank(rank); u.signup <= day {
			return u
		}
	}
	return c.ofRank(c.cfg.Users - 1)
}

// activity returns the relative activity of a user; the median is 1.
func (c *customers) activity(u *user) float64 {
	share := (float64(u.rank) + 0.5) / float64(c.cfg.Users)
	return exponentialOf(mul(c.cfg.Activity, normalQuantile(share)))
}

func (c *customers) segment(u *user) string {
	share := (float64(u.rank) + 0.5) / float64(c.cfg.Users)
	i := 0
	for share >= segments[i].below {
		i++
	}
	return segments[i].name
}

func (c *customers) appendUser(dst []byte, number int) []byte {
	return appendKey(dst, 'U', number, c.width)
}

// appendDevice appends the id of one of the user's devices. It says nothing
// about the user; mix is a bijection, so no two are equal.
func (c *customers) appendDevice(dst []byte, number, device int) []byte {
	const hex = "0123456789abcdef"
	id := mix((uint64(number)*2 + uint64(device)) ^ c.devices)
	dst = append(dst, 'D')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[id>>shift&15])
	}
	return dst
}
