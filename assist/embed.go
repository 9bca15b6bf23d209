package assist

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// EmbedOptions say how texts become vectors.
type EmbedOptions struct {
	// Dim asks for vectors of that many numbers, from models that can; 0 leaves it to the model.
	Dim int
	// BatchTexts and BatchBytes bound one request; a text alone may be above BatchBytes.
	BatchTexts, BatchBytes int
	// MaxTextBytes is where longer texts are cut, at the end of a character.
	MaxTextBytes int
	// Parallel is the most requests at a time, at least 1. It changes no vector.
	Parallel int
}

// DefaultEmbedOptions fit what endpoints take.
func DefaultEmbedOptions() EmbedOptions {
	return EmbedOptions{BatchTexts: 96, BatchBytes: 256 << 10, MaxTextBytes: 16 << 10, Parallel: 4}
}

// Embed returns a vector for each text, all of one length, and nil for texts without anything but white space. Texts that are there twice, or were asked for before, are not sent. After an
// error no other request is begun; what is under way is waited for, as it is paid for, and all that was answered is in the cache.
func (c *Client) Embed(ctx context.Context, texts []string, o EmbedOptions) ([][]float32, error) {
	if o.Dim < 0 || o.BatchTexts < 1 || o.BatchBytes < 1 || o.MaxTextBytes < utf8.UTFMax || o.Parallel < 1 {
		return nil, fmt.Errorf("embed: options %+v, want a length of 0 or more, and bounds above 0", o)
	}
	out := make([][]float32, len(texts))
	places := map[string][]int{} // of each text that is to be sent
	var send []string
	for i, text := range texts {
		text = cut(strings.ToValidUTF8(strings.TrimSpace(text), "\ufffd"), o.MaxTextBytes)
		if text == "" {
			continue
		}
		if _, ok := places[text]; !ok {
			if v := decodeVector(c.cached(c.embedQuestion(text, o))); v != nil {
				c.countCached()
				out[i] = v
				continue
			}
			send = append(send, text)
		}
		places[text] = append(places[text], i)
	}
	if err := c.embedBatches(ctx, send, o, func(text string, v []float32) error {
		for _, i := range places[text] {
			out[i] = v
		}
		return c.keep(c.embedQuestion(text, o), encodeVector(v))
	}); err != nil {
		return nil, err
	}
	dim := 0
	for i, v := range out {
		switch {
		case v == nil:
		case dim == 0:
			dim = len(v)
		case len(v) != dim:
			return nil, fmt.Errorf("embed: %w: text %d has a vector of %d numbers, others of %d; if the model has changed, empty the cache", ErrAnswer, i, len(v), dim)
		}
	}
	return out, nil
}

// embedBatches calls take with the vector of each text, by o.Parallel goroutines that share no text.
func (c *Client) embedBatches(ctx context.Context, texts []string, o EmbedOptions, take func(text string, v []float32) error) error {
	var group errgroup.Group // without a context, so that an error leaves the others alone
	group.SetLimit(o.Parallel)
	var failed atomic.Bool
	for len(texts) > 0 && !failed.Load() {
		n, size := 1, len(texts[0])
		for n < min(len(texts), o.BatchTexts) && size+len(texts[n]) <= o.BatchBytes {
			size += len(texts[n])
			n++
		}
		batch := texts[:n]
		texts = texts[n:]
		group.Go(func() error {
			if failed.Load() {
				return nil
			}
			vectors, err := c.embedBatch(ctx, batch, o)
			for i, v := range vectors {
				if err == nil {
					err = take(batch[i], v)
				}
			}
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return group.Wait()
}

func (c *Client) embedQuestion(text string, o EmbedOptions) string {
	return c.question("embedding", strconv.Itoa(o.Dim), text)
}

// embedBatch asks for the vectors of some texts.
func (c *Client) embedBatch(ctx context.Context, texts []string, o EmbedOptions) ([][]float32, error) {
	body, err := json.Marshal(struct {
		Model  string   `json:"model"`
		Input  []string `json:"input"`
		Format string   `json:"encoding_format"`
		Dim    int      `json:"dimensions,omitempty"`
	}{c.cfg.Model, texts, "float", o.Dim})
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	var tokens int64
	for _, t := range texts {
		tokens += mostTokens(t)
	}
	b, err := c.post(ctx, "/embeddings", body, tokens)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	var answer struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("embed: %w: %w", ErrAnswer, err)
	}
	out := make([][]float32, len(texts))
	for _, d := range answer.Data {
		if d.Index < 0 || d.Index >= len(out) || out[d.Index] != nil || len(d.Embedding) == 0 || o.Dim != 0 && len(d.Embedding) != o.Dim {
			return nil, fmt.Errorf("embed: %w: vector number %d of %d numbers, for %d texts", ErrAnswer, d.Index, len(d.Embedding), len(texts))
		}
		out[d.Index] = d.Embedding // JSON has no infinities, and numbers beyond float32 do not parse
	}
	for i, v := range out {
		if v == nil {
			return nil, fmt.Errorf("embed: %w: no vector for text %d of %d", ErrAnswer, i, len(texts))
		}
	}
	return out, nil
}

// mostTokens is a guess above what a text takes: a token for two bytes, and some more.
func mostTokens(text string) int64 { return int64(len(text)/2 + 16) }

// cut returns the beginning of a text, up to n bytes, at the end of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func encodeVector(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// decodeVector returns nil for what is no vector.
func decodeVector(b []byte) []float32 {
	if len(b) == 0 || len(b)%4 != 0 {
		return nil
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
