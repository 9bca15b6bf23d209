package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// keyInURL is what the key stands for in --url.
const keyInURL = "{key}"

// urlQueries asks a server of HTTP, kith or another, with keys in an address.
type urlQueries struct {
	before, after, bearer string
	escape                func(key string) string
	client                *http.Client
}

// newURLQueries returns queries to the address that a template makes of a key. tls and key are those of access; without tls no key may be sent.
func newURLQueries(template string, tls *tls.Config, key string) (*urlQueries, error) {
	before, after, found := strings.Cut(template, keyInURL)
	if !found || strings.Contains(after, keyInURL) {
		return nil, usagef("--url %q: want the address of an answer, with %s once where the key is to be", template, keyInURL)
	}
	u, err := url.Parse(before + "x" + after)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("--url %q: want an address such as http://127.0.0.1:7503/v1/users/%s/recommendations", template, keyInURL)
	}
	if tls != nil && u.Scheme != "https" {
		return nil, usagef("--url %q: --api-key and --tls-... need https", template)
	}
	q := &urlQueries{before: before, after: after, escape: url.PathEscape, client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: tls, MaxIdleConnsPerHost: mostUnderWay, DisableCompression: true},
		// Another address is no answer, and may be one where a key would be sent in the clear.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if strings.Contains(before, "?") {
		q.escape = url.QueryEscape
	}
	if key != "" {
		q.bearer = "Bearer " + key
	}
	return q, nil
}

func (q *urlQueries) close() { q.client.CloseIdleConnections() }

// ask reads one answer to its end.
func (q *urlQueries) ask(ctx context.Context, key string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.before+q.escape(key)+q.after, nil)
	if err != nil {
		return err
	}
	if q.bearer != "" {
		req.Header.Set("Authorization", q.bearer)
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return nil
}
