package proxy

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// An unnamed statement that has one plan whatever its parameters are (router.Query.OnePlan) gets a name on backends, like one that a
// client prepared, so that a backend parses and plans it once for all who send its text. The client sees no difference: what a backend
// knows of it is used only where an error that a Parse of its own would not have met can be mended. See docs/design/0017.

const (
	// reuseTime is how long a backend uses such a statement before it is told it anew, unless Options say otherwise. The tables' sizes,
	// which plans are made for, and DDL past PgDrover are seen then.
	reuseTime = 5 * time.Second

	// reuseText is the longest text that is kept for all, in bytes.
	reuseText = 8 << 10

	// reviewTime is how old the catalog becomes while statements are reused by what it says.
	reviewTime = time.Minute
)

// reusedText is a text that several Parses have had, and its name on backends.
type reusedText struct {
	key          string
	name         *statementName
	age          uint64 // of the names, when it got that
	used         int64  // when it was used last, in Unix nanoseconds
	older, newer *reusedText
}

// reusedTexts are the texts in use in one database, by use.
type reusedTexts struct {
	byKey          map[string]*reusedText
	oldest, newest *reusedText
	key            []byte       // scratch
	once           [1024]uint64 // hashes of texts that have come once, lately
}

// reuseAlone keeps the names of reused texts from those of statements that clients have named: those live as long as the client likes.
const reuseAlone = 1<<64 - 1

// reuse returns the name for a text and types under settings, if it is one of the limit texts that are used most, now or before.
func (n *statementNames) reuse(settings uint64, text, oids []byte, now int64, limit int) *statementName {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := &n.reused
	r.key = append(append(binary.BigEndian.AppendUint64(r.key[:0], settings), oids...), text...)
	t := r.byKey[string(r.key)]
	if t == nil {
		if t = n.admit(now, limit); t == nil {
			return nil
		}
	}
	if age := n.age.Load(); t.name == nil || t.age != age || t.name.stale.Load() {
		n.quit(t)
		t.name, t.age = n.takeLocked(meaning{settings, reuseAlone}, text, oids), age
	}
	t.used = now
	r.moveUp(t)
	return t.name
}

// admit makes room for the text of r.key, unless it is new or others are in use. Callers hold n.mu.
func (n *statementNames) admit(now int64, limit int) *reusedText {
	r := &n.reused
	hash := maphash.Bytes(settingsSeed, r.key)
	if at := &r.once[hash%uint64(len(r.once))]; *at != hash {
		*at = hash
		return nil
	}
	if len(r.byKey) >= limit {
		old := r.oldest
		if now-old.used < int64(reuseTime) {
			return nil
		}
		r.unlink(old)
		delete(r.byKey, old.key)
		n.quit(old)
	}
	if r.byKey == nil {
		r.byKey = map[string]*reusedText{}
	}
	t := &reusedText{key: string(r.key)}
	r.byKey[t.key] = t
	r.link(t)
	return t
}

// quit ends the use of a text's name. Callers hold n.mu.
func (n *statementNames) quit(t *reusedText) {
	if t.name != nil {
		n.leaveLocked(t.name)
		t.name = nil
	}
}

func (r *reusedTexts) moveUp(t *reusedText) {
	if r.newest != t {
		r.unlink(t)
		r.link(t)
	}
}

func (r *reusedTexts) link(t *reusedText) {
	t.older, t.newer = r.newest, nil
	if r.newest != nil {
		r.newest.newer = t
	} else {
		r.oldest = t
	}
	r.newest = t
}

func (r *reusedTexts) unlink(t *reusedText) {
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		r.oldest = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		r.newest = t.older
	}
}

// reuse gives the unnamed statement p a name on backends, if that is of use and the client cannot tell.
func (s *session) reuse(p *prepared) {
	if !s.db.options().Reuse || !s.mends() || len(p.text) > reuseText || s.db.catalog.behind() {
		return
	}
	if s.reusedAt == 0 {
		s.reusedAt = time.Now().UnixNano()
	}
	names := &s.db.names
	age := names.age.Load()
	if p.reused.holds(age, s.reusedAt) {
		p.shared = p.reused.name
		return
	}
	if !p.query.OnePlan(p.oids[2:]) {
		return
	}
	p.shared = names.reuse(s.settings.sense, p.text, p.oids, s.reusedAt, max(1, s.cfg.Statements/2))
	p.reused = reusedAs{p.shared, age, s.reusedAt}
}

// reusedAs is the name that an unnamed statement had when it was last looked up, which need not be asked for again for a while.
type reusedAs struct {
	name *statementName
	age  uint64 // of the names at that time
	at   int64  // that time, in Unix nanoseconds
}

// lookupTime is how long a name is used without another look at whether it is among those that are used most.
const lookupTime = reuseTime / 5

// holds reports whether the names, being of an age, have no other for it now.
func (r *reusedAs) holds(age uint64, now int64) bool {
	return r.name != nil && r.age == age && now-r.at < int64(lookupTime) && !r.name.stale.Load()
}

// mends reports whether what is wrong with a statement that is used now could be mended, as repair.go does it: nothing of the batch is
// done, and no transaction is open. Where the session has something of its own on a backend, statements may mean something else there,
// and plans may come out otherwise.
func (s *session) mends() bool {
	t := &s.tape
	if s.tx.open || s.tx.reshaped || s.tx.local || s.batch.executes || t.used || t.stopped {
		return false
	}
	for _, l := range s.links {
		if l.hold != 0 || l.unsure || l.aside {
			return false
		}
	}
	return true
}

// settleReuse has a message that is about to be sent use an unnamed statement of the client's own where a reused one would not do any more.
func (s *session) settleReuse(p *prepared) {
	if p.name != "" || p.shared == nil || s.mends() && !(s.batch.parsed && p.shared.age.Load() != s.db.names.age.Load()) {
		return
	}
	s.releaseName(p)
}

// renewReused has a backend forget a reused statement that it was told long ago, so that it is told it anew.
func (s *session) renewReused(l *link, p *prepared) {
	if p.name != "" || p.shared == nil {
		return
	}
	s.reusedAt = s.t.Now().UnixNano()
	s.db.reviewCatalog(s.reusedAt)
	if l.notes.known.outlived(p.shared, s.t.Moment()-task.Moment(s.db.options().ReuseFor)) {
		l.notes.forget(p.shared)
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', p.shared.name), reply{kind: pgwire.MsgClose, do: skip, name: p.shared})
	}
}

// outlivedTypes reports whether an error may be due to a reused statement that took its parameters' types, or its names, from tables as
// they were. What the client's own Parse comes to is seen when it is told the backend as that.
func (s *session) outlivedTypes(r *reply, code []byte) bool {
	p := r.of
	if p == nil || p.name != "" || p.shared == nil || p.fresh || r.kind != pgwire.MsgBind && r.kind != describeStatement {
		return false
	}
	if string(code) == "42P03" { // it is about the portal's name
		return false
	}
	switch string(code[:min(2, len(code))]) {
	case "42":
		s.db.names.retire(p.shared)
	case "22":
	default:
		return false
	}
	s.releaseName(p)
	return true
}
