// Package dbtest starts databases for tests: real servers at a socket in a folder, which end with the test.
package dbtest

import (
	"bytes"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// Secret is the password of the URLs.
const Secret = "s3cret/@:word"

// Database is a real server.
type Database struct {
	// Name is PostgreSQL or MariaDB.
	Name string
	// URL has the password.
	URL *url.URL
	// Exec executes statements, and fails the test if they are refused.
	Exec func(t *testing.T, statements string)
}

// folder returns an empty folder of the user that a server runs as, and that user; both are those of the test unless it runs as root.
func folder(t *testing.T, account string) (string, *syscall.SysProcAttr) {
	t.Helper()
	dir := t.TempDir()
	// The server dies with the test, even if that is killed.
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return dir, attr
	}
	u, err := user.Lookup(account)
	if err != nil {
		t.Skipf("no user %s, which the server must run as: %v", account, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // the server's user must pass
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return dir, attr
}

// log collects what a server says, and closes ready when it says that it is.
type log struct {
	marker string
	ready  chan struct{}
	mu     sync.Mutex
	text   bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := strings.Contains(l.text.String(), l.marker)
	l.text.Write(p)
	if !was && strings.Contains(l.text.String(), l.marker) {
		close(l.ready)
	}
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve runs a server until the test ends, and returns when it is ready.
func serve(t *testing.T, cmd *exec.Cmd, marker string) {
	t.Helper()
	out := &log{marker: marker, ready: make(chan struct{})}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is told to end
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil { // at once: what it has is thrown away
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("the server does not end; it said:\n%s", out)
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	select {
	case <-out.ready:
	case <-ended:
		t.Fatalf("the server ended:\n%s", out)
	case <-time.After(time.Minute):
		t.Fatalf("the server is not ready after a minute:\n%s", out)
	}
}

// run runs a command to its end.
func run(t *testing.T, attr *syscall.SysProcAttr, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.SysProcAttr, cmd.Dir = attr, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// StartPostgres starts PostgreSQL at a socket in a folder of its own, or skips the test.
func StartPostgres(t *testing.T) Database {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Skip("no PostgreSQL server at /usr/lib/postgresql; install the package postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, attr := folder(t, "postgres")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Secret), 0o644); err != nil { // of a test, read by another user
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	run(t, attr, dir, filepath.Join(bin, "initdb"), "-D", data, "-U", "kith", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8",
		"--locale=C", "--no-sync")
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-F") // serve ends it
	cmd.SysProcAttr, cmd.Dir = attr, dir
	serve(t, cmd, "ready to accept connections")
	u := &url.URL{Scheme: "postgres", User: url.UserPassword("kith", Secret), Path: "/postgres", RawQuery: "host=" + url.QueryEscape(dir)}
	return Database{
		Name: "PostgreSQL", URL: u,
		Exec: func(t *testing.T, statements string) {
			t.Helper()
			conn, err := pgconn.Connect(t.Context(), u.String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), statements).ReadAll(); err != nil {
				t.Errorf("%.200s: %v", statements, err)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
}

// StartMySQL starts MariaDB at a socket in a folder of its own, or skips the test.
func StartMySQL(t *testing.T) Database {
	t.Helper()
	install, err := exec.LookPath("mariadb-install-db")
	if err != nil {
		t.Skip("no MariaDB server; install the package mariadb-server")
	}
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		if server, err = exec.LookPath("/usr/sbin/mariadbd"); err != nil {
			t.Skip("no mariadbd; install the package mariadb-server")
		}
	}
	dir, attr := folder(t, "mysql")
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "socket")
	run(t, attr, dir, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	cmd := exec.Command(server, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"), // serve ends it
		"--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=off")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	serve(t, cmd, "ready for connections")
	exec := func(t *testing.T, statements string) {
		t.Helper()
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.MultiStatements = "root", "unix", socket, true
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Errorf("%.200s: %v", statements, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	exec(t, "CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER kith@localhost IDENTIFIED BY '"+Secret+"'; GRANT ALL ON *.* TO kith@localhost")
	u := &url.URL{Scheme: "mysql", User: url.UserPassword("kith", Secret), Host: "localhost", Path: "/shop", RawQuery: "socket=" + url.QueryEscape(socket)}
	return Database{
		Name: "MariaDB", URL: u,
		Exec: func(t *testing.T, statements string) { t.Helper(); exec(t, "USE shop; "+statements) },
	}
}
