// Command peer answers GET /recommend?user=KEY with a list that was computed ahead, from Redis or PostgreSQL: what a shop would run in the place of kith,
// for scripts/bench-serving.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// lists gives the list of a user as JSON, or nil.
type lists interface {
	get(ctx context.Context, user string) ([]byte, error)
}

func main() {
	addr := flag.String("listen", "127.0.0.1:0", "address to serve on")
	redis := flag.String("redis", "", "address of a Redis with a JSON text for each user")
	postgres := flag.String("postgres", "", "PostgreSQL with a table lists(user_key text primary key, items text)")
	flag.Parse()
	if err := run(*addr, *redis, *postgres); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(addr, redis, postgres string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var from lists
	switch {
	case redis != "":
		from = &redisLists{addr: redis, idle: make(chan *redisConn, 64)}
	case postgres != "":
		from = &postgresLists{dsn: postgres, idle: make(chan *pgx.Conn, 64)}
	default:
		return errors.New("name one of --redis and --postgres")
	}
	http.HandleFunc("GET /recommend", func(w http.ResponseWriter, r *http.Request) {
		list, err := from.get(r.Context(), r.URL.Query().Get("user"))
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		case list == nil:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(list) // the caller has gone
		}
	})
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// postgresLists reads a table by its primary key, over as many connections as there are requests at a time.
type postgresLists struct {
	dsn  string
	idle chan *pgx.Conn
}

func (p *postgresLists) get(ctx context.Context, user string) (list []byte, err error) {
	var c *pgx.Conn
	select {
	case c = <-p.idle:
	default:
		if c, err = pgx.Connect(ctx, p.dsn); err != nil {
			return nil, err
		}
	}
	err = c.QueryRow(ctx, "SELECT items FROM lists WHERE user_key = $1", user).Scan(&list)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	if err == nil {
		select {
		case p.idle <- c:
			return list, nil
		default:
		}
	}
	return list, errors.Join(err, c.Close(ctx))
}

// redisLists asks a Redis over as many connections as there are requests at a time. The protocol is written out: a client library would cost more.
type redisLists struct {
	addr string
	idle chan *redisConn
}

type redisConn struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

func (r *redisLists) get(_ context.Context, user string) ([]byte, error) {
	var c *redisConn
	select {
	case c = <-r.idle:
	default:
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			return nil, err
		}
		c = &redisConn{Conn: conn, in: bufio.NewReader(conn)}
	}
	value, err := c.ask(user)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	select {
	case r.idle <- c:
		return value, nil
	default:
		return value, c.Close()
	}
}

// ask sends GET and reads the answer: $length, a line, and that many bytes.
func (c *redisConn) ask(key string) ([]byte, error) {
	c.out = fmt.Appendf(c.out[:0], "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
	if _, err := c.Write(c.out); err != nil {
		return nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(line[1:max(1, len(line)-2)]))
	if line[0] != '$' || err != nil {
		return nil, fmt.Errorf("answer %q of Redis", line)
	}
	if n < 0 {
		return nil, nil
	}
	value := make([]byte, n+2)
	if _, err := io.ReadFull(c.in, value); err != nil {
		return nil, err
	}
	return value[:n], nil
}
