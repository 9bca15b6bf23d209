package kafka

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/kith-io/kith/source"
)

// ReasonValue is the reason of a RowError for a message whose value is not what it should be.
const ReasonValue = "message"

// decoder finds the fields of a message's value. They are valid until the next call.
type decoder interface {
	decode(value []byte) ([][]byte, error)
}

// step is a member of an object, or an element of an array if name is empty.
type step struct {
	name  string
	index int
}

// parsePath reads a path such as user.id or items[0].sku.
func parsePath(path string) ([]step, error) {
	var out []step
	for part := range strings.SplitSeq(path, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		if name == "" {
			return nil, fmt.Errorf("%w: field %q; want names with points between them, as in user.id or items[0].sku", source.ErrOptions, path)
		}
		out = append(out, step{name: name})
		for indexed {
			digits, more, ok := strings.Cut(rest, "]")
			index, err := strconv.Atoi(digits)
			if !ok || err != nil || index < 0 || more != "" && more[0] != '[' {
				return nil, fmt.Errorf("%w: field %q; want a number from 0 in brackets, as in items[0].sku", source.ErrOptions, path)
			}
			out = append(out, step{index: index})
			rest, indexed = strings.CutPrefix(more, "[")
		}
	}
	return out, nil
}

// jsonDecoder reads objects of JSON.
type jsonDecoder struct {
	paths  [][]step
	fields [][]byte
}

func newJSONDecoder(fields []string) (*jsonDecoder, error) {
	d := &jsonDecoder{fields: make([][]byte, len(fields))}
	for _, f := range fields {
		path, err := parsePath(f)
		if err != nil {
			return nil, err
		}
		d.paths = append(d.paths, path)
	}
	return d, nil
}

func (d *jsonDecoder) decode(value []byte) ([][]byte, error) {
	in := json.NewDecoder(bytes.NewReader(value))
	in.UseNumber() // numbers stay as they are written
	var object map[string]any
	err := in.Decode(&object)
	if err == nil && object == nil {
		err = errors.New("want an object")
	}
	if err == nil {
		if _, more := in.Token(); more != io.EOF { //nolint:errorlint // a decoder returns it as it is
			err = errors.New("text after the object")
		}
	}
	if err != nil {
		return nil, badValue(value, "JSON: %v", err)
	}
	for i, path := range d.paths {
		if d.fields[i], err = text(find(object, path)); err != nil {
			return nil, badValue(value, "JSON: %v", err)
		}
	}
	return d.fields, nil
}

// find returns what stands at a path, or nil.
func find(at any, path []step) any {
	for _, s := range path {
		switch v := at.(type) {
		case map[string]any:
			if s.name == "" {
				return nil
			}
			at = v[s.name]
		case []any:
			if s.name != "" || s.index >= len(v) {
				return nil
			}
			at = v[s.index]
		default:
			return nil
		}
	}
	return at
}

// text returns a value as a field: texts as they are, nothing for null, objects and arrays as JSON.
func text(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	case json.Number:
		return []byte(v), nil
	}
	return json.Marshal(v)
}

// csvDecoder reads rows of CSV with a given number of fields.
type csvDecoder struct {
	splitter *source.RowSplitter
	width    int
	ragged   bool
}

func (d *csvDecoder) decode(value []byte) ([][]byte, error) {
	fields, err := d.splitter.Split(value)
	if err != nil {
		return nil, err
	}
	if len(fields) == d.width {
		return fields, nil
	}
	if !d.ragged {
		return nil, badValue(value, "%d fields, want the %d of message_fields (ragged rows can be allowed)", len(fields), d.width)
	}
	fields = fields[:min(len(fields), d.width):d.width]
	for len(fields) < d.width {
		fields = append(fields, nil)
	}
	return fields, nil
}

func badValue(value []byte, format string, args ...any) error {
	const most = 64 << 10
	return &source.RowError{Raw: string(value[:min(len(value), most)]), Reason: ReasonValue, Detail: fmt.Sprintf(format, args...)}
}
