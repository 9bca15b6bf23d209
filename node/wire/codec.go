package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of a message that comes over the network. A message on the wire may be small and yet fill the memory: an empty item of a list takes two
// bytes, and some eighty when it is decoded.
const (
	// maxDecoded is about how much memory a message may take. The largest that are sent, of 16 MiB, take less than half of it.
	maxDecoded = 192 << 20
	// maxDepth is how deep messages may lie within each other. Those of kith do five deep.
	maxDepth = 32
	// freeBytes is the length on the wire up to which a message is not looked at before: it takes less than 3 MiB.
	freeBytes = 64 << 10
)

// Codec is the usual codec of gRPC, but that it refuses messages which would take too much memory before it decodes them, and that its buffers fit them: the pool of gRPC has a
// buffer of 1 MiB for a message of 33 KiB, and clears all of it each time.
func Codec() encoding.CodecV2 { return newCodec(true) }

// TrustingCodec is Codec without a bound, for those who ask servers.
func TrustingCodec() encoding.CodecV2 { return newCodec(false) }

func newCodec(bounded bool) codec {
	var sizes []int
	for size := 1 << 10; size <= 1<<20; size *= 2 {
		sizes = append(sizes, size)
	}
	return codec{encoding.GetCodecV2(encproto.Name), mem.NewTieredBufferPool(sizes...), bounded}
}

type codec struct {
	encoding.CodecV2
	pool    mem.BufferPool
	bounded bool
}

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := proto.Size(m)
	if mem.IsBelowBufferPoolingThreshold(size) {
		return c.CodecV2.Marshal(v)
	}
	buf := c.pool.Get(size)
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend((*buf)[:0], m); err != nil {
		c.pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, c.pool)}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(c.pool)
	defer buf.Free()
	b := buf.ReadOnlyData()
	if c.bounded && len(b) > freeBytes {
		n, err := decodedSize(m.ProtoReflect().Descriptor(), b, 0)
		if err == nil && n > maxDecoded {
			err = fmt.Errorf("a message of %d bytes would take more than %d MiB of memory; send what it has in several", len(b), maxDecoded>>20)
		}
		if err != nil {
			return err
		}
	}
	return proto.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(b, m)
}

const (
	messageBytes = 80 // the struct of a message, and the pointer to it
	textBytes    = 24 // a string or a slice
	entryBytes   = 96 // an entry of a map, without its contents
)

// decodedSize returns about how much memory the fields of a message take when they are decoded; it ends early when they are beyond maxDecoded. What is not well-formed counts
// for nothing: decoding finds it. Cost: O(len(b)) at most.
func decodedSize(d protoreflect.MessageDescriptor, b []byte, depth int) (size int, err error) {
	if depth >= maxDepth {
		return 0, fmt.Errorf("messages lie more than %d deep within each other", maxDepth)
	}
	fields := d.Fields()
	for len(b) > 0 && size <= maxDecoded {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return size, nil
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return size, nil
		}
		value := b[:n]
		b = b[n:]
		f := fields.ByNumber(number)
		if f == nil {
			size += n + textBytes // kept as it is
			continue
		}
		if kind != protowire.BytesType {
			size += 8
			continue
		}
		text, _ := protowire.ConsumeBytes(value)
		switch f.Kind() {
		case protoreflect.MessageKind:
			inner, err := decodedSize(f.Message(), text, depth+1)
			if err != nil {
				return 0, err
			}
			if size += messageBytes + inner; f.IsMap() {
				size += entryBytes
			}
		case protoreflect.StringKind, protoreflect.BytesKind:
			size += textBytes + len(text)
		default:
			size += 8 * len(text) // numbers one after the other, of a byte each at least
		}
	}
	return size, nil
}
