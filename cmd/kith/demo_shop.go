package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"

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
