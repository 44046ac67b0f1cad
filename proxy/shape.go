package proxy

import (
	"bytes"
	"hash/maphash"

	"github.com/pgdrover/pgdrover/pgwire"
)

// PostgreSQL refuses a statement whose result has got other columns since the client prepared it (RevalidateCachedQuery). A backend that
// is told the statement after the DDL sees no change: so what it says of the result is compared with what was said first, when there
// has been DDL since.

// errResult is what PostgreSQL says of that.
var errResult = &pgwire.Error{Code: "0A000", Message: "cached plan must not change result type"}

// lookAt has a backend that was told p describe its result, if no backend has before, or if it is the first to do so for the client. The
// client does not see it.
func (l *link) lookAt(p *prepared) {
	if n := p.shared; n != nil && n != tried && (n.shape.Load() == 0 || !p.seen) {
		l.ask(n, p)
	}
}

func (l *link) ask(n *statementName, of *prepared) {
	l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'S', n.name), reply{kind: describeStatement, do: skip, name: n, of: of})
}

// see notes what a backend says of a statement's result. If it is the first thing that the client's statement meets, and others have
// met something else, it is another statement than theirs.
func (s *session) see(l *link, r *reply, frame []byte) {
	n, shape := r.name, shapeOf(frame)
	l.changed = !n.shape.CompareAndSwap(0, shape) && n.shape.Load() != shape
	p := r.of
	if p == nil {
		return
	}
	if l.changed && !p.seen && p.shared == n {
		s.outdate(l, n)
		s.rename(p)
		if p.shared != nil {
			p.shared.shape.CompareAndSwap(0, shape)
		}
	}
	p.seen = true
}

var shapeSeed = maphash.MakeSeed()

// shapeOf is a hash of the columns in a RowDescription or NoData: their names, types, sizes and modifiers. It is not 0.
func shapeOf(frame []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(shapeSeed)
	const origin, rest, format = 6, 10, 2 // bytes of a column after its name
	for b := frame[min(7, len(frame)):]; len(b) > 0; {
		end := bytes.IndexByte(b, 0)
		if end < 0 || len(b) < end+1+origin+rest+format {
			break
		}
		_, _ = h.Write(b[:end+1])
		_, _ = h.Write(b[end+1+origin : end+1+origin+rest])
		b = b[end+1+origin+rest+format:]
	}
	return h.Sum64() | 1
}

// mayDiffer reports whether a backend that does not know a statement may find another result than the client has seen.
func (s *session) mayDiffer(l *link, n *statementName) bool {
	return n != nil && n.shape.Load() != 0 && (n.stale.Load() || n.age.Load() != s.db.names.age.Load() || n.in != s.settings.sense) &&
		!s.tx.aborted && !l.notes.known.has(n)
}

// otherResult is p, or what it executes, if mayDiffer says so; else nil.
func (s *session) otherResult(l *link, p *prepared) *prepared {
	if !p.names {
		if s.mayDiffer(l, p.shared) {
			return p
		}
		return nil
	}
	s.refit(p)
	for _, used := range p.words.uses {
		if s.mayDiffer(l, used.shared) {
			return used
		}
	}
	return nil
}

// boundBefore is what a server says to a Bind before it says that the result has changed: of an EXECUTE it says so later.
func (p *prepared) boundBefore() []byte {
	if p.names {
		return bytes.Clone(bindComplete)
	}
	return nil
}

// compare tells a backend a statement and waits for what it says of the result. The error says that it has changed.
func (s *session) compare(l *link, p *prepared) *pgwire.Error {
	n, began, age := p.shared, l.replies.open, s.db.names.age.Load()
	s.know(l, p)
	l.ask(n, nil)
	l.changed = false
	if e := s.wait(l, began); e != nil {
		return e
	}
	if s.sameResult(l, n, age) {
		return nil
	}
	return errResult
}

// sameResult reports whether a backend has just described the result of a statement as the first one did. age is that of the names when
// it was asked. If not, the statement is none that it knows.
func (s *session) sameResult(l *link, n *statementName, age uint64) bool {
	if l.changed {
		s.outdate(l, n)
	} else if !n.stale.Load() {
		n.age.Store(age)
	}
	return !l.changed
}

// outdate has a backend be told a statement anew before it is used again, and those who prepare its text get another.
func (s *session) outdate(l *link, n *statementName) {
	s.db.names.retire(n)
	l.notes.forget(n)
	l.notes.doubtful = true
}

// alike is compare in the middle of a batch, where it is needed. It reports whether the message in hand goes to the backend; if not, the
// client is told why, after what a server says before that.
func (s *session) alike(l *link, p *prepared, before func() []byte) bool {
	if !s.settleBatch() || s.skipping || s.batch.link != l {
		return false
	}
	n, age := p.shared, s.db.names.age.Load()
	s.know(l, p)
	l.ask(n, nil)
	l.changed = false
	if !s.settleBatch() || s.skipping || s.batch.link != l {
		return false
	}
	if s.sameResult(l, n, age) {
		return true
	}
	s.oweOn(l, &deferred{fake: pgwire.AppendError(before(), errResult)})
	s.undoBatch(l)
	return false
}
