package store

// Count returns the number of events of an item; 0 if it is unknown. Cost: none for the most popular items, else a
// lookup.
func (s *Store) Count(item string) (uint64, error) {
	d, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer s.release(d)
	d.mu.Lock()
	n, known := d.top.count(item)
	d.mu.Unlock()
	if known {
		return n, nil
	}
	return d.count(append([]byte{'c'}, item...))
}
