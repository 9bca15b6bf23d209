package artifact

import "sync"

// content tells what is in a file: how many bytes there are before the checksum, and the checksum. It is never zero of a file.
type content struct{ size, sum uint64 }

// checked knows which content of files has passed the checks of its reader, so that it is not looked at again: the checksum tells that it is the same.
type checked struct {
	mu sync.Mutex
	// known is by version and name.
	known map[uint64]map[string]content
}

// of returns the content of a file that has been checked, or none.
func (c *checked) of(version uint64, name string) content {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[version][name]
}

func (c *checked) add(version uint64, name string, is content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[uint64]map[string]content{}
	}
	if c.known[version] == nil {
		c.known[version] = map[string]content{}
	}
	c.known[version][name] = is
}

func (c *checked) drop(version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, version)
}
