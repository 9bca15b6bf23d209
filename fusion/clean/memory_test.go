package clean

import (
	"runtime"
	"testing"

	"github.com/kith-io/kith/fusion/record"
)

// probe is a stream that looks at the live heap now and then.
type probe struct {
	*orderStream
	base, peak uint64
}

func (p *probe) Next() (record.Record, error) {
	if p.at%20_000 == 19_999 {
		p.peak = max(p.peak, liveHeap())
	}
	return p.orderStream.Next()
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryLimit looks at the heap while rules observe several times as much as may be held.
func TestMemoryLimit(t *testing.T) {
	const n, limit = 120_000, 2 << 20
	p := &probe{orderStream: newOrderStream(n)}
	for name, rule := range map[string]string{
		"duplicates": "{rule: duplicates}",
		"outliers":   "{rule: outliers, fields: [quantity], by: category, method: modified_zscore}",
		"mode":       "{rule: missing, fields: [user], with: mode}",
		"bots":       "{rule: bots, user: user, time: time, item: name}",
	} {
		p.at, p.peak = 0, 0
		p.base = liveHeap()
		var last uint64
		kept := 0
		report, err := Run(t.Context(), p, parse(t, "clean: ["+rule+"]"), Options{TempDir: t.TempDir(), MemoryLimit: limit}, func(record.Record) error {
			if kept++; kept == n/2 {
				last = liveHeap()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		// Counters of texts and the blocks at hand come on top.
		if held := max(p.peak, last) - min(p.base, max(p.peak, last)); held > limit+(2<<20) {
			t.Errorf("%s: %d KiB were held, the limit is %d KiB", name, held>>10, limit>>10)
		}
		if report.SortedBytes < limit/2 {
			t.Errorf("%s: only %d bytes were sorted on disk", name, report.SortedBytes)
		}
	}
}
