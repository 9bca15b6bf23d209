package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// messageRecords is the number of records of which a server names every one that it refuses; 64 KiB each are well below the largest message.
const messageRecords = 200

// Kind says what records are about.
type Kind int32

// The kinds. Keys of one are apart from those of the other.
const (
	Products = Kind(kithv1.RecordKind_RECORD_KIND_PRODUCT)
	Users    = Kind(kithv1.RecordKind_RECORD_KIND_USER)
)

// Record is what is known of one product or user.
type Record struct {
	// Key is that of the item or the user.
	Key string
	// Version is the time of the last change in Unix milliseconds, or its number: a higher one replaces a lower one. 0 means now.
	Version int64
	// Attributes are string, []string, bool, time.Time (to the millisecond), float64 or int. Records that are read have no int.
	Attributes map[string]any
}

func (r *Record) proto() (*kithv1.Record, error) {
	m := &kithv1.Record{Key: r.Key, Version: r.Version}
	for _, name := range slices.Sorted(maps.Keys(r.Attributes)) {
		a := &kithv1.Attribute{Name: name}
		switch v := r.Attributes[name].(type) {
		case string:
			a.Value = &kithv1.Attribute_Text{Text: v}
		case []string:
			a.Value = &kithv1.Attribute_Texts{Texts: &kithv1.TextList{Texts: v}}
		case bool:
			a.Value = &kithv1.Attribute_Truth{Truth: v}
		case time.Time:
			a.Value = &kithv1.Attribute_TimeUnixMs{TimeUnixMs: v.UnixMilli()}
		case float64:
			a.Value = &kithv1.Attribute_Number{Number: v}
		case int:
			a.Value = &kithv1.Attribute_Number{Number: float64(v)}
		default:
			return nil, fmt.Errorf("put: record %q: %w: attribute %q is a %T; want string, []string, bool, time.Time, float64 or int", r.Key, Invalid, name, v)
		}
		m.Attributes = append(m.Attributes, a)
	}
	return m, nil
}

func recordOf(m *kithv1.Record) Record {
	r := Record{Key: m.Key, Version: m.Version, Attributes: make(map[string]any, len(m.Attributes))}
	for _, a := range m.Attributes {
		switch v := a.Value.(type) {
		case *kithv1.Attribute_Text:
			r.Attributes[a.Name] = v.Text
		case *kithv1.Attribute_Texts:
			r.Attributes[a.Name] = v.Texts.GetTexts()
		case *kithv1.Attribute_Truth:
			r.Attributes[a.Name] = v.Truth
		case *kithv1.Attribute_TimeUnixMs:
			r.Attributes[a.Name] = time.UnixMilli(v.TimeUnixMs)
		case *kithv1.Attribute_Number:
			r.Attributes[a.Name] = v.Number
		}
	}
	return r
}

// PutCounts counts what became of records.
type PutCounts struct {
	// Changed replaced older ones or were the first; Unchanged were known, or older than what there is.
	Changed, Unchanged uint64
	// Erased were refused, as their user was erased.
	Erased   uint64
	Rejected []Rejection
}

// Put stores records that are newer than what there is. Those without a version get one, in place. After an error some may be stored:
// put them again. The counts are those of the messages before the error.
func (c *Client) Put(ctx context.Context, kind Kind, records []Record) (PutCounts, error) {
	var total PutCounts
	messages := make([]*kithv1.Record, len(records))
	for i := range records {
		if records[i].Version == 0 {
			records[i].Version = time.Now().UnixMilli()
		}
		var err error
		if messages[i], err = records[i].proto(); err != nil {
			return total, err
		}
	}
	first := 0
	for batch := range slices.Chunk(messages, messageRecords) {
		resp, err := catalog(ctx, c, c.write("put"), func(ctx context.Context, s kithv1.CatalogServiceClient) (*kithv1.PutRecordsResponse, error) {
			return s.PutRecords(ctx, &kithv1.PutRecordsRequest{Kind: kithv1.RecordKind(kind), Records: batch})
		})
		if err != nil {
			return total, err
		}
		total.Changed += resp.Changed
		total.Unchanged += resp.Unchanged
		total.Erased += resp.Erased
		for _, r := range resp.Rejections {
			total.Rejected = append(total.Rejected, Rejection{Index: first + int(r.Index), Detail: r.Detail})
		}
		first += len(batch)
	}
	return total, nil
}

// Get returns the records of some keys, at most 10,000, by key. Those that are not there are left out. With stale, any replica is asked.
func (c *Client) Get(ctx context.Context, kind Kind, keys []string, stale bool) ([]Record, error) {
	p := c.read("get", kithv1.CatalogService_GetRecords_FullMethodName)
	return catalog(ctx, c, p, func(ctx context.Context, s kithv1.CatalogServiceClient) (records []Record, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := s.GetRecords(ctx, &kithv1.GetRecordsRequest{Kind: kithv1.RecordKind(kind), Keys: keys, Stale: stale})
		err = receive(stream, err, func(m *kithv1.GetRecordsResponse) {
			for _, r := range m.Records {
				records = append(records, recordOf(r))
			}
		})
		return records, err
	})
}

// Delete deletes the records of some keys, at most 10,000, up to a version, and returns how many there were. Version 0 stands for that of what
// there is; such a call is tried once, since a second attempt might delete what was put meanwhile.
func (c *Client) Delete(ctx context.Context, kind Kind, keys []string, version int64) (deleted uint64, err error) {
	req := &kithv1.DeleteRecordsRequest{Kind: kithv1.RecordKind(kind), Keys: keys}
	p := c.write("delete")
	if version == 0 {
		p.once = true
	} else {
		req.Version = &version
	}
	resp, err := catalog(ctx, c, p, func(ctx context.Context, s kithv1.CatalogServiceClient) (*kithv1.DeleteRecordsResponse, error) {
		return s.DeleteRecords(ctx, req)
	})
	return resp.GetDeleted(), err
}

// catalog makes a call of the catalog.
func catalog[T any](ctx context.Context, c *Client, p plan, f func(context.Context, kithv1.CatalogServiceClient) (T, error)) (T, error) {
	return call(ctx, c, p, func(ctx context.Context, conn *grpc.ClientConn) (T, error) {
		return f(ctx, kithv1.NewCatalogServiceClient(conn))
	})
}
