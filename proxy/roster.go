package proxy

// roster are sessions. The zero value is ready and has none; who uses it guards it, with the seats of its sessions.
type roster struct {
	newest *session
	count  int
}

// seat is the place of a session in a roster: between whom came before and after.
type seat struct {
	older, newer *session
	taken        bool
}

func (r *roster) add(s *session) {
	s.seat = seat{older: r.newest, taken: true}
	if r.newest != nil {
		r.newest.seat.newer = s
	}
	r.newest = s
	r.count++
}

// remove takes out a session, if it is there.
func (r *roster) remove(s *session) {
	if !s.seat.taken {
		return
	}
	older, newer := s.seat.older, s.seat.newer
	if older != nil {
		older.seat.newer = newer
	}
	if newer != nil {
		newer.seat.older = older
	} else {
		r.newest = older
	}
	s.seat = seat{}
	r.count--
}

// list is a slice of all, the newest first.
func (r *roster) list() []*session {
	all := make([]*session, 0, r.count)
	for s := r.newest; s != nil; s = s.seat.older {
		all = append(all, s)
	}
	return all
}
