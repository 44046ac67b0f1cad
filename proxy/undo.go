package proxy

import (
	"slices"

	"github.com/pgdrover/pgdrover/pgwire"
)

// discardReplies drops what will not be answered after an error of a backend, everything up to the next Sync, and takes back what
// the session noted when it sent that.
func (s *session) discardReplies(l *link, code string) {
	var dropped []reply
	for f := l.replies.first(); f != nil && f.kind != pgwire.MsgSync; f = l.replies.first() {
		dropped = append(dropped, l.replies.pop())
	}
	for i, r := range slices.Backward(dropped) {
		if i > 0 {
			s.undo(l, r)
		}
	}
	if len(dropped) > 0 { // else it is the Sync that failed: the commit
		s.undoFailed(l, dropped[0], code)
	}
	l.resetsTo = noSettings
	if l.sink == nil {
		s.skipping = true
	}
}

// undo takes back what was noted when a message was sent that the server discards.
func (s *session) undo(l *link, r reply) {
	l.unnote(&r)
	if r.do == skip {
		return
	}
	if r.made != nil {
		s.dropPortal(r.made)
	}
	if r.stmt != nil {
		s.forgetStatement(r.stmt)
	}
	if r.gone != nil {
		s.keep(r.gone)
	}
}

// unnote takes back what was noted of the backend when a message was sent that the server discards.
func (l *link) unnote(r *reply) {
	switch {
	case r.kind == pgwire.MsgParse || r.prepares():
		l.notes.forget(r.name)
	case r.kind == pgwire.MsgClose && r.name != nil:
		l.notes.known.restore(r.name)
	}
}

// undoFailed takes back what was noted when the message was sent that failed. Some codes say that a backend knows other statements
// than the notes say: something that was not seen has changed them.
func (s *session) undoFailed(l *link, r reply, code string) {
	switch {
	case r.kind == pgwire.MsgParse || r.prepares():
		l.notes.forget(r.name)
		l.notes.doubtful = l.notes.doubtful || code == "42P05"
	case r.name == nil:
	case code == "26000":
		l.notes.forgetAll()
		l.notes.doubtful = true
	case code == "0A000": // what its text stands for has changed since it was first prepared
		s.db.names.retire(r.name)
	}
	if r.do != skip && r.stmt != nil {
		s.forgetStatement(r.stmt)
	}
	if r.gone != nil && r.gone.name != "" {
		s.keep(r.gone)
	}
	if r.made != nil {
		s.dropPortal(r.made)
	}
}

// prepares reports whether a reply is to a PREPARE of the session's own.
func (r *reply) prepares() bool { return r.kind == pgwire.MsgExecute && r.do == skip && r.name != nil }

// settled ends for good what a message ended that was carried out.
func (s *session) settled(r *reply) {
	if r.gone != nil {
		s.releaseName(r.gone)
		r.gone = nil
	}
	if r.made != nil {
		r.made.had = nil
	}
}
