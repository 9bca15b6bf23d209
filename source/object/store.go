package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/kith-io/kith/source"
)

const (
	// defaultEndpoint is the store that is meant if none is given.
	defaultEndpoint = "https://s3.amazonaws.com"
	// tries is how often a request, or the rest of an object, is asked for without getting a byte.
	tries = 5
	// pause is how long the first of them waits; each further one waits twice as long.
	pause = 100 * time.Millisecond
)

// store is a bucket.
type store struct {
	core      *minio.Core
	transport *http.Transport
	bucket    string
}

// object is one that was listed.
type object struct {
	key, etag string
	size      int64
}

// stamp is by what an object with a key is known again.
func (o object) stamp() string { return o.etag + "/" + strconv.FormatInt(o.size, 10) }

// newStore connects to nothing yet. The keys endpoint and region go before the environment, and the user and password of the URL before
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, these before the file of credentials; without any of them requests are not signed.
func newStore(address *url.URL, r *source.Remote) (*store, error) {
	if address.Host == "" {
		return nil, fmt.Errorf("%w: the URL names no bucket; want s3://bucket/key", source.ErrOptions)
	}
	endpoint := cmp.Or(r.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), defaultEndpoint)
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return nil, fmt.Errorf("%w: endpoint %s; want http:// or https://, a host and perhaps a port", source.ErrOptions, source.PublicName(endpoint))
	}
	o := minio.Options{
		Secure: u.Scheme == "https", MaxRetries: tries,
		Region: cmp.Or(r.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
		Creds:  credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}),
	}
	password, ok, err := r.Password(address)
	switch {
	case err != nil:
		return nil, err
	case ok && address.User.Username() == "":
		return nil, fmt.Errorf("%w: a secret without the id of its key; want s3://id@bucket/key", source.ErrOptions)
	case ok:
		o.Creds = credentials.NewStaticV4(address.User.Username(), password, "")
	case address.User != nil:
		return nil, fmt.Errorf("%w: the id of a key without its secret; name the environment variable that has it with password_env", source.ErrOptions)
	}
	if endpoint != defaultEndpoint { // others have no names for buckets in DNS, and one region
		o.BucketLookup = minio.BucketLookupPath
		o.Region = cmp.Or(o.Region, "us-east-1")
	}
	transport, err := minio.DefaultTransport(o.Secure)
	if err != nil {
		return nil, err
	}
	o.Transport = transport
	core, err := minio.NewCore(u.Host, &o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrOptions, err)
	}
	return &store{core: core, transport: transport, bucket: address.Host}, nil
}

// list returns the objects of a pattern by ascending keys.
func (s *store) list(ctx context.Context, p *pattern) ([]object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []object
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: p.prefix, Recursive: true}) {
		if info.Err != nil {
			return nil, fmt.Errorf("list the objects: %w", info.Err)
		}
		if p.match(info.Key) {
			out = append(out, object{key: info.Key, etag: strings.Trim(info.ETag, `"`), size: info.Size})
		}
	}
	slices.SortFunc(out, func(a, b object) int { return cmp.Compare(a.key, b.key) })
	return out, ctx.Err()
}

func (s *store) close() { s.transport.CloseIdleConnections() }

// body is the bytes of an object. It asks for the rest where a connection breaks.
type body struct {
	ctx   context.Context // of the reading: see source.Opener
	store *store
	object
	at     int64
	in     io.ReadCloser // nil if it must be asked for
	failed int           // tries in a row that got nothing
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for b.at < b.size {
		n, err := b.read(p)
		if n > 0 {
			b.at += int64(n)
			b.failed = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		var response minio.ErrorResponse
		if errors.As(err, &response) && response.StatusCode == http.StatusPreconditionFailed {
			return 0, errors.New("it was replaced after it was listed; read again")
		}
		b.failed++
		if ctxErr := b.ctx.Err(); ctxErr != nil || b.failed >= tries || response.StatusCode != 0 {
			return 0, fmt.Errorf("after %d of %d bytes: %w", b.at, b.size, cmp.Or(ctxErr, err))
		}
		wait := time.NewTimer(pause << (b.failed - 1))
		select {
		case <-wait.C:
		case <-b.ctx.Done():
			wait.Stop()
		}
	}
	return 0, io.EOF
}

// read reads what comes next. After an error the next call asks again.
func (b *body) read(p []byte) (int, error) {
	if b.in == nil {
		var o minio.GetObjectOptions
		if err := o.SetMatchETag(b.etag); err != nil {
			return 0, err
		}
		if b.at > 0 {
			if err := o.SetRange(b.at, 0); err != nil {
				return 0, err
			}
		}
		in, info, _, err := b.store.core.GetObject(b.ctx, b.store.bucket, b.key, o)
		if err != nil {
			return 0, err
		}
		b.in = in
		if rest := b.size - b.at; info.Size != rest {
			return 0, errors.Join(fmt.Errorf("the store offers %d bytes, want %d", info.Size, rest), b.Close())
		}
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.size-b.at)])
	if err == nil {
		return n, nil
	}
	if err == io.EOF { //nolint:errorlint // as io.Reader has it
		err = io.ErrUnexpectedEOF // there should be more
	}
	return n, errors.Join(err, b.Close())
}

// Close ends the request.
func (b *body) Close() error {
	if b.in == nil {
		return nil
	}
	err := b.in.Close()
	b.in = nil
	return err
}
