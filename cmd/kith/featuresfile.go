package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/fusion"
)

// userColumns are the columns of a file of users, CSV or Parquet.
type userColumns struct {
	User string `parquet:"user"`
	behaviorColumns
	Items       int64    `parquet:"items"`
	First       int64    `parquet:"first_unix_ms"`
	Last        int64    `parquet:"last_unix_ms"`
	LastOrder   int64    `parquet:"last_order_unix_ms"`
	RecencyDays *float64 `parquet:"recency_days,optional"`
	Orders      int64    `parquet:"orders"`
	Revenue     float64  `parquet:"revenue"`
	Quantity    float64  `parquet:"quantity"`
	Canceled    float64  `parquet:"canceled"`
	Unpriced    float64  `parquet:"unpriced"`
	Sessions    int64    `parquet:"sessions"`
	MeanEvents  float64  `parquet:"session_mean_events"`
	MeanSeconds float64  `parquet:"session_mean_seconds"`
	Converted   float64  `parquet:"sessions_converted"`
	// Categories is JSON, as many have more than one; Category is the first of them.
	Category    string   `parquet:"category"`
	Share       float64  `parquet:"category_share"`
	Categories  string   `parquet:"categories"`
	PriceMean   *float64 `parquet:"price_mean,optional"`
	PriceLow    *float64 `parquet:"price_low,optional"`
	PriceMedian *float64 `parquet:"price_median,optional"`
	PriceHigh   *float64 `parquet:"price_high,optional"`
	Recency     *int64   `parquet:"rfm_recency,optional"`
	Frequency   *int64   `parquet:"rfm_frequency,optional"`
	Monetary    *int64   `parquet:"rfm_monetary,optional"`
}

// productColumns are the columns of a file of products.
type productColumns struct {
	Item string `parquet:"item"`
	behaviorColumns
	Users      int64   `parquet:"users"`
	Buyers     int64   `parquet:"buyers"`
	Conversion float64 `parquet:"conversion"`
	Quantity   float64 `parquet:"quantity"`
	Canceled   float64 `parquet:"canceled"`
	Unpriced   float64 `parquet:"unpriced"`
	Revenue    float64 `parquet:"revenue"`
	First      int64   `parquet:"first_unix_ms"`
	Last       int64   `parquet:"last_unix_ms"`
}

// behaviorColumns count events by behavior; those with names of their own together.
type behaviorColumns struct {
	View     int64 `parquet:"events_view"`
	Search   int64 `parquet:"events_search"`
	Cart     int64 `parquet:"events_cart"`
	Purchase int64 `parquet:"events_purchase"`
	Cancel   int64 `parquet:"events_cancel"`
	Rating   int64 `parquet:"events_rating"`
	Other    int64 `parquet:"events_other"`
}

func flatBehaviors(events map[fusion.Behavior]int) (b behaviorColumns) {
	for behavior, n := range events {
		of := &b.Other
		switch behavior {
		case fusion.View:
			of = &b.View
		case fusion.Search:
			of = &b.Search
		case fusion.Cart:
			of = &b.Cart
		case fusion.Purchase:
			of = &b.Purchase
		case fusion.Cancel:
			of = &b.Cancel
		case fusion.Rating:
			of = &b.Rating
		}
		*of += int64(n)
	}
	return b
}

func flatUser(x *userFeatures) userColumns {
	out := userColumns{
		User: x.Key, behaviorColumns: flatBehaviors(x.Events), Items: int64(x.Items), First: x.First, Last: x.Last,
		LastOrder: x.LastOrder, RecencyDays: x.RecencyDays, Orders: int64(x.Orders), Revenue: x.Revenue,
		Quantity: x.Quantity, Canceled: x.Canceled, Unpriced: x.Unpriced,
		Sessions: int64(x.Sessions.Count), MeanEvents: x.Sessions.Events, MeanSeconds: x.Sessions.Seconds, Converted: x.Sessions.Converted,
	}
	if len(x.Categories) > 0 {
		out.Category, out.Share = x.Categories[0].Name, x.Categories[0].Share
		b, _ := json.Marshal(x.Categories) // texts and finite numbers
		out.Categories = string(b)
	}
	if p := x.Prices; p != nil {
		out.PriceMean, out.PriceLow, out.PriceMedian, out.PriceHigh = &p.Mean, &p.Low, &p.Median, &p.High
	}
	if c := x.RFM; c != nil {
		recency, frequency, monetary := int64(c.Recency), int64(c.Frequency), int64(c.Monetary)
		out.Recency, out.Frequency, out.Monetary = &recency, &frequency, &monetary
	}
	return out
}

func flatProduct(x *productFeatures) productColumns {
	return productColumns{
		Item: x.Key, behaviorColumns: flatBehaviors(x.Events), Users: int64(x.Users), Buyers: int64(x.Buyers), Conversion: x.Conversion,
		Quantity: x.Quantity, Canceled: x.Canceled, Unpriced: x.Unpriced, Revenue: x.Revenue, First: x.First, Last: x.Last,
	}
}

// writeFile writes what stream gives to a file, whose extension says the form. It is for its owner only, as a backup is.
func (k *featureKind[J, F]) writeFile(path string, stream func(take func([]J) error) error) error {
	return writeMode(path, backupMode, func(w io.Writer) error {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".jsonl":
			return stream(func(rows []J) error { return writeLines(w, rows) })
		case ".csv":
			return k.writeCSV(w, stream)
		}
		out := parquet.NewGenericWriter[F](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(featureGroup), parquet.CreatedBy("kith", "", ""))
		err := stream(func(rows []J) error {
			_, err := out.Write(k.flatten(rows))
			return err
		})
		if err != nil {
			return err
		}
		return out.Close()
	})
}

// featureGroup is the number of rows in a row group: it bounds the memory.
const featureGroup = 1 << 16

func (k *featureKind[J, F]) flatten(rows []J) []F {
	out := make([]F, len(rows))
	for i := range rows {
		out[i] = k.flat(&rows[i])
	}
	return out
}

// writeLines writes values as lines of JSON.
func writeLines[J any](w io.Writer, rows []J) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range rows {
		if err := e.Encode(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV writes the columns that Parquet has, by the same names.
func (k *featureKind[J, F]) writeCSV(w io.Writer, stream func(take func([]J) error) error) error {
	out := csv.NewWriter(w)
	fields := slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[F]()), func(f reflect.StructField) bool { return f.Anonymous })
	var line []string
	for _, f := range fields {
		name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		line = append(line, name)
	}
	if err := out.Write(line); err != nil {
		return err
	}
	err := stream(func(rows []J) error {
		for _, row := range k.flatten(rows) {
			line = line[:0]
			for _, f := range fields {
				line = append(line, csvCell(reflect.ValueOf(row).FieldByIndex(f.Index)))
			}
			if err := out.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

// csvCell writes one value; nothing for one that is not there.
func csvCell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Float64 {
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
