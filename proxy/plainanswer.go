package proxy

import (
	"encoding/binary"

	"github.com/pgdrover/pgdrover/pgwire"
)

// plainAnswer takes the answer to a plain Query in one piece, where all of b is that answer and nothing else is outstanding on the link. It does
// what frame does for its messages one by one. It reports false if they have to be looked at.
func (s *session) plainAnswer(l *link, b []byte) bool {
	if l.replies.n != 1 || l.rest > 0 || s.ear != nil {
		return false
	}
	r := l.replies.first()
	if r.kind != pgwire.MsgQuery || r.do != forward || r.at != 0 || r.text == nil || !r.text.Plain() || !isPlainAnswer(b) {
		return false
	}
	s.answering(l)
	write := r.text.Statements()[0].Write
	l.wrote = l.wrote || write && !l.isReplica()
	l.owned = l.owned || s.tx.open && l.wrote && write
	l.replies.drop()
	l.status = b[len(b)-1]
	l.copyIn, l.unsynced = false, false
	s.synced(l, l.status)
	return true
}

// readySize is the size of a ReadyForQuery.
const readySize = 6

// isPlainAnswer reports whether b is rows with their description, or neither, and the end of one statement that did not fail.
func isPlainAnswer(b []byte) bool {
	end := len(b) - readySize
	if end < 0 || b[end] != pgwire.MsgReadyForQuery || binary.BigEndian.Uint32(b[end+1:]) != readySize-1 {
		return false
	}
	if status := b[end+5]; status != 'I' && status != 'T' {
		return false
	}
	for i := 0; end-i > 5; {
		size := int(binary.BigEndian.Uint32(b[i+1:])) + 1
		if size < 5 || size > end-i {
			return false
		}
		switch b[i] {
		case pgwire.MsgDataRow, pgwire.MsgRowDescription:
			i += size
		case pgwire.MsgCommandComplete:
			return i+size == end && b[end-1] == 0
		default:
			return false
		}
	}
	return false
}
