package synthetic

import (
	"context"
	"encoding/json"
	"errors"
)

// Truth is the content of the truth file: what was planted. What belongs to single items,
// users and orders stands beside it in tables of their own, so that its size does not grow with them.
type Truth struct {
	Config   Config         `json:"config"`
	Clusters []TruthCluster `json:"clusters"`
	Rules    []TruthRule    `json:"rules"`
	Summary  *Summary       `json:"summary"`
}

// TruthCluster is a taste cluster.
type TruthCluster struct {
	Items      int       `json:"items"`
	Share      float64   `json:"share"`      // of the popularity of all items
	PeakDay    float64   `json:"peak_day"`   // of its yearly season
	Categories [2]string `json:"categories"` // of 70 % and of 30 % of its items
	TopItem    string    `json:"top_item"`   // the most popular one
}

// TruthRule is a co-purchase rule. Of the Orders orders with If (canceled and fraudulent
// ones included), Both have Then too.
type TruthRule struct {
	If         string  `json:"if"`
	Then       string  `json:"then"`
	Confidence float64 `json:"confidence"` // as planted; chance comes on top
	Orders     int64   `json:"orders"`
	Both       int64   `json:"both"`
}

func (g *generator) writeTruth(context.Context) error {
	truth := Truth{Config: *g.cfg, Rules: []TruthRule{}, Summary: &g.summary}
	key := func(i int) string { return string(g.catalog.appendItem(nil, i)) }
	for k := range g.catalog.clusters {
		cl := &g.catalog.clusters[k]
		truth.Clusters = append(truth.Clusters, TruthCluster{
			Items: len(cl.members), Share: cl.share, PeakDay: cl.peak,
			Categories: [2]string{categories[cl.main].name, categories[cl.second].name},
			TopItem:    key(int(cl.members[0])),
		})
	}
	for _, r := range g.catalog.rules {
		truth.Rules = append(truth.Rules, TruthRule{key(r.antecedent), key(r.consequent), r.confidence, r.orders, r.both})
	}
	t := g.open(TruthFile, "")
	text, err := json.MarshalIndent(&truth, "", "  ")
	if err == nil {
		t.buf = append(append(t.buf, text...), '\n')
	}
	return errors.Join(err, g.close(t))
}

func (g *generator) writeProducts(ctx context.Context) (err error) {
	products := g.open(ProductsFile, "item,name,category,brand,price,added,stock")
	truth := g.open(TruthItemsFile, "item,rank,popularity,cluster,style")
	defer func() { err = errors.Join(err, g.close(products), g.close(truth)) }()
	total := 0.0
	for rank := range g.cfg.Items {
		total += g.popularity(rank)
	}
	named := make([]int, len(categories))
	for i := range g.catalog.items {
		it := &g.catalog.items[i]
		products.buf = g.catalog.appendItem(products.buf, i)
		products.comma()
		products.text(g.catalog.name(it.category, named[it.category]))
		if g.cfg.Planted != nil {
			products.buf = sizeOf(g.cfg, it, i).append(products.buf)
		}
		named[it.category]++
		products.comma()
		products.text(categories[it.category].name)
		products.comma()
		products.text(brands[it.brand])
		products.comma()
		products.price(it.price)
		products.comma()
		products.buf = g.calendar.appendDate(products.buf, int(it.day))
		products.comma()
		products.integer(stock(g.cfg.Seed, i))
		products.end()

		rank := g.catalog.ranks.invert(i)
		truth.buf = g.catalog.appendItem(truth.buf, i)
		truth.comma()
		truth.integer(int64(rank + 1))
		truth.comma()
		truth.number(g.popularity(rank) / total)
		truth.comma()
		truth.integer(int64(it.cluster))
		truth.comma()
		truth.integer(int64(it.style()))
		truth.end()
		if i%(1<<12) == 0 && errors.Join(ctx.Err(), products.err, truth.err) != nil {
			return ctx.Err()
		}
	}
	return nil
}

// popularity returns the relative popularity of the item of a rank, from 0.
func (g *generator) popularity(rank int) float64 {
	return power(float64(rank+1)+g.cfg.Head, -g.cfg.Zipf)
}

func (g *generator) writeUsers(ctx context.Context) (err error) {
	users := g.open(UsersFile, "user,country,signup,segment")
	devices := g.open(IdentitiesFile, "device,user")
	truth := g.open(TruthUsersFile, "user,activity,cluster1,weight1,cluster2,weight2,cluster3,weight3,style1,style2,fraud")
	defer func() { err = errors.Join(err, g.close(users), g.close(devices), g.close(truth)) }()
	for i := range g.cfg.Users {
		u := g.customers.ofNumber(i)
		users.buf = g.customers.appendUser(users.buf, i)
		users.comma()
		users.text(countries[u.country].code)
		users.comma()
		users.buf = g.calendar.appendDate(users.buf, u.signup)
		users.comma()
		users.text(g.customers.segment(&u))
		users.end()

		for d := range u.devices {
			devices.buf = g.customers.appendDevice(devices.buf, i, d)
			devices.comma()
			devices.buf = g.customers.appendUser(devices.buf, i)
			devices.end()
		}

		truth.buf = g.customers.appendUser(truth.buf, i)
		truth.comma()
		truth.number(g.customers.activity(&u))
		for j, w := range u.weights {
			truth.comma()
			if w > 0 {
				truth.integer(int64(u.clusters[j]))
			}
			truth.comma()
			if w > 0 {
				truth.number(w)
			}
		}
		for _, style := range u.favorite {
			truth.comma()
			truth.integer(int64(style))
		}
		truth.comma()
		truth.text(fraudNames[u.fraud])
		truth.end()
		if u.fraud != honest {
			g.summary.FraudUsers++
		}
		if i%(1<<12) == 0 && errors.Join(ctx.Err(), users.err, devices.err, truth.err) != nil {
			return ctx.Err()
		}
	}
	return nil
}
