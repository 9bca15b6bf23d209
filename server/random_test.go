package server_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// randomMessage sets fields of a message at random: to usual values, and to those at and beyond the bounds.
func randomMessage(rng *rand.Rand, d protoreflect.MessageDescriptor, depth int) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if rng.IntN(3) == 0 || f.Message() != nil && depth == 0 {
			continue
		}
		switch {
		case f.IsMap():
			if f.MapValue().Message() == nil {
				for range rng.IntN(4) {
					m.Mutable(f).Map().Set(randomValue(rng, f.MapKey(), depth).MapKey(), randomValue(rng, f.MapValue(), depth))
				}
			}
		case f.IsList():
			for range rng.IntN(4) {
				m.Mutable(f).List().Append(randomValue(rng, f, depth))
			}
		default:
			m.Set(f, randomValue(rng, f, depth))
		}
	}
	return m
}

func randomValue(rng *rand.Rand, f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	whole := []int64{0, 1, 2, 7, 100, -1, 1001, 1_700_000_000_000, math.MaxInt32, math.MinInt64, math.MaxInt64}
	x := whole[rng.IntN(len(whole))]
	fraction := []float64{0, 0.5, 1, 2, -1, 1e300, math.Inf(1), math.NaN(), math.SmallestNonzeroFloat64}[rng.IntN(9)]
	text := []string{
		"", "u000", "u001", "i0001", "i0002", "nobody", "view", "purchase", "price", "category", "since", "home", "cosine", "ease(x=1)", "a\x00b", "../../etc/passwd",
		"<script>", "%s%n", "\u202e\u0000\U0010ffff", strings.Repeat("x", 257), strings.Repeat("(", 5000),
	}[rng.IntN(21)]
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return protoreflect.ValueOfMessage(randomMessage(rng, f.Message(), depth-1))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(x%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rng.IntN(f.Enum().Values().Len()*2) - 1))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(fraction))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(fraction)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(x))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(x))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(x))
	default:
		return protoreflect.ValueOfInt64(x)
	}
}

// garbage is a message that is none: bytes that no decoder takes.
func garbage() *emptypb.Empty {
	m := &emptypb.Empty{}
	m.ProtoReflect().SetUnknown([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x07, 0xff})
	return m
}

// tryRandom calls a method with random messages, as a caller who may call it, and returns the statuses that speak of a mistake of the server.
func tryRandom(t testing.TB, conn *grpc.ClientConn, method string, rng *rand.Rand, times int) (bad []*status.Status) {
	t.Helper()
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	input := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name)).Input()
	for range times {
		st := hear(t, conn, method, randomMessage(rng, input, 3))
		if slices.Contains([]codes.Code{codes.Internal, codes.Unknown, codes.DataLoss}, st.Code()) {
			bad = append(bad, st)
		}
	}
	return bad
}

// hear makes a call with one message and returns the status of the whole, or that there was no end in some time.
func hear(t testing.TB, conn *grpc.ClientConn, method string, message any) *status.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		_ = stream.SendMsg(message) // RecvMsg tells why
		_ = stream.CloseSend()
		for err == nil {
			err = stream.RecvMsg(&emptypb.Empty{})
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return status.Convert(err)
}
