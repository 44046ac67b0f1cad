package proxy

import (
	"slices"

	"github.com/pgdrover/pgdrover/pgwire"
)

// batch is what the client sent of the extended protocol since its last Sync.
type batch struct {
	open     bool
	parsed   bool  // an unnamed statement was prepared in it
	executes bool  // its backend has an Execute of it
	link     *link // the backend it runs on, once that is known
	deferred []deferred
	text     int // size of the statements that are deferred, in bytes
	ahead    int // what PgDrover has answered of it before its backend does, if nothing else waits to be written to the client, in bytes
}

// batchLimit is how many messages of a batch may wait for its backend, or for their replies, until the client is given what it is
// owed so far, as PostgreSQL does when its output buffer is full.
const batchLimit = 1024

// deferredText is how much text several statements may have that wait for their backend, in bytes.
const deferredText = 512 << 10

// deferred is a message, or an owed reply, that waits for the batch's backend.
type deferred struct {
	kind byte // MsgParse, describeStatement; 0: fake
	stmt *prepared
	gone *prepared // the client's statement that it ends
	made *portal   // the portal that it makes
	fake []byte
}

// settled empties the list of what was deferred, whose memory is used again.
func (b *batch) settled() {
	if len(b.deferred) > 0 {
		clear(b.deferred)
		b.deferred, b.text = b.deferred[:0], 0
	}
}

// isLong reports whether more of a batch is outstanding than may be.
func (b *batch) isLong() bool {
	return len(b.deferred) >= batchLimit || len(b.deferred) > 1 && b.text > deferredText || b.link != nil && b.link.replies.n >= batchLimit
}

// unsent reports whether messages of the client's wait for the batch's backend.
func (s *session) unsent() bool {
	return slices.ContainsFunc(s.batch.deferred, func(d deferred) bool { return d.kind != 0 })
}

// batchEnd forgets the batch; portals end with their transaction.
func (s *session) batchEnd() {
	if l := s.batch.link; l != nil {
		if l.captured != nil {
			s.store(l, &s.cached)
		}
	}
	s.skipping = false
	if !s.tx.open {
		s.endPortals()
	}
	s.forgetBatch()
}

// forgetBatch makes ready for the next batch.
func (s *session) forgetBatch() {
	s.batch.settled()
	s.batch = batch{deferred: s.batch.deferred}
	if s.bound.Holds() {
		s.bound = pgwire.Bind{}
	}
	s.tape.rewind()
	s.freeSpaces()
}

// closeBatch ends a batch that a Query follows without a Sync. If that has failed, s.skipping is set, and the Query is discarded too.
func (s *session) closeBatch() bool { return !s.batch.open || s.closeOpenBatch() }

func (s *session) closeOpenBatch() bool {
	if !s.startBatch() {
		return false
	}
	if l := s.batch.link; l != nil && l.busy() {
		l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
		if !s.finish(l) {
			return false
		}
	}
	if !s.skipping {
		if s.tx.ofBatch {
			s.commitBatch()
		}
		s.forgetBatch()
	}
	return true
}
