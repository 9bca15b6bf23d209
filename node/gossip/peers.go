package gossip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxPeers bounds the remembered addresses: a few of a large cluster suffice to
// find the rest.
const maxPeers = 64

// peer is a remembered node: how others reached it last.
type peer struct {
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

// loadPeers reads the file that savePeers wrote. A missing file is empty.
func loadPeers(path string) ([]peer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var peers []peer
	if err := json.Unmarshal(data, &peers); err != nil {
		return nil, fmt.Errorf("peers file %s: %w", path, err)
	}
	return slices.DeleteFunc(peers, func(p peer) bool { return p.ID == "" || p.Addr == "" }), nil
}

// savePeers replaces the file at path. The file is a hint, so it is not synced: what a
// crash of the machine leaves is the old file, the new one, or one that loadPeers refuses.
func savePeers(path string, peers []peer) error {
	data, err := json.MarshalIndent(peers, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(data, '\n'))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// mergePeers returns what to remember: the nodes that were seen, and of those
// remembered before the ones that did not show up since, as far as there is
// room. Sorted by id.
func mergePeers(seen, before []peer) []peer {
	byID := func(a, b peer) int { return strings.Compare(a.ID, b.ID) }
	out := slices.Clone(seen)
	slices.SortFunc(out, byID)
	out = out[:min(len(out), maxPeers)]
	for _, p := range before {
		if len(out) >= maxPeers {
			break
		}
		if !slices.ContainsFunc(out, func(q peer) bool { return q.ID == p.ID }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, byID)
	return out
}
