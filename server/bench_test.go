package server_test

import (
	"testing"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// BenchmarkRecommend asks one server over gRPC, so it counts what caller and server do together.
func BenchmarkRecommend(b *testing.B) {
	c := clustertest.Start(b, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(200, 100, 30, 1))
	c.Build(0, nil)
	client := c.Recommender(0)
	req := &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: "u007"}, N: 10}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Recommend(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
