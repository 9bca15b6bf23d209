package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kith-io/kith/source"
)

// goodbye is how long a server may take to end a session.
const goodbye = 5 * time.Second

// Types of PostgreSQL, by the numbers that its catalog gives them for good.
const (
	pgBool        = 16
	pgFloat4      = 700
	pgFloat8      = 701
	pgTimestamp   = 1114
	pgTimestampTZ = 1184
)

// postgres is a session with PostgreSQL. It asks for all values as text.
type postgres struct {
	ctx  context.Context // of the reading: see source.Opener
	conn *pgconn.PgConn
}

func connectPostgres(ctx context.Context, address *url.URL, r *source.Remote) (server, error) {
	password, given, err := r.Password(address)
	if err != nil {
		return nil, err
	}
	public := *address
	public.Scheme = "postgres"
	if address.User != nil {
		public.User = url.User(address.User.Username())
	}
	parameters := public.Query()
	if parameters.Has("password") {
		password, given = parameters.Get("password"), true
		parameters.Del("password")
		public.RawQuery = parameters.Encode()
	}
	cfg, err := pgconn.ParseConfig(public.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrOptions, err)
	}
	if given {
		cfg.Password = password
	}
	for key, value := range map[string]string{
		"application_name": "kith", "TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "iso_8601", "extra_float_digits": "1",
		"default_transaction_read_only": "on", "client_encoding": "UTF8",
	} {
		cfg.RuntimeParams[key] = value
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &postgres{ctx: ctx, conn: conn}, nil
}

func (*postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (p *postgres) from(columns []column, values []string) (condition string, args []any) {
	var names, places []string
	for i, c := range columns {
		names = append(names, p.quote(c.name))
		places = append(places, "$"+strconv.Itoa(i+1))
		args = append(args, values[i])
	}
	return "(" + strings.Join(names, ", ") + ") >= (" + strings.Join(places, ", ") + ")", args
}

func (p *postgres) query(ctx context.Context, statement string, args []any) (result, error) {
	var params [][]byte
	for _, a := range args {
		params = append(params, append([]byte{}, a.(string)...)) // of from; never nil, which would be NULL
	}
	res := p.conn.ExecParams(ctx, statement, params, nil, nil, nil)
	out := &postgresResult{res: res}
	for _, f := range res.FieldDescriptions() {
		c := column{name: f.Name}
		switch f.DataTypeOID {
		case pgBool:
			c.kind = truth
		case pgTimestamp, pgTimestampTZ:
			c.kind = moment
		case pgFloat4, pgFloat8:
			c.kind = inexact
		}
		out.cols = append(out.cols, c)
	}
	if len(out.cols) == 0 { // the statement was refused
		if err := out.close(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: the query yields no columns; want a select", source.ErrOptions)
	}
	return out, nil
}

func (p *postgres) close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), goodbye)
	defer cancel()
	err := p.conn.Close(ctx)
	select {
	case <-p.conn.CleanupDone():
	case <-ctx.Done():
	}
	if p.ctx.Err() != nil {
		return nil // the connection went with it
	}
	return err
}

// postgresResult is the rows of a statement, as they come in.
type postgresResult struct {
	res  *pgconn.ResultReader
	cols []column
	done bool
}

func (r *postgresResult) columns() []column { return r.cols }

func (r *postgresResult) next() ([][]byte, error) {
	if r.done {
		return nil, io.EOF
	}
	if r.res.NextRow() {
		return r.res.Values(), nil
	}
	r.done = true
	if _, err := r.res.Close(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// close reads what is left, at most a page.
func (r *postgresResult) close() error {
	if r.done {
		return nil
	}
	r.done = true
	_, err := r.res.Close()
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Position > 0 {
		return fmt.Errorf("%w (at character %d of the statement)", err, refused.Position)
	}
	return err
}
