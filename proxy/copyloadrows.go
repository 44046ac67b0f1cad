package proxy

import (
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// never is the deadline of a wait that has none.
var never time.Time

const (
	copyRound = 128 << 10 // how much of the client's data is moved until the session waits, in bytes, though more may be there
	copyTurn  = 1 << 20   // and until the other sessions of its event loop have a turn
)

// copy moves the client's data to the shards until it ends or something fails. It reports whether the session goes on.
func (ld *loader) copy() (*pgwire.Error, bool) {
	s := ld.s
	for turn := 0; ; {
		moved := 0
		for {
			n, done, e := ld.take()
			if e != nil || done {
				ld.send(true)
				return e, e != errShutdown
			}
			moved += n
			ld.send(false)
			if ld.crowded() || moved > copyRound || !s.client.Fill() || s.client.ReadErr() != nil {
				break
			}
		}
		ld.send(true)
		if e := ld.fault(); e != nil {
			return e, true
		}
		if s.cut.Load() || s.client.Flush() != nil || moved == 0 && s.client.ReadErr() != nil && !ld.crowded() {
			return errShutdown, false
		}
		s.stopOverdue()
		if turn += moved; turn > copyTurn {
			turn = 0
			s.t.Yield()
		}
		s.t.Wait(never, ld.interests()...)
		for _, o := range ld.outlets {
			if o.link.busy() && o.link.lost == nil {
				s.pump(o.link)
			}
		}
	}
}

// crowded reports whether a shard does not take its rows as fast as they come.
func (ld *loader) crowded() bool {
	for _, o := range ld.outlets {
		if o.link.conn != nil && o.link.conn.Pending() > queueLimit {
			return true
		}
	}
	return false
}

// interests are what the session waits for: the client, unless a shard is crowded, and all shards, which are read while they are
// written, so that neither side can block the other.
func (ld *loader) interests() []task.Interest {
	s, on := ld.s, ld.on[:0]
	for _, o := range ld.outlets {
		if o.link.busy() && o.link.lost == nil {
			on = append(on, o.link.interest())
		}
	}
	ld.on = append(on, task.Interest{Conn: s.client, Read: !ld.crowded(), Write: s.client.Pending() > 0})
	return ld.on
}

// interest is what a backend that is written to is waited for.
func (l *link) interest() task.Interest {
	return task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0}
}

// fault is the first error of a shard.
func (ld *loader) fault() *pgwire.Error {
	for _, o := range ld.outlets {
		if o.out.fault != nil || o.link.lost != nil || !o.link.copyIn {
			return errCopyFailed
		}
	}
	return nil
}

// errCopyFailed says that a shard has an error: which one, and of which line, is looked at when all have answered.
var errCopyFailed = &pgwire.Error{Code: "XX000", Message: "a shard has ended the COPY without an error"}

// take moves what has arrived of the client's messages, and returns how much. done reports that the client has ended the COPY.
func (ld *loader) take() (moved int, done bool, e *pgwire.Error) {
	s := ld.s
	for !ld.crowded() {
		b := s.client.Buffered()
		if s.copyRest > 0 {
			n := min(s.copyRest, len(b))
			if n == 0 {
				break
			}
			e := ld.data(b[:n])
			s.consume(n)
			s.copyRest -= n
			if moved += n; e != nil {
				return moved, false, e
			}
			continue
		}
		typ, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
		if err != nil {
			s.fatal("08P01", "invalid message length", "")
			return moved, true, errShutdown
		}
		if size == 0 || typ != pgwire.MsgCopyData && len(b) < size {
			s.client.Reserve(size)
			break
		}
		if typ == pgwire.MsgCopyData {
			s.copyRest = size - pgwire.HeaderLen
			s.consume(pgwire.HeaderLen)
			continue
		}
		done, e = ld.message(typ, b[:size])
		s.consume(size)
		if done || e != nil {
			return moved, done, e
		}
	}
	return moved, false, nil
}

// message takes a message that is no data. Flush and Sync mean nothing during COPY (manual, "COPY Operations").
func (ld *loader) message(typ byte, frame []byte) (done bool, e *pgwire.Error) {
	where := ld.where(ld.line + 1)
	switch typ {
	case pgwire.MsgFlush, pgwire.MsgSync:
		return false, nil
	case pgwire.MsgCopyDone:
		return true, ld.finish()
	case pgwire.MsgCopyFail:
		return true, &pgwire.Error{Code: "57014", Message: "COPY from stdin failed: " + pgwire.CopyFailReason(frame), Where: where}
	case pgwire.MsgTerminate:
		return true, errShutdown
	}
	unexpected := &pgwire.Error{Code: "08P01", Message: fmt.Sprintf("unexpected message type 0x%02X during COPY from stdin", typ), Where: where}
	ld.s.client.Queue(pgwire.AppendError(nil, unexpected))
	ld.s.fatal("08P01", "terminating connection because protocol synchronization was lost", "") // as a server does
	return true, errShutdown
}

// data gives the rows in b to their shards.
func (ld *loader) data(b []byte) *pgwire.Error {
	if ld.how.Every {
		for _, o := range ld.outlets {
			ld.give(o, b)
			o.link.wrote = true
		}
		return nil
	}
	for len(b) > 0 && !ld.over {
		n, what := ld.rows.next(b)
		if e := ld.piece(b[:n], what); e != nil {
			return e
		}
		b = b[n:]
	}
	if ld.over && len(b) > 0 && ld.how.Format == router.CopyBinary {
		return ld.doubt(b, nil)
	}
	return nil
}

// piece gives a piece of the row in hand to its shard, or keeps it until that is known.
func (ld *loader) piece(p []byte, what piece) *pgwire.Error {
	switch what {
	case bad:
		return ld.doubt(p, nil)
	case header:
		return ld.header(p)
	case end:
		if ld.over = true; ld.rows.alone {
			ld.held = append(ld.held[:0], p...)
			return nil
		}
	}
	if ld.now == nil {
		if what == part && !ld.rows.found || what == part && ld.rows.header {
			return ld.hold(p)
		}
		if e := ld.place(p); e != nil {
			return e
		}
	}
	ld.give(ld.now, p)
	if what != part {
		ld.endRow()
	}
	return nil
}

// place finds the shard of the row in hand, and gives it what was held of the row. p is what comes next.
func (ld *loader) place(p []byte) *pgwire.Error {
	sp := &ld.rows
	if !sp.found || sp.null || sp.unsaid {
		return ld.doubt(p, nil)
	}
	shard, err := ld.how.Shard(sp.value)
	if err != nil {
		return ld.doubt(p, err)
	}
	o := ld.byShard[shard]
	if o == nil {
		var e *pgwire.Error
		if o, e = ld.join(shard); e != nil {
			at := *e
			at.Where = ld.where(ld.began + 1)
			return &at
		}
		o.out.frames, o.out.keep = nil, false
	}
	ld.now, o.begun = o, ld.began
	o.link.wrote, o.link.owned = true, true
	if len(ld.held) > 0 {
		ld.give(o, ld.held)
		ld.held = ld.held[:0]
	}
	return nil
}

// endRow counts the row in hand, which has ended.
func (ld *loader) endRow() {
	sp, o := &ld.rows, ld.now
	mine, theirs := sp.lines(ld.line == 0), sp.lines(o.lines.own == 0)
	ld.line += mine
	o.lines.add(min(theirs, ld.line-o.lines.client), ld.line)
	ld.now, ld.began = nil, ld.line
}

// lines is how many lines a row has by a server's count, which tells the ends of those in quotes by how the first row ended.
func (sp *splitter) lines(first bool) int64 {
	if sp.eol == eolNL && !first {
		return int64(1 + sp.breaks)
	}
	return int64(1 + sp.returns)
}

// header gives the header to all shards. That of binary data is no line.
func (ld *loader) header(p []byte) *pgwire.Error {
	ld.head = append(ld.held, p...)
	ld.held = nil
	text := ld.how.Format != router.CopyBinary
	if text {
		ld.line += ld.rows.lines(true)
		ld.began = ld.line
	}
	for _, o := range ld.outlets {
		ld.give(o, ld.head)
		if text {
			o.lines.add(ld.line, ld.line)
		}
	}
	return nil
}

// hold keeps a piece of a row until it is known which shard it is for.
func (ld *loader) hold(p []byte) *pgwire.Error {
	if limit := ld.s.db.options().ScatterMemory; len(ld.held)+len(p) > limit {
		return &pgwire.Error{Code: "54000", Message: fmt.Sprintf("more than %d MB of a row come before its column %q, which says where it goes", limit>>20, ld.how.Column),
			Hint:  "Have the column before the large ones in the list of columns, or raise limits: scatter_memory of the database.",
			Where: ld.where(ld.began + 1)}
	}
	ld.held = append(ld.held, p...)
	return nil
}

// finish takes the end of the data.
func (ld *loader) finish() *pgwire.Error {
	if ld.over || ld.now != nil || len(ld.held) == 0 {
		return nil
	}
	ld.rows.finish()
	if !ld.rows.found {
		return ld.doubt(nil, nil)
	}
	return ld.place(nil)
}

// doubt gives the row in hand, which has no shard, to one that is to say what is wrong with it: nothing of it is committed. p is what
// comes next of the row. It returns what the client is told if that server takes the row.
func (ld *loader) doubt(p []byte, err error) *pgwire.Error {
	o := ld.now
	for _, other := range ld.outlets {
		if o == nil || ld.now == nil && other.lines.own > o.lines.own {
			o = other
		}
	}
	e := ld.tenantFault(err)
	if ld.now == nil {
		o.begun = ld.began
	}
	ld.give(o, ld.held)
	ld.give(o, p)
	ld.doubted = o
	return e
}
