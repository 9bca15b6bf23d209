package consensus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft-wal/types"

	"github.com/kith-io/kith/durable"
)

const (
	metaMagic  = "KITHMETA"
	metaHeader = len(metaMagic) + 1 + 8 + 4
	// metaVersion is the version of the files.
	metaVersion = 1
	// metaRoom is what a file takes from the beginning, so that a term or a vote can be written on a full disk.
	metaRoom = 64 << 10
)

// metaStore keeps what a raft-wal has to remember besides its entries, and the term and the vote of raft, in the place of the
// database that raft-wal brings, which has no checksums and ends the process over damaged pages.
//
// There are two files with the same content, meta-0 and meta-1, which are written and synced one after the other, in place:
//
//	"KITHMETA" | version u8 | sequence u64 | length u32 | JSON | crc32c of all before u32
//
// A crash can spoil the file that is being written, and damage one of them: the other is right in both cases, and if both are
// good the one with the higher sequence is. When the store opens, a file that is spoiled is written again, and both are if they differ:
// of the newer one only the other could say that it is on the disk.
type metaStore struct {
	log *slog.Logger

	mu       sync.RWMutex // guards what follows
	files    [2]*os.File
	sequence uint64 // of the last write, even if it failed
	is       metaContent
}

// metaContent is the JSON of the files.
type metaContent struct {
	Log    types.PersistentState `json:"log"`
	Stable map[string][]byte     `json:"stable"`
}

var _ types.MetaStore = (*metaStore)(nil)

func metaPath(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("meta-%d", i)) }

// Load implements types.MetaStore. It is called once, and first.
func (m *metaStore) Load(dir string) (types.PersistentState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var reasons [2]error
	var sequences [2]uint64
	best := -1
	for i := range m.files {
		is, sequence, err := readMeta(metaPath(dir, i))
		sequences[i] = sequence
		if reasons[i] = err; err == nil && (best < 0 || sequence > m.sequence) {
			m.is, m.sequence, best = is, sequence, i
		}
	}
	if best < 0 {
		// Without it, raft-wal would take all segments for leftovers.
		segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
		isNew := errors.Is(reasons[0], fs.ErrNotExist) && errors.Is(reasons[1], fs.ErrNotExist) && len(segments) == 0
		if err != nil || !isNew {
			return types.PersistentState{}, fmt.Errorf("%w: %w", ErrCorrupt, errors.Join(reasons[0], reasons[1], err))
		}
	}
	for i, why := range reasons {
		file, err := os.OpenFile(metaPath(dir, i), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return types.PersistentState{}, err
		}
		m.files[i] = file
		if why != nil && best >= 0 {
			m.log.Warn("file is damaged: write it again from the other one", "file", file.Name(), "err", why)
		}
	}
	if reasons[0] != nil || reasons[1] != nil || sequences[0] != sequences[1] {
		if err := errors.Join(m.write(m.is), durable.SyncDir(dir)); err != nil {
			return types.PersistentState{}, err
		}
	}
	return m.is.Log, nil
}

// readMeta reads one file.
func readMeta(path string) (is metaContent, sequence uint64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return is, 0, err
	}
	if len(b) < metaHeader || string(b[:len(metaMagic)]) != metaMagic {
		return is, 0, fmt.Errorf("%s: %w: it does not begin as it should", path, ErrCorrupt)
	}
	length := binary.LittleEndian.Uint32(b[metaHeader-4:])
	if uint64(length) > uint64(len(b)-metaHeader) || len(b)-metaHeader-int(length) < 4 {
		return is, 0, fmt.Errorf("%s: %w: cut short", path, ErrCorrupt)
	}
	body, sum := b[:metaHeader+int(length)], b[metaHeader+int(length):]
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(sum) {
		return is, 0, fmt.Errorf("%s: %w: checksum", path, ErrCorrupt)
	}
	if v := b[len(metaMagic)]; v != metaVersion {
		return is, 0, fmt.Errorf("%s has version %d, this program reads %d", path, v, metaVersion)
	}
	if err := json.Unmarshal(body[metaHeader:], &is); err != nil {
		return is, 0, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	return is, binary.LittleEndian.Uint64(b[len(metaMagic)+1:]), nil
}

// write makes is the content, durably. After an error it may be found by the next Load all the same.
func (m *metaStore) write(is metaContent) error {
	text, err := json.Marshal(is)
	if err != nil {
		return err
	}
	m.sequence++
	b := append(make([]byte, 0, metaRoom), metaMagic...)
	b = append(b, metaVersion)
	b = binary.LittleEndian.AppendUint64(b, m.sequence)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
	for _, file := range m.files {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if info.Size() < metaRoom {
			b = append(b, make([]byte, max(0, metaRoom-len(b)))...)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	m.is = is
	return nil
}

// CommitState implements types.MetaStore.
func (m *metaStore) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(metaContent{Log: s, Stable: m.is.Stable})
}

// GetStable implements types.MetaStore.
func (m *metaStore) GetStable(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.is.Stable[string(key)], nil // nobody changes it
}

// SetStable implements types.MetaStore.
func (m *metaStore) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stable := maps.Clone(m.is.Stable)
	if stable == nil {
		stable = map[string][]byte{}
	}
	delete(stable, string(key))
	if value != nil {
		stable[string(key)] = append([]byte{}, value...)
	}
	return m.write(metaContent{Log: m.is.Log, Stable: stable})
}

// Close implements io.Closer.
func (m *metaStore) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.close()
}

func (m *metaStore) close() error {
	var errs []error
	for _, file := range m.files {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}
