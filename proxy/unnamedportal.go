package proxy

import "github.com/pgdrover/pgdrover/pgwire"

// Drivers send a Describe of the unnamed portal and an Execute of all its rows right behind the Bind, the same few bytes each time.
const (
	describeUnnamed = "D\x00\x00\x00\x06P\x00"
	executeUnnamed  = "E\x00\x00\x00\x09\x00\x00\x00\x00\x00"
)

// runUnnamed makes the messages behind the Bind in hand part of it, where they have arrived and run what it has just bound on l, a plain statement:
// an Execute, or a Describe and an Execute. It does in one piece what describe and execute would do.
func (s *session) runUnnamed(l *link, at *portal) {
	if at != &s.portal || !at.stmt.query.Plain() {
		return
	}
	b := s.client.Buffered()[s.cur:]
	described := 0
	if len(b) > len(describeUnnamed) && string(b[:len(describeUnnamed)]) == describeUnnamed {
		described = len(describeUnnamed)
	}
	size := described + len(executeUnnamed)
	if len(b) < size || string(b[described:size]) != executeUnnamed {
		return
	}
	s.cur += size
	s.suspect(l, &at.stmt.query)
	s.tellApart(l)
	l.conn.Queue(b[:size])
	from, to := s.record(b[:size])
	if described > 0 {
		r := l.replies.add(pgwire.MsgDescribe)
		r.from, r.to = from, min(from+int32(described), to)
		from = r.to
	}
	r := l.replies.add(pgwire.MsgExecute)
	r.text, r.from, r.to = &at.stmt.query, from, to
}
