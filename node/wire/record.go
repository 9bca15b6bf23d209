package wire

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kith-io/kith/catalog"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// KindFromProto returns the kind of a request, or an error that matches ErrInvalid.
func KindFromProto(k kithv1.RecordKind) (catalog.Kind, error) {
	switch k {
	case kithv1.RecordKind_RECORD_KIND_PRODUCT:
		return catalog.Product, nil
	case kithv1.RecordKind_RECORD_KIND_USER:
		return catalog.Profile, nil
	}
	return 0, fmt.Errorf("%w: kind %d of records; want products or users", ErrInvalid, k)
}

// BackupKindFromProto converts the kind of records of backups. Errors match ErrInvalid.
func BackupKindFromProto(k kithv1.RecordKind) (catalog.Kind, error) {
	if k == kithv1.RecordKind_RECORD_KIND_JOINED {
		return catalog.Joined, nil
	}
	return KindFromProto(k)
}

// KindToProto is the inverse of KindFromProto and BackupKindFromProto.
func KindToProto(k catalog.Kind) kithv1.RecordKind {
	switch k {
	case catalog.Profile:
		return kithv1.RecordKind_RECORD_KIND_USER
	case catalog.Joined:
		return kithv1.RecordKind_RECORD_KIND_JOINED
	}
	return kithv1.RecordKind_RECORD_KIND_PRODUCT
}

// RecordFromProto converts a record and checks it. Attributes may be in any order. Errors match ErrInvalid.
func RecordFromProto(m *kithv1.Record) (catalog.Record, error) {
	r := catalog.Record{Key: m.GetKey(), Version: m.GetVersion(), Deleted: m.GetDeleted()}
	if len(m.GetPlaces()) > 0 {
		r.Places = m.Places
	}
	for _, a := range m.GetAttributes() {
		r.Attributes = append(r.Attributes, catalog.Attribute{Name: a.GetName(), Value: valueFromProto(a)})
	}
	slices.SortStableFunc(r.Attributes, func(a, b catalog.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	if err := r.Check(); err != nil {
		return r, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return r, nil
}

// valueFromProto returns the zero Value, which no record may have, where there is none.
func valueFromProto(a *kithv1.Attribute) catalog.Value {
	switch v := a.GetValue().(type) {
	case *kithv1.Attribute_Text:
		return catalog.Value{Type: catalog.Text, Text: v.Text}
	case *kithv1.Attribute_Number:
		return catalog.Value{Type: catalog.Number, Number: v.Number}
	case *kithv1.Attribute_Truth:
		return catalog.Value{Type: catalog.Bool, Bool: v.Truth}
	case *kithv1.Attribute_TimeUnixMs:
		return catalog.Value{Type: catalog.Time, Millis: v.TimeUnixMs}
	case *kithv1.Attribute_Texts:
		return catalog.Value{Type: catalog.Texts, Texts: append([]string{}, v.Texts.GetTexts()...)}
	}
	return catalog.Value{}
}

// RecordToProto converts a record.
func RecordToProto(r *catalog.Record) *kithv1.Record {
	m := &kithv1.Record{Key: r.Key, Version: r.Version, Deleted: r.Deleted, Places: r.Places}
	for i := range r.Attributes {
		a := &kithv1.Attribute{Name: r.Attributes[i].Name}
		switch v := &r.Attributes[i].Value; v.Type {
		case catalog.Text:
			a.Value = &kithv1.Attribute_Text{Text: v.Text}
		case catalog.Number:
			a.Value = &kithv1.Attribute_Number{Number: v.Number}
		case catalog.Bool:
			a.Value = &kithv1.Attribute_Truth{Truth: v.Bool}
		case catalog.Time:
			a.Value = &kithv1.Attribute_TimeUnixMs{TimeUnixMs: v.Millis}
		case catalog.Texts:
			a.Value = &kithv1.Attribute_Texts{Texts: &kithv1.TextList{Texts: v.Texts}}
		}
		m.Attributes = append(m.Attributes, a)
	}
	return m
}

// RecordsFromProto converts records that another member has checked.
func RecordsFromProto(ms []*kithv1.Record) ([]catalog.Record, error) {
	out := make([]catalog.Record, len(ms))
	for i, m := range ms {
		var err error
		if out[i], err = RecordFromProto(m); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
	}
	return out, nil
}

// RecordsToProto converts records.
func RecordsToProto(rs []catalog.Record) []*kithv1.Record {
	out := make([]*kithv1.Record, len(rs))
	for i := range rs {
		out[i] = RecordToProto(&rs[i])
	}
	return out
}
