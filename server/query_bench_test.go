package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// BenchmarkRecommend asks one server over one connection, one query after the other: 20,000 users with 20 items of 10,000 each, some liked by many.
// Time is that of client and server together.
func BenchmarkRecommend(b *testing.B) {
	const users, items, each = 20_000, 10_000, 20
	c := clustertest.Start(b, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) { cfg.HTTPAddr = "127.0.0.1:0" }})
	random := rand.New(rand.NewPCG(1, 2))
	var events []*kithv1.Event
	for u := range users {
		for i := range each {
			item := int(items * math.Pow(random.Float64(), 3))
			events = append(events, &kithv1.Event{
				Id: fmt.Sprint(u, "-", i), User: fmt.Sprintf("u%05d", u), Item: fmt.Sprintf("i%05d", item), Behavior: "purchase", TimeUnixMs: int64(1_700_000_000_000 + i),
			})
		}
		if len(events) >= 5000 {
			c.Append(0, events)
			events = events[:0]
		}
	}
	c.Append(0, events)
	c.Build(0, &kithv1.BuildSpec{K: 50})
	for name, model := range map[string]kithv1.Model{"item-knn": kithv1.Model_MODEL_ITEM_KNN, "hybrid": kithv1.Model_MODEL_HYBRID} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := forUser(fmt.Sprintf("u%05d", random.IntN(users)), 10)
				req.Model = model
				resp, err := c.Recommender(0).Recommend(b.Context(), req)
				if status.Code(err) != codes.OK || len(resp.Items) != 10 {
					b.Fatalf("%d items, %v", len(resp.GetItems()), err)
				}
			}
		})
	}
	b.Run("item-knn over HTTP", func(b *testing.B) {
		benchmarkHTTP(b, c.Members[0].Server.HTTPAddr(), func() string { return fmt.Sprintf("u%05d", random.IntN(users)) })
	})
}

// benchmarkHTTP asks over a connection on which bytes are written and read: a client of net/http would allocate as much as the server.
func benchmarkHTTP(b *testing.B, addr string, user func() string) {
	b.ReportAllocs()
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in, out := bufio.NewReader(conn), []byte(nil)
	for b.Loop() {
		out = fmt.Appendf(out[:0], "GET /v1/users/%s/recommendations?n=10&model=item_knn HTTP/1.1\r\nHost: %s\r\n\r\n", user(), addr)
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		for length, header := 0, true; header; {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
			}
			if header = len(line) > len("\r\n"); !header {
				if n, err := in.Discard(length); err != nil || n == 0 {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		}
	}
}
