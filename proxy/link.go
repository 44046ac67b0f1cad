package proxy

import (
	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// link is a session's use of one backend, from acquire to release.
type link struct {
	req  pool.Request // the session's place in the pool's queue; reused from backend to backend
	next *link        // of a scratch's spare ones
	use
	replies   replies
	described []byte // the parameters of the statement that was last described there for the session itself
}

// use is what is known of a link from acquire to release. What a plain statement looks at stands first, and together.
type use struct {
	backend *pool.Backend
	conn    *task.Conn
	notes   *notes
	before  *settings // in force there when the transaction began
	lost    error     // what broke the connection
	rest    int       // bytes of a large frame that are still to come

	role     pool.Role
	status   byte        // of the backend's last ReadyForQuery: I, T or E
	hold     router.Hold // why the backend stays with the session after the transaction
	gained   router.Hold // of that, what the open transaction has added
	mayEnd   router.Hold // of that, what may be over: the server is to be asked
	wrote    bool        // something was written in the open transaction
	owned    bool        // some of that is this shard's alone, as rows of tenants are
	unsure   bool        // what ran there may have changed unseen what the backend keeps for the session
	copyIn   bool        // the backend waits for CopyData
	retry    bool        // nothing of the answer has reached the client: another node may answer instead
	unsynced bool        // COPY took the Sync that was sent: the client sends another
	custom   bool        // a setting of nobody's own was made there: its name stays known
	restSkip bool        // what is still to come of a large frame is not for the client
	aside    bool        // it serves a Parse or Describe only, and takes no part in the open transaction
	changed  bool        // a statement has another result there than it had where it was first prepared

	shard    int
	need     int       // size of the frame that is arriving
	mark     int       // length of the client's queue before the answer, while retry
	captured *capture  // the bytes of the answer, for the cache
	sink     *sink     // where skipped replies go, if anybody wants them
	owner    ownership // that makes its notifications known as the session's; zero: none
	resetsTo *settings // what a RESET in flight goes back to there
	room     int       // at least so many statements are kept there now
}

// notes is what the proxy knows of a backend, whoever uses it. It stays with the backend.
type notes struct {
	settings  *settings // in force there; nil: not known
	alone     uint32    // process id of the session whose all is that it has notified and that was not heard yet; 0: nobody's
	known     statementSet
	unnamed   uint64 // serial of the statement that is the backend's unnamed one
	doubtful  bool   // it may know statements that known does not have
	params    *params
	meter     *Meter
	temporary bool // sessions have had temporary tables there: it has a schema for them
}

// sink collects the replies to messages of the session's own.
type sink struct {
	frames []byte // rows and what comes with them, when keep is set
	keep   bool
	fault  *pgwire.Error // the first error
	tag    string        // of the last CommandComplete
}

// notesOf are the proxy's notes on a backend, made when it is new.
func (s *session) notesOf(b *pool.Backend) *notes {
	if n, ok := b.Proxy.(*notes); ok {
		return n
	}
	n := &notes{settings: noSettings}
	n.meter = s.srv.metrics.meter(MeterKey{s.db.Name(), b.Shard(), b.Role().String()})
	n.params = newParams(b.Params)
	s.db.logins.saw(s.ownUser(), n.params)
	b.Proxy = n
	return n
}

// send appends a message made by the session, and what becomes of its reply.
func (l *link) send(message []byte, r reply) {
	l.conn.SetQueue(message)
	if r.kind == pgwire.MsgQuery {
		l.notes.unnamed = 0 // a Query ends the unnamed statement (manual, "Extended Query")
	}
	if r.kind != 0 {
		l.replies.push(r)
	}
}

// sendQuery appends a Query of the session's own; its replies are skipped. A Query ends the backend's unnamed statement.
func (l *link) sendQuery(sql string) {
	l.notes.unnamed = 0
	l.send(pgwire.AppendQuery(l.conn.QueueBuffer(), sql), reply{kind: pgwire.MsgQuery, do: skip})
}

// ownName is what backends call the statements and portals of the session's own.
const ownName = "pgdrover"

// prepare appends a Parse of the session's own, after whatever is left of the one before.
func (l *link) prepare(sql string, oids []byte) {
	l.forgetOwn()
	l.send(pgwire.AppendParse(l.conn.QueueBuffer(), ownName, sql, oids), reply{kind: pgwire.MsgParse, do: skip, name: ownStatement})
}

// forgetOwn has the backend forget the session's own statement and portal.
func (l *link) forgetOwn() {
	l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'P', ownName), reply{kind: pgwire.MsgClose, do: skip})
	l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', ownName), reply{kind: pgwire.MsgClose, do: skip})
}

// run appends a statement without parameters, to be run by the extended protocol; r is the reply to its Execute.
func (l *link) run(sql string, r reply) {
	l.prepare(sql, nil)
	l.send(appendOwnBind(l.conn.QueueBuffer()), reply{kind: pgwire.MsgBind, do: skip})
	l.send(pgwire.AppendExecute(l.conn.QueueBuffer(), ownName, 0), r)
}

// ownStatement keeps the reply to the session's own Parse from being taken for one about the unnamed statement.
var ownStatement = &statementName{name: ownName}

// appendOwnBind binds the session's own statement to the session's own portal, without parameters.
func appendOwnBind(dst []byte) []byte {
	dst = append(dst, pgwire.MsgBind, 0, 0, 0, byte(4+2*(len(ownName)+1)+6))
	dst = append(append(dst, ownName...), 0)
	dst = append(append(dst, ownName...), 0)
	return append(dst, 0, 0, 0, 0, 0, 0)
}

// isReplica reports whether a link is to a replica.
func (l *link) isReplica() bool { return l.role == pool.Replica }

// busy reports whether replies are outstanding.
func (l *link) busy() bool { return l.replies.n > 0 }

// rests reports whether nothing is outstanding on the backend and no transaction is open there: whatever is sent next, it answers that.
func (l *link) rests() bool {
	return !l.busy() && !l.replies.open && !l.copyIn && l.status == 'I' && l.lost == nil
}

// reset makes the link ready for another backend.
func (l *link) reset() {
	l.use = use{}
	l.status, l.resetsTo = 'I', noSettings
	if l.replies.n > 0 {
		l.replies.dropAll()
	}
	l.replies.open = false
}
