package db

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/kith-io/kith/source"
)

// maxMarks bounds a position. Where more rows share a value, reading goes on from the first of them.
const maxMarks = 1000

// position is how far reading has come: the cursor of the last row, as the server writes it, and the marks of the rows read with it.
type position struct {
	At   []string `json:"at"`
	Rows []uint64 `json:"rows,omitempty"`
}

func (p position) String() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and numbers have a form
	}
	return string(b)
}

// parsePosition reads what String has written.
func parsePosition(text string) (position, error) {
	var p position
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	if err == nil {
		if _, more := d.Token(); more != io.EOF { //nolint:errorlint // a decoder returns it as it is
			err = fmt.Errorf("text after it")
		}
	}
	if err == nil && len(p.At) == 0 {
		err = fmt.Errorf("it has no value")
	}
	if err != nil {
		return position{}, fmt.Errorf("%w: position %.100q: %w; begin without it", source.ErrOptions, text, err)
	}
	return p, nil
}
