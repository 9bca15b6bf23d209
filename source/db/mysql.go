package db

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/kith-io/kith/source"
)

// mySQL is a session with MySQL or MariaDB. Its statements carry their arguments, so that all values come as text.
type mySQL struct {
	db   *sql.DB
	conn *sql.Conn
}

func mySQLConfig(address *url.URL, r *source.Remote) (*mysql.Config, error) {
	password, given, err := r.Password(address)
	if err != nil {
		return nil, err
	}
	if !given {
		password = os.Getenv("MYSQL_PWD")
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = address.User.Username(), password
	cfg.DBName = strings.TrimPrefix(address.Path, "/")
	cfg.Net, cfg.Addr = "tcp", address.Host
	if address.Port() == "" {
		cfg.Addr = net.JoinHostPort(address.Hostname(), "3306")
	}
	cfg.TLSConfig = "preferred"
	for key, values := range address.Query() {
		switch value := values[len(values)-1]; key {
		case "socket":
			cfg.Net, cfg.Addr, cfg.TLSConfig = "unix", value, "false"
		case "tls":
			cfg.TLSConfig = value
		default:
			return nil, fmt.Errorf("%w: parameter %q of the URL; want tls or socket", source.ErrOptions, key)
		}
	}
	switch cfg.TLSConfig {
	case "true":
		cfg.TLS = &tls.Config{ServerName: address.Hostname(), MinVersion: tls.VersionTLS12}
	case "false", "preferred", "skip-verify":
	default:
		return nil, fmt.Errorf("%w: tls is %q; want true, false, preferred or skip-verify", source.ErrOptions, cfg.TLSConfig)
	}
	cfg.Params = map[string]string{"time_zone": "'+00:00'"}
	cfg.InterpolateParams = true
	cfg.Logger = &mysql.NopLogger{} // what it says comes as an error, too
	return cfg, nil
}

func connectMySQL(ctx context.Context, address *url.URL, r *source.Remote) (server, error) {
	cfg, err := mySQLConfig(address, r)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrOptions, err)
	}
	m := &mySQL{db: sql.OpenDB(connector)}
	if m.conn, err = m.db.Conn(ctx); err != nil {
		return nil, errors.Join(err, m.db.Close())
	}
	if _, err := m.conn.ExecContext(ctx, "SET SESSION TRANSACTION READ ONLY"); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (*mySQL) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// from writes the comparison of tuples out: in this form, the index of the first column is used.
func (m *mySQL) from(columns []column, values []string) (condition string, args []any) {
	for i, c := range columns {
		name, place, arg := m.quote(c.name), "?", any(values[i])
		switch { // a number must be compared as one, and exactly
		case strings.HasSuffix(c.typ, "INT"):
			if n, err := strconv.ParseInt(values[i], 10, 64); err == nil {
				arg = n
			} else if n, err := strconv.ParseUint(values[i], 10, 64); err == nil {
				arg = n
			}
		case c.typ == "DECIMAL":
			place = "CAST(? AS DECIMAL(65, 30))"
		}
		if i == len(columns)-1 {
			condition += name + " >= " + place
			args = append(args, arg)
			break
		}
		condition += name + " >= " + place + " AND (" + name + " > " + place + " OR "
		args = append(args, arg, arg)
	}
	return condition + strings.Repeat(")", len(columns)-1), args
}

func (m *mySQL) query(ctx context.Context, statement string, args []any) (result, error) {
	rows, err := m.conn.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	out := &mySQLResult{rows: rows, values: make([]sql.RawBytes, len(types)), text: make([][]byte, len(types))}
	for i, t := range types {
		c := column{name: t.Name(), typ: t.DatabaseTypeName()}
		switch c.typ {
		case "DATETIME", "TIMESTAMP":
			c.kind = moment
		case "FLOAT", "DOUBLE":
			c.kind = inexact
		}
		out.cols = append(out.cols, c)
		out.into = append(out.into, &out.values[i])
	}
	return out, nil
}

func (m *mySQL) close() error { return errors.Join(m.conn.Close(), m.db.Close()) }

// mySQLResult is the rows of a statement, as they come in.
type mySQLResult struct {
	rows   *sql.Rows
	cols   []column
	values []sql.RawBytes
	into   []any
	text   [][]byte
}

func (r *mySQLResult) columns() []column { return r.cols }

func (r *mySQLResult) next() ([][]byte, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	if err := r.rows.Scan(r.into...); err != nil {
		return nil, err
	}
	for i, v := range r.values {
		r.text[i] = v
	}
	return r.text, nil
}

func (r *mySQLResult) close() error { return r.rows.Close() }
