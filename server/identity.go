package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/kith-io/kith/durable"
)

// validID bounds what may name a node: it stands in logs, file names and answers.
var validID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// newID returns 64 random bits in hex.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// nodeID returns the id kept in dir. The first call decides it: want, or a new one.
func nodeID(dir, want string) (string, error) {
	if want != "" && !validID.MatchString(want) {
		return "", fmt.Errorf("node id %q: want 1 to 63 letters, digits, dots, underscores or hyphens", want)
	}
	path := filepath.Join(dir, "node-id")
	b, err := os.ReadFile(path)
	switch id := strings.TrimSpace(string(b)); {
	case err == nil && !validID.MatchString(id):
		return "", fmt.Errorf("%s is damaged: it holds %q; write the id of this node into it", path, id)
	case err == nil && want != "" && want != id:
		return "", fmt.Errorf("node id %q: %s belongs to node %q; use another data folder or that id", want, dir, id)
	case err == nil:
		return id, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if want == "" {
		want = "n-" + newID()
	}
	return want, durable.Replace(path, []byte(want+"\n"), folderPerm)
}

// folderPerm is the mode of small files in a data folder.
const folderPerm = 0o640

// lock makes sure that one process uses a data folder. Close the file to unlock; the system does it when the process
// dies.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s is in use by another process; stop it or name another folder: %w", dir, err), f.Close())
	}
	return f, nil
}
