package wire_test

import (
	"bytes"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestCodec(t *testing.T) {
	c := wire.Codec()
	var large kithv1.AppendRequest
	for range 2000 {
		large.Events = append(large.Events, &kithv1.Event{User: strings.Repeat("u", 200), Item: "i", Context: map[string]string{"order": "1"}})
	}
	ids := &kithv1.ScoreItemsResponse{Items: make([]uint32, 1_000_000), Scores: make([]int64, 1_000_000)}
	for name, m := range map[string]proto.Message{"small": &kithv1.Event{User: "u"}, "large": &large, "numbers": ids} {
		b, err := c.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := m.ProtoReflect().New().Interface()
		if err := c.Unmarshal(b, got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "numbers" {
			if diff := gocmp.Diff(m, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		b.Free()
	}
}

// TestCodecRefuses: what is small on the wire and large in memory is found out before.
func TestCodecRefuses(t *testing.T) {
	deep := structpb.NewNullValue()
	for range 40 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	deepBytes, err := proto.Marshal(deep)
	if err != nil {
		t.Fatal(err)
	}
	padded := append(deepBytes, bytes.Repeat([]byte{0x1a, 0x00}, 64<<10)...) // strings that are empty
	for name, c := range map[string]struct {
		b    []byte
		into proto.Message
		want string
	}{
		"eight million empty events": {bytes.Repeat([]byte{0x0a, 0x00}, 8<<20), &kithv1.AppendRequest{}, "MiB of memory"},
		"deep and long":              {padded, &structpb.Value{}, "deep"},
		"deep and short":             {deepBytes, &structpb.Value{}, "recursion"},
	} {
		err := wire.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(c.b)}, c.into)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzCodec(f *testing.F) {
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Repeat(b, 1+(128<<10)/max(1, len(b))) // long enough to be looked at
		var got, want kithv1.RecommendRequest
		err := wire.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &got)
		if plain := proto.Unmarshal(b, &want); (err == nil) != (plain == nil) && !strings.Contains(err.Error(), "deep") {
			t.Fatalf("error %v, without bounds %v", err, plain)
		}
	})
}
