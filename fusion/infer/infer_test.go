package infer

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source/datatest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// files are small ones of the kinds that shops have.
var files = map[string]string{
	"log.csv": "ts,visitor_id,product_id,action,device\n1430623510,1,a,view,x\n1430623535,1,b,addtocart,x\n1430623600,2,a,BUY,\n1430623700,NA,a,wish list,y\n",
	"orders.csv": "OrderNo;Customer;SKU;Qty;Price;Status;Order Date;note\n1;k1;00123;2;1.234,50 €;paid;31.12.2023 10:15;a\n1;k1;00124;1;12,00 €;paid;31.12.2023 10:15;b\n" +
		"2;k2;00123;-1;5,10 €;refunded;13.01.2024 08:00;true\n",
	"products.csv": "sku,title,price_cents,weight_g,in_stock,color,ean\n1,Red shoe,1999,500,yes,red,0012\n2,Blue shoe,2999,510,no,NA,0013\n3,Hat,999,90,yes,blue,0014\n",
	"users.tsv":    "user_id\tcity\tjoined\tvip\n7\tKöln\t2020-01-02\t0\n8\tBonn\t2021-02-03\t1\n9\tUlm\t2021-02-03\t0\n",
	"logins.csv":   "customer_id,device_id,seen_time\nc1,d1,2024-01-01T10:00:00Z\nc1,d2,2024-01-02T10:00:00Z\nc2,d3,2024-01-03T10:00:00Z\n",
	"dates.csv":    "user,item,date\n1,a,01/02/2024\n1,b,03/02/2024\n2,a,04/05/2024\n",
	"lines.txt":    "1 10 11 12\n2 10\n3 11 12 13 14\n4 12 13 14 15 16\n5 1 2\n",
	"latin.csv":    "item;name\n1;caf\xe9\n2;th\xe9\n",
	"counted.dat":  "3\n4\n" + pairs(),
	"weather.csv":  "day,rain\nMonday,0.5\nTuesday,0.25\n",
}

// pairs makes a log without a header.
func pairs() string {
	var b strings.Builder
	for u := range 12 {
		for i := range 12 {
			b.WriteString(strings.Join([]string{itoa(u + 1), itoa(i + 100), itoa(u*i%5 + 1)}, "\t") + "\n")
		}
	}
	return b.String()
}

func itoa(n int) string {
	return string(rune('0'+n/100)) + string(rune('0'+n/10%10)) + string(rune('0'+n%10))
}

// write writes the files into a folder and makes it the current one.
func write(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFiles(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("testdata", "proposal.golden"))
	if err != nil {
		t.Fatal(err)
	}
	write(t)
	paths := []string{"log.csv", "orders.csv", "products.csv", "users.tsv", "logins.csv", "dates.csv", "lines.txt", "latin.csv", "counted.dat", "weather.csv"}
	got, err := Files(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got; -update rewrites it):\n%s", diff)
	}
	for range 3 {
		if again, err := Files(t.Context(), paths); err != nil || again != got {
			t.Fatalf("another proposal for the same files: %v\n%s", err, cmp.Diff(got, again))
		}
	}
	reports := try(t, got)
	kept := map[string]int64{}
	for _, r := range reports {
		kept[r.Name] = r.Kept
		if n := r.Rejected - r.Reasons["no_user"]; n != 0 {
			t.Errorf("%s: %d rows refused: %v", r.Name, n, r.Reasons)
		}
	}
	want2 := map[string]int64{"log": 3, "orders": 3, "products": 3, "users": 3, "logins": 3, "dates": 3, "lines": 15, "latin": 2, "counted": 144}
	if diff := cmp.Diff(want2, kept); diff != "" {
		t.Errorf("rows kept (-want +got):\n%s", diff)
	}
}

// TestValues looks at what the proposed mappings make of values.
func TestValues(t *testing.T) {
	write(t)
	for file, want := range map[string]string{
		"orders.csv":   "user=k1 item=00123 order=1 quantity=2 price=1234.5 status=purchase time=2023-12-31T10:15:00Z note=a",
		"products.csv": "item=1 title=Red shoe price_cents=19.99 weight_g=0.5 in_stock=true color=red ean=0012",
		"users.tsv":    "user=7 city=Köln joined=2020-01-02T00:00:00Z vip=false",
		"logins.csv":   "left=d1 left_kind=device right=c1 right_kind=account time=2024-01-01T10:00:00Z",
		"latin.csv":    "item=1 title=café",
	} {
		text, err := Files(t.Context(), []string{file})
		if err != nil {
			t.Fatal(err)
		}
		ms := mappings(t, text)
		var first string
		if _, err := fusion.ReadRecords(t.Context(), ms[0], nil, func(fields []record.Field, rec record.Record) error {
			if first == "" {
				var parts []string
				for i, f := range fields {
					if f.Name != "id" {
						parts = append(parts, f.Name+"="+rec.Values[i].String())
					}
				}
				first = strings.Join(parts, " ")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if first != want {
			t.Errorf("%s: got %s\nwant %s\nby\n%s", file, first, want, text)
		}
	}
}

func TestNothing(t *testing.T) {
	write(t)
	if got, err := Files(t.Context(), []string{"weather.csv"}); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "weather.csv") {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Files(t.Context(), []string{"none.csv"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Files(ctx, []string{"log.csv"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// mappings reads a proposal from a file in the current folder.
func mappings(t *testing.T, text string) []fusion.Mapping {
	t.Helper()
	if err := os.WriteFile("map.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ms, err := fusion.ReadMappings("map.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return ms
}

// try reads all sources of a proposal as kith ingest --dry-run does.
func try(t *testing.T, text string) (out []fusion.Report) {
	t.Helper()
	for _, m := range mappings(t, text) {
		var report fusion.Report
		var err error
		if m.Kind.HasEvents() {
			report, err = fusion.Events(t.Context(), m, nil, 0, func([]fusion.Event) error { return nil })
		} else {
			report, err = fusion.ReadRecords(t.Context(), m, nil, func([]record.Field, record.Record) error { return nil })
		}
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		out = append(out, report)
	}
	return out
}

// TestPublicData proposes a mapping for every public data set with a log or a table of products or users, and reads the whole set by it, unchanged.
func TestPublicData(t *testing.T) {
	dir := datatest.Dir(t)
	tests := []struct {
		file   string
		kind   fusion.Kind
		kept   int64
		noUser int64
	}{
		{"ml-100k/u.data", fusion.EventRows, 100000, 0},
		{"ml-100k/u.item", fusion.ProductRows, 1682, 0},
		{"ml-100k/u.user", fusion.UserRows, 943, 0},
		{"online-retail/online_retail_bm.parquet", fusion.OrderRows, 406829, 135080},
		{"online-retail/online_retail_st.parquet", fusion.OrderRows, 172782, 67225},
		{"olist/olist_order_items_dataset.csv", fusion.OrderRows, 8365, 0},
		{"olist/olist_orders_dataset.csv", fusion.LinkRows, 8135, 0},
		{"olist/olist_customers_dataset.csv", fusion.LinkRows, 8135, 0},
		{"olist/olist_products_dataset.csv", fusion.ProductRows, 5460, 0},
		{"retailrocket/events.csv", fusion.EventRows, 97381, 0},
		{"retailrocket/test.csv", fusion.EventRows, 2174, 0},
		{"complete-journey/transactions_sample.csv.gz", fusion.OrderRows, 75000, 0},
		{"complete-journey/products.csv.gz", fusion.ProductRows, 92331, 0},
		{"complete-journey/demographics.csv.gz", fusion.UserRows, 801, 0},
		{"complete-journey/coupon_redemptions.csv.gz", fusion.EventRows, 2102, 0},
		{"groceries/groceries.csv", fusion.EventRows, 43367, 0},
		{"amazon-beauty/Beauty.txt", fusion.EventRows, 198502, 0},
		{"amazon-book/train.txt", fusion.EventRows, 652514, 0},
		{"hetrec-lastfm/user_artists.dat", fusion.EventRows, 92834, 0},
		{"hetrec-lastfm/artists.dat", fusion.ProductRows, 17632, 0},
		{"taobao/buy.train.txt", fusion.EventRows, 211022, 0},
		{"taobao/cart.csv", fusion.EventRows, 193747, 0},
		{"filmtrust/ratings.txt", fusion.EventRows, 35498, 0},
		{"diginetica/sample_train-item-views.csv", fusion.EventRows, 4710, 7681},
		{"outdoor-products/sample-data.csv", fusion.ProductRows, 500, 0},
	}
	t.Chdir(t.TempDir())
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			if testing.Short() && tt.kept > 50_000 {
				t.Skip("long")
			}
			text, err := Files(t.Context(), []string{filepath.Join(dir, tt.file)})
			if err != nil {
				t.Fatal(err)
			}
			m := mappings(t, text)[0]
			if m.Kind != tt.kind && !(m.Kind == "" && tt.kind == fusion.EventRows) {
				t.Errorf("kind %q, want %q:\n%s", m.Kind, tt.kind, text)
			}
			r := try(t, text)[0]
			if r.Kept != tt.kept || r.Rejected != tt.noUser || r.Reasons["no_user"] != tt.noUser {
				t.Errorf("%d kept, %v refused; want %d, and %d without user\n%s", r.Kept, r.Reasons, tt.kept, tt.noUser, text)
			}
		})
	}
}

func FuzzFiles(f *testing.F) {
	for _, text := range files {
		f.Add(text)
	}
	f.Add("user,item,\"\n1,2,3\n")
	f.Add("user,USER,item,1,-,a: b\n1,2,3,4,5,6\n")
	f.Add("item,true,null,#x,\"a\nb\"\n1,2,3,4,5\n")
	f.Fuzz(func(t *testing.T, in string) {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("f.csv", []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := Files(t.Context(), []string{"f.csv"})
		if err != nil {
			return
		}
		for _, m := range mappings(t, text) {
			s, err := fusion.Records(t.Context(), m, nil)
			if err != nil {
				t.Fatalf("%v\n%q\n%s", err, in, text)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
