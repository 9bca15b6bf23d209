package kafka

import (
	"encoding/json"
	"fmt"

	"github.com/kith-io/kith/source"
)

// position is the offset of the next message of each partition.
type position map[int32]int64

func (p position) String() string {
	if len(p) == 0 {
		return ""
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers have a form
	}
	return string(b)
}

// parsePosition reads what String has written.
func parsePosition(text string) (position, error) {
	p := position{}
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("%w: position %.100q: %w", source.ErrOptions, text, err)
	}
	for partition, offset := range p {
		if partition < 0 || offset < 0 {
			return nil, fmt.Errorf("%w: position %.100q has a negative number", source.ErrOptions, text)
		}
	}
	return p, nil
}
