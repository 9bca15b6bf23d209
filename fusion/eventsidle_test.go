package fusion

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

// trickle is a service that says twice that it has no row at the moment, before each row and before its end.
type trickle struct{ rows, at, told int }

func (s *trickle) Columns() []string { return []string{"user", "item", "time"} }
func (s *trickle) Raw() []byte       { return nil }
func (s *trickle) Position() string  { return "" }
func (s *trickle) Close() error      { return nil }

func (s *trickle) Next() (source.Record, error) {
	if s.told = (s.told + 1) % 3; s.told > 0 {
		return source.Record{}, source.ErrIdle
	}
	if s.at == s.rows {
		return source.Record{}, io.EOF
	}
	s.at++
	return source.Record{Line: int64(s.at), Fields: [][]byte{[]byte("u"), fmt.Append(nil, "i", s.at), []byte("1600000000")}}, nil
}

// TestEventsOfIdleService: events are handed on while there are no more, and the yield is called even if there are none.
func TestEventsOfIdleService(t *testing.T) {
	m := Mapping{Name: "x", Path: "num://host/x", Source: source.Options{Remote: source.Remote{Openers: map[string]source.Opener{
		"num": func(context.Context, *url.URL, source.Options) (source.Rows, error) { return &trickle{rows: 3}, nil },
	}}}}
	var got []string
	report, err := Events(t.Context(), m, nil, 1000, func(events []Event) error {
		items := ""
		for _, e := range events {
			items += e.Item
		}
		got = append(got, items)
		return nil
	})
	if err != nil || report.Read != 3 || report.Kept != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	if diff := cmp.Diff([]string{"i1", "i2", "", "i3", ""}, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}
