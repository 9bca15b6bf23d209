package object

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/kith-io/kith/source"
)

// position is how far reading has come.
type position struct {
	// Columns are those of the first object of the first run, whose order all keep; empty without a header.
	Columns []string `json:"columns,omitempty"`
	// Done has the stamps of objects that were read to their ends, by key.
	Done map[string]string `json:"done,omitempty"`
	// Key and Stamp are of the object that is being read, Rows how many of its rows were, refused ones too.
	Key   string `json:"key,omitempty"`
	Stamp string `json:"stamp,omitempty"`
	Rows  int64  `json:"rows,omitempty"`
}

func (p *position) String() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and numbers have a form
	}
	return string(b)
}

// parsePosition reads what String has written. Empty text is the start.
func parsePosition(text string) (position, error) {
	p := position{}
	if text != "" {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.DisallowUnknownFields()
		err := d.Decode(&p)
		if err == nil {
			if _, more := d.Token(); more != io.EOF { //nolint:errorlint // a decoder returns it as it is
				err = errors.New("text after it")
			}
		}
		if err == nil && (p.Rows < 0 || p.Rows > 0 && p.Key == "") {
			err = errors.New("rows without an object")
		}
		if err != nil {
			return position{}, fmt.Errorf("%w: position %.100q: %w; begin without it", source.ErrOptions, text, err)
		}
	}
	p.Done = maps.Clone(p.Done)
	if p.Done == nil {
		p.Done = map[string]string{}
	}
	return p, nil
}
