package proxy

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// SQL and the protocol share the names of prepared statements (manual, "PREPARE"). A statement that SQL has prepared, or that
// SQL names, is known by its own name on a backend, which the session then keeps.

// expose makes the protocol's statements that q names known to a backend by their own names, before q gets there. In the simple
// protocol a Sync ends what is sent for that.
func (s *session) expose(l *link, q *router.Query, sync bool) {
	if len(s.statements) == 0 || s.tx.aborted {
		return
	}
	sts := q.Statements()
	sent := false
	for i := range sts {
		p := s.statements[sts[i].Name]
		if p == nil || p.bySQL || !p.sent && !p.own || !namesStatement(sts[i].Verb) || isOwn(p.query.Statements()[0].Name) {
			continue
		}
		l.send(pgwire.AppendParse(l.conn.QueueBuffer(), p.name, p.text, p.oids),
			reply{kind: pgwire.MsgParse, do: skip, quiet: sync, shown: p})
		l.hold |= router.HoldPrepare
		s.releaseName(p)
		p.bySQL, p.own, sent = true, false, true
	}
	if sent && sync {
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	}
}

// hide takes back what expose has noted of a statement that no backend was made to know.
func (s *session) hide(p *prepared) {
	sts := p.query.Statements()
	p.bySQL, p.own = false, len(sts) == 1 && (isOwnStatement(&sts[0]) || s.listensItself(&sts[0]))
	if p.own {
		return
	}
	if s.statements[p.name] == p && p.shared == nil {
		p.shared = s.db.names.take(s.meaning(), p.text, p.oids)
	}
}

func namesStatement(v router.Verb) bool {
	return v == router.Prepare || v == router.Execute || v == router.Deallocate
}

// preparedBySQL notes a PREPARE. What the protocol then binds is routed as an EXECUTE would be.
func (s *session) preparedBySQL(name string) {
	p := &prepared{name: strings.Clone(name), bySQL: true, oids: []byte{0, 0}}
	p.text = []byte("EXECUTE " + quoteIdent(name))
	s.analyse(&p.query, p.text)
	s.keep(p)
}

// closeBySQL takes a Close of a statement that a backend knows by the client's name.
func (s *session) closeBySQL(frame []byte, p *prepared) bool {
	l, e := s.onShard(router.Route{Kind: router.Any, Write: true})
	if e != nil {
		return s.fail(e)
	}
	l.conn.Queue(frame)
	l.replies.push(reply{kind: pgwire.MsgClose, gone: p})
	s.dropStatement(p)
	return s.relieve(l)
}
