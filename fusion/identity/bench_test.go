package identity_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/kith-io/kith/fusion/identity"
)

// BenchmarkLinks reads links of distinct devices with accounts, three devices each, and joins them.
func BenchmarkLinks(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("links=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cfg := identity.UserLinks("account", "cookie", "device")
				l, err := identity.NewLinks(cfg)
				if err != nil {
					b.Fatal(err)
				}
				var account, device [24]byte
				for i := range n {
					// Keys of 16 bytes, in no order.
					x := uint64(i)*0x9e3779b97f4a7c15 | 1<<63
					y := uint64(i/3)*0xbf58476d1ce4e5b9 | 1<<63
					d := strconv.AppendUint(device[:0], x, 16)
					a := strconv.AppendUint(account[:0], y, 16)
					if err := l.Add(identity.Key{Kind: "device", Text: string(d)}, identity.Key{Kind: "account", Text: string(a)}); err != nil {
						b.Fatal(err)
					}
				}
				var after runtime.MemStats
				held, more := l.SizeBytes()
				e, err := l.Resolve(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				keys := float64(e.Report.Keys)
				b.ReportMetric(float64(held+more)/keys, "peak-B/key")
				b.ReportMetric(float64(after.HeapAlloc)/keys, "kept-B/key")
				runtime.KeepAlive(e)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "links/s")
		})
	}
}

// BenchmarkTitles signs titles of three words and a size, and finds those that are there twice.
func BenchmarkTitles(b *testing.B) {
	const n = 100_000
	b.ReportAllocs()
	for b.Loop() {
		t, err := identity.NewTitles(identity.DefaultTitles())
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			x := uint64(i/2) * 0x9e3779b97f4a7c15
			title := fmt.Sprintf("%s %s %s %d ml", strconv.FormatUint(x>>44, 36), strconv.FormatUint(x>>24&0xfffff, 36), strconv.FormatUint(x&0xffffff, 36), 50+x%20*50)
			if err := t.Add(identity.Product{Key: strconv.Itoa(i), Source: strconv.Itoa(i % 2), Title: title}); err != nil {
				b.Fatal(err)
			}
		}
		pairs, _, err := t.Find(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if len(pairs) < n/2*9/10 {
			b.Fatalf("%d pairs, want about %d", len(pairs), n/2)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "titles/s")
}

// BenchmarkMatch hashes accounts with a secret and finds those that are there twice.
func BenchmarkMatch(b *testing.B) {
	const n = 100_000
	b.ReportAllocs()
	for b.Loop() {
		cfg := identity.PersonMatch()
		cfg.Secret = []byte("a secret of the shop")
		m, err := identity.NewMatcher(cfg)
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			p := i % (n * 9 / 10) // a tenth is there twice
			name := fmt.Sprintf("Name%d Family%d", p%97, p%991)
			if err := m.Add(strconv.Itoa(i), []string{
				fmt.Sprintf("p%d@example.com", p), fmt.Sprintf("+49 170 %07d", p),
				name, fmt.Sprintf("%05d", p%1999), name,
			}); err != nil {
				b.Fatal(err)
			}
		}
		if _, r, err := m.Match(b.Context()); err != nil || r.Joined < n/10 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
}
