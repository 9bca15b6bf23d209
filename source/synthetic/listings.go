package synthetic

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

// dimension is the size of a product, in its unit, or 0 for none.
type dimension struct {
	amount int
	liquid bool // milliliters, else centimeters
}

// sizeOf returns the size in the names of planted products: half of them have one.
func sizeOf(cfg *Config, it *item, number int) dimension {
	r := newRandom(cfg.Seed, domainSize, uint64(number))
	if r.float() < 0.5 {
		return dimension{}
	}
	if name := categories[it.category].name; name == "Kitchen" || name == "Bath" {
		return dimension{50 * r.between(2, 40), true}
	}
	return dimension{5 * r.between(2, 48), false}
}

// append appends the size as the shop has it.
func (d dimension) append(dst []byte) []byte {
	switch {
	case d.amount == 0:
		return dst
	case d.liquid:
		return append(strconv.AppendInt(append(dst, ' '), int64(d.amount), 10), " ml"...)
	}
	return append(strconv.AppendInt(append(dst, ' '), int64(d.amount), 10), " cm"...)
}

// written returns the size in another unit, or in Chinese.
func (d dimension) written(r *random, chinese bool) string {
	n := strconv.Itoa(d.amount)
	switch {
	case d.amount == 0:
		return ""
	case d.liquid && chinese:
		return n + "毫升"
	case d.liquid && r.float() < 0.5:
		return decimal(d.amount, 1000) + " L"
	case d.liquid:
		return n + "ml"
	case chinese:
		return n + "厘米"
	case r.float() < 0.5:
		return n + "0mm"
	}
	return decimal(d.amount, 100) + " m"
}

// decimal writes n/of, of being 100 or 1000, without trailing zeros.
func decimal(n, of int) string {
	s := strconv.Itoa(n/of) + "." + strconv.Itoa(of + n%of)[1:]
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// fullWidth writes letters and digits in the width of ideographs, as Chinese suppliers often do.
func fullWidth(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' && r != ',' && r != '"' {
			return r + 0xfee0
		}
		return r
	}, s)
}

// supplierTitle returns the title under which the supplier has a product, and what is different in it.
func supplierTitle(t title, size dimension, r *random) (name string, changes []string) {
	change := func(s string) { changes = append(changes, s) }
	chinese := chineseWords[t.adjective] + chineseWords[t.material] + chineseWords[t.noun]
	if x := r.float(); x < 0.08 {
		change("chinese")
		name = chinese
		if t.series > 1 {
			name += " " + strconv.Itoa(t.series) + "号"
		}
		return strings.TrimSpace(name + " " + size.written(r, true)), changes
	} else if x < 0.3 {
		change("both")
	} else {
		chinese = ""
	}
	words := []string{t.adjective, t.material, t.noun}
	if r.float() < 0.25 {
		for i, w := range words {
			if s, ok := synonyms[w]; ok {
				change("synonym")
				words[i] = s
				break
			}
		}
	}
	if r.float() < 0.4 {
		change("order")
		words = [][]string{{words[2], words[0], words[1]}, {words[2] + ",", words[1], words[0]}, {words[1], words[2], "(" + words[0] + ")"}}[r.intN(3)]
	}
	name = strings.Join(words, " ")
	if r.float() < 0.08 {
		change("typo")
		name = typo(name, r)
	}
	if t.series > 1 {
		name += " No. " + strconv.Itoa(t.series)
	}
	if s := size.written(r, chinese != ""); s != "" {
		change("unit")
		name += " " + s
	}
	switch x := r.float(); {
	case x < 0.1:
		change("width")
		name = fullWidth(name)
	case x < 0.25:
		change("case")
		name = strings.ToUpper(name)
	}
	if chinese != "" {
		name = chinese + " " + name
	}
	return name, changes
}

// claim is what a source says of a product.
type claim struct {
	brand  uint8
	cents  uint32
	weight int // in grams, 0 if it does not say
	day    int
}

// writeListings writes what a supplier and a marketplace have of the products, and the truth. Whom to believe:
//
//   - brand: the majority, and the shop where there is none; sources err independently
//   - price: the newest; the shop's own is that of the day on which the product appeared
//   - weight: the supplier, who knows; else the marketplace
func (g *generator) writeListings(ctx context.Context) (err error) {
	supplier := g.open(SupplierFile, "sku,title,category,brand,price_cents,weight_g,updated")
	market := g.open(MarketplaceFile, "item,brand,price,weight_g,updated")
	known := g.open(SKUMapFile, "sku,item")
	skus := g.open(TruthSKUsFile, "sku,item,changes")
	truth := g.open(TruthAttributesFile, "item,brand,price,weight_g")
	defer func() {
		for _, t := range []*table{supplier, market, known, skus, truth} {
			err = errors.Join(err, g.close(t))
		}
	}()
	order := newPermutation(g.cfg.Seed, domainSKU, 0, g.cfg.Items)
	named := make([]int, len(categories))
	for i := range g.catalog.items {
		it := &g.catalog.items[i]
		t := g.catalog.title(it.category, named[it.category])
		named[it.category]++
		r := newRandom(g.cfg.Seed, domainListing, uint64(i))
		right := claim{brand: it.brand, cents: it.price, weight: 50 * r.between(1, 200), day: int(it.day)}
		// Their days differ by one at least: even ones here, odd ones there.
		bySupplier, byMarket := g.claim(right, 0, &r), g.claim(right, 1, &r)
		bySupplier.weight = right.weight
		if r.float() < 0.1 {
			bySupplier.weight = 0
		}
		inSupplier, inMarket := r.float() < g.cfg.Planted.Supplier, r.float() < 0.4
		if inSupplier {
			name, changes := supplierTitle(t, sizeOf(g.cfg, it, i), &r)
			sku := appendKey(nil, 'S', order.apply(i), g.catalog.width)
			supplier.buf = append(supplier.buf, sku...)
			supplier.comma()
			supplier.quoted(name)
			supplier.comma()
			supplier.text(categories[it.category].name)
			supplier.comma()
			supplier.text(brands[bySupplier.brand])
			supplier.comma()
			supplier.integer(int64(bySupplier.cents))
			g.rest(supplier, bySupplier)
			skus.buf = append(skus.buf, sku...)
			skus.comma()
			skus.buf = g.catalog.appendItem(skus.buf, i)
			skus.comma()
			skus.text(strings.Join(changes, " "))
			skus.end()
			if r.float() < 0.2 {
				known.buf = append(append(known.buf, sku...), ',')
				known.buf = g.catalog.appendItem(known.buf, i)
				known.end()
			}
			right.cents, right.day = bySupplier.cents, bySupplier.day
		}
		if inMarket {
			market.buf = g.catalog.appendItem(market.buf, i)
			market.comma()
			market.text(brands[byMarket.brand])
			market.comma()
			market.price(byMarket.cents)
			g.rest(market, byMarket)
			if byMarket.day > right.day {
				right.cents = byMarket.cents
			}
		}
		truth.buf = g.catalog.appendItem(truth.buf, i)
		truth.comma()
		truth.text(brands[right.brand])
		truth.comma()
		truth.price(right.cents)
		truth.comma()
		truth.integer(int64(right.weight))
		truth.end()
		if i%(1<<12) == 0 && errors.Join(ctx.Err(), supplier.err, market.err, known.err, skus.err, truth.err) != nil {
			return ctx.Err()
		}
	}
	return nil
}

// claim returns what a source says, given what is right: some of it is wrong. Days of update are odd or even.
func (g *generator) claim(right claim, odd int, r *random) claim {
	out := right
	if r.float() < g.cfg.Planted.Conflicts {
		out.brand = uint8((int(out.brand) + r.between(1, len(brands)-1)) % len(brands))
	}
	if r.float() < g.cfg.Planted.Conflicts {
		out.cents = out.cents * uint32(r.between(80, 120)) / 100
	}
	if r.float() < g.cfg.Planted.Conflicts {
		out.weight += 50 * r.between(1, 20)
	}
	out.day += 2 + 2*r.between(0, max(g.cfg.Days-right.day, 2)/2)
	out.day += (out.day + odd) % 2
	return out
}

// rest appends weight and day of update.
func (g *generator) rest(t *table, c claim) {
	t.comma()
	if c.weight > 0 {
		t.integer(int64(c.weight))
	}
	t.comma()
	t.buf = g.calendar.appendDate(t.buf, c.day)
	t.end()
}
