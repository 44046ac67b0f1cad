package proxy

import (
	"encoding/binary"

	"github.com/pgdrover/pgdrover/pgwire"
)

// plainAnswer takes the answer to a plain Query, or to a batch of plain statements, in one piece, where all of b is that answer and nothing else
// is outstanding on the link. It does what frame does for its messages one by one. It reports false if they have to be looked at.
func (s *session) plainAnswer(l *link, b []byte) bool {
	list := l.replies.all()
	if l.rest > 0 || s.ear != nil || !answeredBy(list, b) {
		return false
	}
	s.answering(l)
	l.need = 0
	for i := range list {
		r := &list[i]
		if r.of != nil {
			r.of.proven = true
		}
		if r.text != nil {
			write := r.text.Statements()[0].Write
			l.wrote = l.wrote || write && !l.isReplica()
			l.owned = l.owned || s.tx.open && l.wrote && write
		}
		if r.kind == pgwire.MsgExecute {
			s.tape.stop()
		}
		if r.gone != nil || r.made != nil && r.made.had != nil {
			s.settled(r)
		}
		*r = reply{}
	}
	l.replies.emptied()
	l.status = b[len(b)-1]
	l.copyIn, l.unsynced = false, false
	s.synced(l, l.status)
	return true
}

// readySize is the size of a ReadyForQuery.
const readySize = 6

// answeredBy reports whether b is the whole answer to all that is owed: to a plain Query, or to what ends with one Sync and runs plain statements.
// All of it is the client's then, and nothing has failed.
func answeredBy(owed []reply, b []byte) bool {
	end, last := len(b)-readySize, len(owed)-1
	if end < 0 || last < 0 || b[end] != pgwire.MsgReadyForQuery || binary.BigEndian.Uint32(b[end+1:]) != readySize-1 {
		return false
	}
	if status := b[end+5]; status != 'I' && status != 'T' {
		return false
	}
	b = b[:end]
	if last == 0 && owed[0].kind == pgwire.MsgQuery {
		return end > 0 && owed[0].answeredBy(b) == end
	}
	for i := range owed[:last] {
		size := owed[i].answeredBy(b)
		if size == 0 {
			return false
		}
		b = b[size:]
	}
	sync := &owed[last]
	return len(b) == 0 && sync.kind == pgwire.MsgSync && sync.do == forward
}

// answeredBy is the size of the answer to a message, at the head of b, if it is plain and the client's; else 0.
func (r *reply) answeredBy(b []byte) int {
	if r.do != forward {
		return 0
	}
	switch r.kind {
	case pgwire.MsgBind:
		return bare(b, pgwire.MsgBindComplete)
	case pgwire.MsgParse:
		return bare(b, pgwire.MsgParseComplete)
	case pgwire.MsgDescribe:
		if size := whole(b); size > 0 && (b[0] == pgwire.MsgRowDescription || b[0] == pgwire.MsgNoData) {
			return size
		}
	case pgwire.MsgQuery, pgwire.MsgExecute:
		if r.at == 0 && r.text != nil && r.text.Plain() {
			return plainRows(b)
		}
	}
	return 0
}

// bareSize is the size of a message that says nothing but its type.
const bareSize = 5

// bare is the size of the first message in b, if it is of a type, and says nothing else; else 0.
func bare(b []byte, typ byte) int {
	if len(b) < bareSize || b[0] != typ || binary.BigEndian.Uint32(b[1:]) != bareSize-1 {
		return 0
	}
	return bareSize
}

// whole is the size of the first message in b, 0 if not all of it is there.
func whole(b []byte) int {
	if len(b) < bareSize {
		return 0
	}
	if size := int(binary.BigEndian.Uint32(b[1:])) + 1; size >= bareSize && size <= len(b) {
		return size
	}
	return 0
}

// plainRows is the size of the answer at the head of b to a statement that did not fail: rows with their description, or neither, and the end. It is
// 0 if there is another.
func plainRows(b []byte) int {
	for at := 0; ; {
		size := whole(b[at:])
		if size == 0 {
			return 0
		}
		typ := b[at]
		at += size
		if typ == pgwire.MsgCommandComplete && b[at-1] == 0 {
			return at
		}
		if typ != pgwire.MsgDataRow && typ != pgwire.MsgRowDescription {
			return 0
		}
	}
}
