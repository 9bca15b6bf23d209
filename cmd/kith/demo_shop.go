package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source/synthetic"
)

// product is what the demo shows of an item.
type product struct {
	name, category string
}

// readProducts reads the catalog of a generated shop.
func readProducts(dir string) (map[string]product, error) {
	out := map[string]product{}
	err := readTable(filepath.Join(dir, synthetic.ProductsFile), func(row map[string]string) {
		out[row["item"]] = product{row["name"], row["category"]}
	})
	return out, err
}

// readCustomers reads the users of a generated shop that have an account.
func readCustomers(dir string) (map[string]bool, error) {
	out := map[string]bool{}
	err := readTable(filepath.Join(dir, synthetic.UsersFile), func(row map[string]string) { out[row["user"]] = true })
	return out, err
}

// readTable calls f with the rows of a CSV file by the names of the header.
func readTable(path string, f func(row map[string]string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	row := map[string]string{}
	for _, fields := range rows[1:] {
		for i, name := range rows[0] {
			row[name] = fields[i]
		}
		f(row)
	}
	return nil
}

// typicalUser returns the first customer, by key, whose number of items comes nearest to wanted.
func typicalUser(t *fusion.Table, customers map[string]bool, wanted int64) string {
	best, user := int64(-1), ""
	for u, key := range t.Users {
		if !customers[key] {
			continue
		}
		d := t.Start[u+1] - t.Start[u] - wanted
		if d = max(d, -d); best < 0 || d < best {
			best, user = d, key
		}
	}
	return user
}

// popularItem returns the item with the most users, ties by key.
func popularItem(t *fusion.Table) string {
	counts := make([]int, len(t.Items))
	best := 0
	for _, i := range t.Item {
		counts[i]++
	}
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	return t.Items[best]
}

// known is a product that a user had to do with.
type known struct {
	item   string
	counts map[string]int
	total  int
}

// what names the events, as in "2 views, 1 purchase".
func (k *known) what() string {
	var out []string
	for _, behavior := range []string{"purchase", "cancel", "cart", "view", "search"} {
		if n := k.counts[behavior]; n > 0 {
			out = append(out, fmt.Sprintf("%d × %s", n, behavior))
		}
	}
	return strings.Join(out, ", ")
}

// history returns what the demo's user had to do with, most events first.
func (t *tour) history(ctx context.Context) ([]*known, error) {
	events, err := t.client.events(ctx, t.user)
	if err != nil {
		return nil, err
	}
	byItem := map[string]*known{}
	var out []*known
	for _, e := range events {
		k := byItem[e.Item]
		if k == nil {
			k = &known{item: e.Item, counts: map[string]int{}}
			byItem[e.Item], out = k, append(out, k)
		}
		k.counts[e.Behavior]++
		k.total++
	}
	slices.SortStableFunc(out, func(a, b *known) int { return b.total - a.total })
	return out, nil
}
