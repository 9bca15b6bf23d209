package assist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Secret is a key that formats, logs and JSON do not show.
type Secret string

const hidden = "(secret)"

// String returns a word in the place of the secret, or nothing if there is none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ReadSecret reads a key from a file, without white space around it.
func ReadSecret(path string) (Secret, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	s := strings.TrimSpace(string(b))
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("read key: %s has no key, want one line of printable ASCII", path)
	}
	return Secret(s), nil
}

// Config says how an endpoint is asked.
type Config struct {
	// URL is the part before /embeddings and /chat/completions, such as https://api.example.com/v1. Without TLS only a loopback address is taken, unless Plain is set.
	URL   string
	Plain bool
	// Key is sent as a bearer token unless it is empty.
	Key Secret
	// Model is the name that the endpoint knows.
	Model string
	// Cache is a directory for answers; empty for none. It holds texts of answers, so it is made for the owner only.
	Cache string
	// MaxRequests and MaxTokens bound what is sent in the life of a Client, tries included; 0 is no requests at all.
	MaxRequests, MaxTokens int64
	// Attempts is how often a request is tried, at least 1: again after 429, 5xx, and failures of the network.
	Attempts int
	// FirstWait is the pause before the second try, twice that before each later one, unless the endpoint says how long by Retry-After. No pause is above MaxWait: if the endpoint asks for more, the request fails.
	FirstWait, MaxWait time.Duration
	// Timeout bounds one try.
	Timeout time.Duration
}

// DefaultConfig has everything but URL, Key, Model and Cache.
func DefaultConfig() Config {
	return Config{
		MaxRequests: 1000, MaxTokens: 1_000_000, // a few dollars of a middling model
		Attempts: 5, FirstWait: time.Second, MaxWait: time.Minute, Timeout: time.Minute,
	}
}

func (c *Config) validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("URL is not of the form https://host/path") // without the text, which may hold a password
	case u.Scheme == "http" && !c.Plain && !loopback(u.Hostname()):
		return fmt.Errorf("URL sends texts and the key to %s without TLS; use https, or say that plain is wanted", u.Host)
	case c.Model == "":
		return errors.New("no name of a model")
	case c.MaxRequests < 0 || c.MaxTokens < 0:
		return fmt.Errorf("budget of %d requests and %d tokens, want 0 or more", c.MaxRequests, c.MaxTokens)
	case c.Attempts < 1 || c.Attempts > 20:
		return fmt.Errorf("%d attempts, want 1 to 20", c.Attempts)
	case c.FirstWait < 0 || c.MaxWait < c.FirstWait || c.Timeout <= 0:
		return fmt.Errorf("first wait %v, longest %v, timeout %v; want them ascending from 0, and a timeout above", c.FirstWait, c.MaxWait, c.Timeout)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Errors of requests, to be tested with errors.Is.
var (
	// ErrBudget says that a request would go beyond MaxRequests or MaxTokens. It was not sent.
	ErrBudget = errors.New("over the budget")
	// ErrAnswer is matched by the errors of answers that are not what was asked for.
	ErrAnswer = errors.New("bad answer")
)

// Usage is what a Client has done so far.
type Usage struct {
	// Requests counts tries, Retries those after the first, Cached answers that needed none. Tokens is what the endpoint says, or a guess where it does not.
	Requests, Retries, Cached, Tokens int64
}

// Client asks one model. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client
	// wait pauses, or returns ctx's error.
	wait func(ctx context.Context, d time.Duration) error
	now  func() time.Time

	mu       sync.Mutex // guards the rest
	usage    Usage
	failure  error
	reserved int64 // tokens of requests under way
}

// NewClient checks cfg. It sends nothing.
func NewClient(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.Cache != "" {
		if err := os.MkdirAll(cfg.Cache, 0o700); err != nil {
			return nil, fmt.Errorf("endpoint: cache: %w", err)
		}
	}
	return &Client{
		cfg: cfg,
		// A redirect would take the key and the texts to where nobody said that they may go.
		http: &http.Client{Timeout: cfg.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		wait: pause,
		now:  time.Now,
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Usage returns the counts so far.
func (c *Client) Usage() Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usage
}

// Failure returns an error for which a use took its answer without the model, or nil: the first of the endpoint or the network, else the first.
func (c *Client) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Away reports whether the endpoint has failed a use by something else than a bad answer or the end of the budget, so that waiting for it again is likely to be in vain. A nil client is not away.
func (c *Client) Away() bool {
	if c == nil {
		return false
	}
	err := c.Failure()
	return err != nil && !errors.Is(err, ErrAnswer) && !errors.Is(err, ErrBudget)
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if minor := errors.Is(c.failure, ErrAnswer) || errors.Is(c.failure, ErrBudget); c.failure == nil || minor && !errors.Is(err, ErrAnswer) && !errors.Is(err, ErrBudget) {
		c.failure = err
	}
}

// reserve takes a try of a request, and its tokens, off the budget.
func (c *Client) reserve(tokens int64, again bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.usage.Requests >= c.cfg.MaxRequests:
		return fmt.Errorf("%w of %d requests", ErrBudget, c.cfg.MaxRequests)
	case tokens > c.cfg.MaxTokens-c.usage.Tokens-c.reserved:
		return fmt.Errorf("%w of %d tokens: %d are used or under way, and this takes up to %d", ErrBudget, c.cfg.MaxTokens, c.usage.Tokens+c.reserved, tokens)
	}
	c.usage.Requests++
	if again {
		c.usage.Retries++
	}
	c.reserved += tokens
	return nil
}

func (c *Client) settle(reserved, used int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved -= reserved
	c.usage.Tokens += min(used, math.MaxInt64/4-c.usage.Tokens) // an endpoint may say anything
}

func (c *Client) countCached() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usage.Cached++
}

// maxAnswer bounds the bytes of an answer that are read.
const maxAnswer = 64 << 20

// post sends a body until it is answered, and returns the answer. tokens is the most that it can take. Errors name the path and the status, and neither key nor texts.
func (c *Client) post(ctx context.Context, path string, body []byte, tokens int64) ([]byte, error) {
	var last error
	pause := c.cfg.FirstWait
	for attempt := range c.cfg.Attempts {
		if err := c.reserve(tokens, attempt > 0); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), last)
		}
		answer, sent, retryIn, err := c.try(ctx, path, body)
		if err == nil {
			var said struct {
				Usage struct {
					Total int64 `json:"total_tokens"`
				} `json:"usage"`
			}
			used := tokens
			if json.Unmarshal(answer, &said) == nil && said.Usage.Total > 0 {
				used = said.Usage.Total
			}
			c.settle(tokens, used)
			return answer, nil
		}
		if sent {
			c.settle(tokens, tokens) // the endpoint may have worked on it, and count it
		} else {
			c.settle(tokens, 0)
		}
		last = fmt.Errorf("%s: %w", path, err)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", path, ctx.Err())
		}
		if retryIn < 0 || attempt == c.cfg.Attempts-1 {
			return nil, last
		}
		wait := min(pause, c.cfg.MaxWait)
		if retryIn > 0 {
			if wait = retryIn; wait > c.cfg.MaxWait {
				return nil, fmt.Errorf("%w; it wants %v, and %v is the longest", last, wait, c.cfg.MaxWait)
			}
		}
		if err := c.wait(ctx, wait); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pause *= 2
	}
	return nil, last
}

// try sends a body once. sent says that the endpoint may have worked on it, though there is no answer. retryIn says whether it may be sent again: below 0 for no, 0 for when the client thinks best, else after that pause.
func (c *Client) try(ctx context.Context, path string, body []byte) (answer []byte, sent bool, retryIn time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, false, -1, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.cfg.Key))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var dial *net.OpError
		return nil, !(errors.As(err, &dial) && dial.Op == "dial"), 0, err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("the endpoint answers %s", resp.Status)
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
			return nil, resp.StatusCode >= 500, c.retryAfter(resp.Header.Get("Retry-After")), err
		}
		return nil, false, -1, err
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		return nil, true, -1, fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer)
	}
	return answer, true, 0, err
}

// retryAfter reads the header: seconds, or a time. It returns 0 for none.
func (c *Client) retryAfter(header string) time.Duration {
	if s, err := strconv.ParseFloat(header, 64); err == nil && s >= 0 && s < 1e9 {
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(0, t.Sub(c.now()))
	}
	return 0
}

// question is the name under which the answer to something is kept.
func (c *Client) question(parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{c.cfg.URL, c.cfg.Model}, parts...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A file of the cache is a hash of what follows it, so that one that is damaged is asked for again.
func (c *Client) cachePath(question string) string {
	return filepath.Join(c.cfg.Cache, question[:2], question)
}

// cached returns a kept answer, or nil.
func (c *Client) cached(question string) []byte {
	if c.cfg.Cache == "" {
		return nil
	}
	b, err := os.ReadFile(c.cachePath(question))
	if err != nil || len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b[:sha256.Size]) {
		return nil
	}
	return b[sha256.Size:]
}

// keep writes an answer to the cache.
func (c *Client) keep(question string, answer []byte) (err error) {
	if c.cfg.Cache == "" {
		return nil
	}
	path := c.cachePath(question)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	sum := sha256.Sum256(answer)
	_, err = f.Write(append(sum[:], answer...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cache: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
