package synthetic

// queue holds the open sessions, the one with the earliest next event on top;
// of two at the same second that with the lower number.
type queue struct {
	open []*session
	free []*session
}

// take returns a session to fill.
func (q *queue) take() *session {
	if n := len(q.free); n > 0 {
		s := q.free[n-1]
		q.free = q.free[:n-1]
		return s
	}
	return &session{}
}

func (s *session) due() int64 { return s.actions[s.next].time }

func (s *session) before(t *session) bool {
	if a, b := s.due(), t.due(); a != b {
		return a < b
	}
	return s.number < t.number
}

// push adds a session that has an event to come.
func (q *queue) push(s *session) {
	q.open = append(q.open, s)
	i := len(q.open) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s.before(q.open[up]) {
			break
		}
		q.open[i] = q.open[up]
		i = up
	}
	q.open[i] = s
}

// advance moves on the session on top, whose next event has been written.
func (q *queue) advance() {
	s := q.open[0]
	if s.next++; s.next == len(s.actions) {
		q.free = append(q.free, s)
		last := len(q.open) - 1
		s, q.open[last] = q.open[last], nil
		if q.open = q.open[:last]; last == 0 {
			return
		}
	}
	i, n := 0, len(q.open)
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && q.open[down+1].before(q.open[down]) {
			down++
		}
		if !q.open[down].before(s) {
			break
		}
		q.open[i] = q.open[down]
		i = down
	}
	q.open[i] = s
}
