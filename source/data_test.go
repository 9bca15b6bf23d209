package source_test

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/datatest"
)

// TestPublicData reads public data sets as they are: all rows that are known to be in them, and no other.
func TestPublicData(t *testing.T) {
	dir := datatest.Dir(t)
	yes, no := source.HeaderYes, source.HeaderNo
	tests := []struct {
		file    string
		o       source.Options
		rows    int
		width   int
		example string // a field of the first row
	}{
		{file: "ml-100k/u.data", rows: 100000, width: 4, example: "881250949"},
		{file: "ml-100k/u.item", o: source.Options{Encoding: "latin1"}, rows: 1682, width: 24, example: "Toy Story (1995)"},
		{file: "ml-100k/u.user", rows: 943, width: 5, example: "technician"},
		{file: "online-retail/online_retail_bm.parquet", rows: 541909, width: 6, example: "WHITE HANGING HEART T-LIGHT HOLDER"},
		{file: "online-retail/online_retail_st.parquet", rows: 240007, width: 8, example: "85123A"},
		{file: "olist/olist_order_reviews_dataset.csv", rows: 8225, width: 7, example: "373cbeecea8286a2b66c97b1b157ec46"}, // texts of several lines
		{file: "olist/olist_orders_dataset.csv", o: source.Options{Header: yes}, rows: 8135, width: 8, example: "delivered"},
		{file: "olist/olist_customers_dataset.csv", o: source.Options{Header: yes}, rows: 8135, width: 5, example: "35182"},
		{file: "olist/olist_order_payments_dataset.csv", rows: 8924, width: 5, example: "credit_card"},
		{file: "olist/olist_products_dataset.csv", rows: 5460, width: 9, example: "bebes"},
		{file: "olist/olist_sellers_dataset.csv", o: source.Options{Header: yes}, rows: 1610, width: 4, example: "DF"},
		{file: "olist/product_category_name_translation.csv", o: source.Options{Header: yes}, rows: 71, width: 2, example: "health_beauty"},
		{file: "retailrocket/events.csv", rows: 97381, width: 4, example: "view"},
		{file: "complete-journey/transactions_sample.csv.gz", rows: 75000, width: 11, example: "2017-01-28 14:06:53"},
		{file: "complete-journey/products.csv.gz", rows: 92331, width: 7, example: "FRZN ICE"},
		{file: "complete-journey/promotions_sample.csv.gz", rows: 360535, width: 5, example: "337"},
		{file: "complete-journey/coupons.csv.gz", rows: 116204, width: 3, example: "9676830"},
		{file: "complete-journey/demographics.csv.gz", o: source.Options{Header: yes}, rows: 801, width: 8, example: "2 Adults No Kids"},
		{file: "hetrec-lastfm/artists.dat", o: source.Options{Header: yes, NoQuote: true}, rows: 17632, width: 4, example: "MALICE MIZER"},
		{file: "hetrec-lastfm/user_friends.dat", o: source.Options{Skip: 2}, rows: 25434, width: 2, example: "275"},
		{file: "filmtrust/trusts.txt", rows: 1853, width: 3, example: "966"},
		{file: "diginetica/sample_train-item-views.csv", rows: 12391, width: 5, example: "NA"},
		{file: "outdoor-products/sample-data.csv", rows: 500, width: 2, example: "1"},
		{file: "hillstrom/hillstrom.csv", rows: 64000, width: 12, example: "2) $100 - $200"},
		{file: "bank-marketing/bank.csv", rows: 4521, width: 17, example: "unemployed"},
		{file: "bank-marketing/bank-additional.csv", rows: 4119, width: 21, example: "blue-collar"},
		{file: "classification/iris.csv", o: source.Options{Header: no}, rows: 150, width: 5, example: "5.1"},
		{file: "anomaly/mammography.csv", o: source.Options{Header: no}, rows: 11183, width: 7, example: "'-1'"},
		{file: "m3/m3.csv", rows: 3003, width: 8, example: "YEARLY"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			if testing.Short() && tt.rows > 100_000 {
				t.Skip("long")
			}
			tt.o.KnownName = known
			r, err := source.Open(t.Context(), filepath.Join(dir, filepath.FromSlash(tt.file)), tt.o)
			if err != nil {
				t.Fatal(err)
			}
			rows, bad, found := 0, map[string]int{}, false
			for {
				rec, err := r.Next()
				var rowErr *source.RowError
				if errors.As(err, &rowErr) {
					bad[rowErr.Reason]++
					continue
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if rows++; rows == 1 {
					for _, f := range rec.Fields {
						found = found || string(f) == tt.example
					}
				}
			}
			if rows != tt.rows || r.Width() != tt.width || len(bad) > 0 || !found {
				t.Errorf("%d rows of %d fields, bad %v, example found: %t; want %d rows of %d", rows, r.Width(), bad, found, tt.rows, tt.width)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
