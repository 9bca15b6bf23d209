package rest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kith-io/kith/api/rest/route"
	"github.com/kith-io/kith/node/wire"
)

const (
	// maxBody bounds a body: lists of 10,000 keys to allow and to deny fit if keys have up to 200 bytes.
	maxBody = 4 << 20
	// bodyPatience is how long a client may take to send a body.
	bodyPatience = 30 * time.Second
	// maxDepth bounds how deep the JSON of a body may nest.
	maxDepth = 50
)

// bind makes the request of a method from one of HTTP. Errors match wire.ErrInvalid or are a wire.HTTPError.
func (h *handler) bind(w http.ResponseWriter, r *http.Request, m protoreflect.Message) error {
	text, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := h.bindBody(r, text, m); err != nil {
		return err
	}
	for i := range h.vars {
		if err := h.vars[i].setOnce(m, r.PathValue(h.vars[i].name)); err != nil {
			return fmt.Errorf("%w: path: %w", wire.ErrInvalid, err)
		}
	}
	var few [8]parameter // most have no more
	query, err := parseQuery(few[:0], r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: query: %w", wire.ErrInvalid, err)
	}
	for len(query) > 0 {
		name, same := query[0].name, 1
		for same < len(query) && query[same].name == name {
			same++
		}
		if err := h.bindQuery(m, name, query[:same]); err != nil {
			return fmt.Errorf("%w: query parameter %q: %w", wire.ErrInvalid, name, err)
		}
		query = query[same:]
	}
	return nil
}

// readBody returns the body of a request.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	conn := http.NewResponseController(w)
	// Not all connections can be told. The deadline must not outlast the body: it would end the request.
	if err := conn.SetReadDeadline(time.Now().Add(bodyPatience)); err == nil {
		defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, &wire.HTTPError{
			Status: http.StatusRequestEntityTooLarge, Reason: "TOO_LARGE", Message: fmt.Sprintf("the body has more than %d bytes; send less at a time", large.Limit),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: body: %w", wire.ErrInvalid, err)
	}
	return text, nil
}

// bindBody reads the JSON of a body. An empty one of a POST is an empty request.
func (h *handler) bindBody(r *http.Request, text []byte, m protoreflect.Message) error {
	switch {
	case h.route.Body == "":
		if len(text) > 0 {
			return fmt.Errorf("%w: %s takes no body; use query parameters, or a POST where there is one", wire.ErrInvalid, r.Method)
		}
		return nil
	case len(text) == 0 && r.Method == http.MethodPost:
		return nil
	case len(text) == 0:
		return fmt.Errorf("%w: the body is empty; want JSON", wire.ErrInvalid)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &wire.HTTPError{
			Status: http.StatusUnsupportedMediaType, Reason: "BAD_TYPE", Message: fmt.Sprintf("content type %q; want application/json", r.Header.Get("Content-Type")),
		}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &wire.HTTPError{Status: http.StatusUnsupportedMediaType, Reason: "BAD_ENCODING", Message: fmt.Sprintf("content encoding %q; send the body as it is", encoding)}
	}
	if h.route.Body != route.AllBody {
		m = m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(h.route.Body))).Message()
	}
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(text, m.Interface()); err != nil {
		return fmt.Errorf("%w: body: %s", wire.ErrInvalid, jsonError(err))
	}
	return nil
}

// jsonError is the text of an error of protojson without its prefix, whose white space differs from program to program.
func jsonError(err error) string {
	_, text, found := strings.Cut(err.Error(), ":")
	if !found {
		return err.Error()
	}
	return strings.TrimSpace(text)
}

// bindQuery sets a field from the query parameters of a name.
func (h *handler) bindQuery(m protoreflect.Message, name string, values []parameter) error {
	if t := h.targets[name]; t != nil && len(values) == 1 {
		return t.setOnce(m, values[0].value)
	}
	if h.route.Body == route.AllBody {
		return errors.New("the body has all that can be said here; put it there")
	}
	f, err := route.Find(m.Descriptor(), name)
	if err != nil {
		return fmt.Errorf("%w; want one of %s", err, strings.Join(h.parameters(), ", "))
	}
	if h.route.InPath(name) || string(f.Way[0].Name()) == h.route.Body {
		return errors.New("the path or the body has it already")
	}
	leaf := f.Leaf()
	if leaf.IsMap() || leaf.Message() != nil {
		return errors.New("it is not a single value; send it in the body of a POST")
	}
	if !leaf.IsList() {
		if len(values) > 1 {
			return fmt.Errorf("it is there %d times; want it once", len(values))
		}
		return (&target{field: f, leaf: leaf}).setOnce(m, values[0].value)
	}
	list := owner(m, f).Mutable(leaf).List()
	for _, p := range values {
		v, err := parse(leaf, p.value)
		if err != nil {
			return err
		}
		list.Append(v)
	}
	return nil
}

// parameters are the names of query parameters that have single values.
func (h *handler) parameters() (names []string) {
	fields := h.route.Method.Input().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if name := string(fd.Name()); !fd.IsMap() && fd.Message() == nil && !h.route.InPath(name) {
			names = append(names, name)
		}
	}
	return names
}

// parse reads a value as paths and queries have it.
func parse(fd protoreflect.FieldDescriptor, text string) (v protoreflect.Value, err error) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		if !utf8.ValidString(text) {
			return v, fmt.Errorf("%q is not UTF-8", text)
		}
		return protoreflect.ValueOfString(text), nil
	case protoreflect.BytesKind:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return v, fmt.Errorf("%q: want base64", text)
		}
		return protoreflect.ValueOfBytes(b), nil
	case protoreflect.BoolKind:
		if text != "true" && text != "false" {
			return v, fmt.Errorf("%q: want true or false", text)
		}
		return protoreflect.ValueOfBool(text == "true"), nil
	case protoreflect.EnumKind:
		return parseEnum(fd.Enum(), text)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		x, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(x)), number(text, "a whole number of 32 bits", err)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		x, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(x), number(text, "a whole number of 64 bits", err)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		x, err := strconv.ParseUint(text, 10, 32)
		return protoreflect.ValueOfUint32(uint32(x)), number(text, "a whole number of 32 bits, 0 or more", err)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		x, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(x), number(text, "a whole number of 64 bits, 0 or more", err)
	case protoreflect.FloatKind:
		x, err := strconv.ParseFloat(text, 32)
		return protoreflect.ValueOfFloat32(float32(x)), number(text, "a number", err)
	case protoreflect.DoubleKind:
		x, err := strconv.ParseFloat(text, 64)
		return protoreflect.ValueOfFloat64(x), number(text, "a number", err)
	}
	return v, errors.New("it is not a single value")
}

func number(text, want string, err error) error {
	if err != nil {
		return fmt.Errorf("%q: want %s", text, want)
	}
	return nil
}

// parseEnum takes the name of a value as the protocol has it, and its short form: item_knn for MODEL_ITEM_KNN.
func parseEnum(enum protoreflect.EnumDescriptor, text string) (v protoreflect.Value, err error) {
	name := strings.ToUpper(text)
	for _, full := range [...]string{name, route.Prefix(enum) + name} {
		if value := enum.Values().ByName(protoreflect.Name(full)); value != nil {
			return protoreflect.ValueOfEnum(value.Number()), nil
		}
	}
	var short []string
	for i := range enum.Values().Len() {
		short = append(short, route.Short(enum.Values().Get(i)))
	}
	return v, fmt.Errorf("%q: want one of %s", text, strings.Join(short, ", "))
}

// message returns what a decoder of the generated code hands over, as a message.
func message(in any) (protoreflect.Message, error) {
	m, ok := in.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", in)
	}
	return m.ProtoReflect(), nil
}
