package db

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/kith-io/kith/source"
)

// pageRows is how many rows are asked for at once: enough that the cost of a statement does not matter, and few enough that a slow reader
// does not hold one open for long.
const pageRows = 10_000

// config is what is read.
type config struct {
	table, query string
	cursor       []string
	pageRows     int
	after        position
}

// newConfig checks what the mapping says.
func newConfig(r *source.Remote) (config, error) {
	c := config{table: r.Table, query: strings.TrimRight(strings.TrimSpace(r.Query), ";"), cursor: r.Cursor, pageRows: pageRows}
	if err := r.CheckGiven("a database", "table", "query", "cursor", "password_env"); err != nil {
		return c, err
	}
	switch {
	case c.table == "" && c.query == "":
		return c, fmt.Errorf("%w: neither table nor query; say what to read", source.ErrOptions)
	case c.table != "" && c.query != "":
		return c, fmt.Errorf("%w: table and query exclude each other; give one", source.ErrOptions)
	}
	if slices.Contains(strings.Split(c.table, "."), "") && c.table != "" {
		return c, fmt.Errorf("%w: table %q; want a name, or schema.name", source.ErrOptions, c.table)
	}
	for i, name := range c.cursor {
		if name == "" || slices.Contains(c.cursor[:i], name) {
			return c, fmt.Errorf("%w: cursor %q; want one or several columns, each once", source.ErrOptions, c.cursor)
		}
	}
	if r.After == "" {
		return c, nil
	}
	if len(c.cursor) == 0 {
		return c, fmt.Errorf("%w: reading cannot go on after a position without a cursor", source.ErrOptions)
	}
	var err error
	if c.after, err = parsePosition(r.After); err != nil {
		return c, err
	}
	if len(c.after.At) != len(c.cursor) {
		return c, fmt.Errorf("%w: the position has %d values, the cursor %d columns; it is of another cursor: begin without it",
			source.ErrOptions, len(c.after.At), len(c.cursor))
	}
	return c, nil
}

// Openers returns the openers of this package by scheme.
func Openers() map[string]source.Opener {
	return map[string]source.Opener{"postgres": OpenPostgres, "postgresql": OpenPostgres, "mysql": OpenMySQL, "mariadb": OpenMySQL}
}

// OpenPostgres opens postgres://user@host:port/database. Parameters of the URL are those of libpq, such as sslmode; so are the environment
// variables, PGPASSWORD and PGPASSFILE among them. Context ctx bounds the reading.
func OpenPostgres(ctx context.Context, address *url.URL, o source.Options) (source.Rows, error) {
	return openWith(ctx, address, &o.Remote, connectPostgres)
}

// OpenMySQL opens mysql://user@host:port/database. Parameters of the URL are tls (true, false, preferred, skip-verify) and socket, the path of
// a Unix socket. MYSQL_PWD may have the password. Context ctx bounds the reading.
func OpenMySQL(ctx context.Context, address *url.URL, o source.Options) (source.Rows, error) {
	return openWith(ctx, address, &o.Remote, connectMySQL)
}

func openWith(ctx context.Context, address *url.URL, r *source.Remote, connect func(context.Context, *url.URL, *source.Remote) (server, error)) (source.Rows, error) {
	cfg, err := newConfig(r)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, address, r)
	if err != nil {
		return nil, err
	}
	return openRows(ctx, s, cfg)
}
