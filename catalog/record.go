// Package catalog has the form of what is kept of products and of users beside their events: named attributes with typed values, and
// a version that says which of two records of a key is the newer one. It encodes records for logs, stores and backups.
package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Kind says what a record is about. Keys of one kind are apart from those of the other.
type Kind uint8

// Kinds of records. Logs and stores hold the numbers.
const (
	// Product records are about items.
	Product Kind = 1
	// Profile records are about users.
	Profile Kind = 2
	// Joined is how backups have a key of a user that is joined to another, its attribute JoinedTo. No log or store has it.
	Joined Kind = 3
)

// JoinedTo is the attribute of Joined.
const JoinedTo = "to"

// Kinds are all kinds that are stored, in the order of backups, where Joined follows.
var Kinds = []Kind{Product, Profile}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool { return k == Product || k == Profile }

// String returns the name of a kind for people.
func (k Kind) String() string {
	switch k {
	case Product:
		return "product"
	case Profile:
		return "user"
	case Joined:
		return "joined key"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Bounds of a record.
const (
	// MaxKeyBytes is the longest key, that of an event's item or user.
	MaxKeyBytes = 256
	// MaxAttributes is the most attributes of a record.
	MaxAttributes = 200
	// MaxNameBytes is the longest name of an attribute.
	MaxNameBytes = 128
	// MaxRecordBytes bounds a record as it is encoded.
	MaxRecordBytes = 64 << 10

	// minTime and maxTime are the begin of the year 1 and the end of the year 9999: what RFC 3339 can say.
	minTime, maxTime = -62135596800000, 253402300799999
)

// Type is the type of a value. Logs and stores hold the numbers.
type Type uint8

// Types of values.
const (
	Text   Type = 1
	Number Type = 2
	Bool   Type = 3
	// Time is a moment in Unix milliseconds UTC.
	Time Type = 4
	// Texts is a list of texts, such as tags. Its order counts.
	Texts Type = 5
)

// Value is one value of a record. Only the field of its type is set.
type Value struct {
	Type   Type
	Text   string
	Number float64
	Bool   bool
	Millis int64 // of Time
	Texts  []string
}

// Attribute is a named value.
type Attribute struct {
	Name  string
	Value Value
}

// Record is what is known of one product or user.
type Record struct {
	Key string
	// Version orders the records of a key: a higher one replaces a lower one. It is the time of the last change, or its number. At
	// least 0.
	Version int64
	// Deleted says that the record is gone. It has no attributes then, and keeps older ones from coming back.
	Deleted bool
	// Attributes ascend by name.
	Attributes []Attribute
	// Places says where the record comes from, in a form that only its writer knows.
	Places []byte
}

// Errors about records, to be tested with errors.Is.
var (
	// ErrInvalid is matched by the errors of records that are out of their bounds.
	ErrInvalid = errors.New("invalid record")
	// ErrCorrupt is matched by the errors of Decode.
	ErrCorrupt = errors.New("damaged record")
)

// CheckKey returns nil if key may be that of a record, or an error that matches ErrInvalid.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it has no key", ErrInvalid)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: key %.40q... has %d bytes; want at most %d", ErrInvalid, key, len(key), MaxKeyBytes)
	case !utf8.ValidString(key) || strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("%w: key %.80q is not valid UTF-8, or holds a NUL byte", ErrInvalid, key)
	}
	return nil
}

// Check returns nil if a record is within its bounds, or an error that matches ErrInvalid and names the key and the bound.
func (r *Record) Check() error {
	if err := CheckKey(r.Key); err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %.80q: %s", ErrInvalid, r.Key, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Version < 0:
		return refuse("its version is %d; want at least 0", r.Version)
	case r.Deleted && (len(r.Attributes) > 0 || len(r.Places) > 0):
		return refuse("it is deleted, and has attributes or places; want none")
	case len(r.Attributes) > MaxAttributes:
		return refuse("it has %d attributes; want at most %d", len(r.Attributes), MaxAttributes)
	}
	for i := range r.Attributes {
		a := &r.Attributes[i]
		switch {
		case a.Name == "" || len(a.Name) > MaxNameBytes || !utf8.ValidString(a.Name):
			return refuse("the name of attribute %.80q has %d bytes; want 1 to %d, of valid UTF-8", a.Name, len(a.Name), MaxNameBytes)
		case i > 0 && a.Name <= r.Attributes[i-1].Name:
			return refuse("attribute %.80q comes after %.80q; want each name once, in order", a.Name, r.Attributes[i-1].Name)
		}
		if why := a.Value.flaw(); why != "" {
			return refuse("attribute %.80q %s", a.Name, why)
		}
	}
	if n := len(r.append(nil)); n > MaxRecordBytes {
		return refuse("it takes %d bytes; want at most %d", n, MaxRecordBytes)
	}
	return nil
}

// flaw says what is wrong with a value, or "".
func (v *Value) flaw() string {
	rest := *v
	switch v.Type {
	case Text:
		rest.Text = ""
	case Number:
		rest.Number = 0
	case Bool:
		rest.Bool = false
	case Time:
		rest.Millis = 0
	case Texts:
		rest.Texts = nil
	default:
		return fmt.Sprintf("is of type %d, which is not known", v.Type)
	}
	switch {
	case rest.Text != "" || rest.Number != 0 || rest.Bool || rest.Millis != 0 || rest.Texts != nil:
		return "has more than the value of its type"
	case math.IsNaN(v.Number) || math.IsInf(v.Number, 0):
		return "is not a finite number"
	case v.Millis < minTime || v.Millis > maxTime:
		return "is a time before the year 1 or after 9999"
	case !utf8.ValidString(v.Text):
		return "is not valid UTF-8"
	}
	for _, s := range v.Texts {
		if !utf8.ValidString(s) {
			return "is not valid UTF-8"
		}
	}
	return ""
}

// Newer reports whether a replaces b, both of one key: by its version, then by being deleted, then by a hash of its content. It is a
// strict order, so the record that stays does not depend on the order in which they came; of equal ones neither is newer.
func Newer(a, b *Record) bool {
	if c := cmp.Compare(a.Version, b.Version); c != 0 {
		return c > 0
	}
	if a.Deleted != b.Deleted {
		return a.Deleted
	}
	ea, eb := a.append(nil), b.append(nil)
	if bytes.Equal(ea, eb) {
		return false
	}
	ha, hb := sha256.Sum256(ea), sha256.Sum256(eb)
	return bytes.Compare(ha[:], hb[:]) > 0
}
