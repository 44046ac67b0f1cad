package proxy

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// SQL and the protocol share the names of prepared statements (manual, "PREPARE"). Backends call a statement by a name of PgDrover's
// (statementName). So a text that names one is sent with that in place of the client's, and what a server says of it is told in
// the client's words.

// noName stands for a name that the client has given to no statement. No backend knows it.
const noName = "pgdrover_0"

// wording is a text that names prepared statements, as backends are told it. Its memory is used again.
type wording struct {
	text  []byte
	chars int32 // in text
	names []naming
	uses  []*prepared // what a backend has to know before
	made  []made      // what the text itself prepares
	tried bool        // it has failed, and can be sent again
	again bool        // which it shall be
}

// made is a statement that a PREPARE in a string of several makes.
type made struct {
	statement int // its index
	stmt      *prepared
}

// naming is one name in the text of a wording. Places are in characters of the text, counted from 0.
type naming struct {
	statement   int    // that it is in, of the query string
	name, said  string // on backends; the client's
	end         int32  // of the name
	shift       int32  // what is to be added to a place after it, for the place in the client's text
	args, until int32  // where the arguments of an EXECUTE begin and end; 0: it has none
	runs        bool   // it is an EXECUTE's: an error may be about the text that it runs
	inner       int32  // what is to be added to a place in that text
	stmt        *prepared
}

// translate makes w the text of q as backends are told it. It reports whether that differs from the client's.
func (s *session) translate(w *wording, q *router.Query) bool {
	*w = wording{text: w.text[:0], names: w.names[:0], uses: w.uses[:0], made: w.made[:0]}
	if !q.Names() || s.direct() {
		return false
	}
	sql, last := q.SQL(), 0
	for i := range q.Statements() {
		from, to, end, ok := q.NameAt(i)
		if !ok {
			continue
		}
		p := s.meant(w, q, i)
		if p == nil && s.holds(router.HoldPrepare) { // it may have been prepared unseen, by that name
			continue
		}
		w.add(sql[last:from])
		n := naming{statement: i, name: noName, said: named(&q.Statements()[i])}
		if p != nil {
			n.name, n.inner, n.stmt = s.sharedName(p).name, p.shift(), p
			n.runs = q.Statements()[i].Runs != "" && q.Statements()[i].Verb != router.Unknown
		}
		w.add([]byte(n.name))
		n.end = w.chars
		n.shift = int32(utf8.RuneCount(sql[:to])) - w.chars
		if at := bytes.IndexByte(sql[to:end], '('); at >= 0 {
			n.args, n.until = n.end+int32(utf8.RuneCount(sql[to:to+at])), n.end+int32(utf8.RuneCount(sql[to:end]))
		}
		w.names = append(w.names, n)
		last = to
	}
	w.add(sql[last:])
	return len(w.names) > 0
}

// wordsOf is the query string in hand as backends are told it, nil if that is what the client says.
func (s *session) wordsOf(q *router.Query) *wording {
	if !s.translate(&s.words, q) {
		return nil
	}
	return &s.words
}

func (w *wording) add(b []byte) {
	w.text = append(w.text, b...)
	w.chars += int32(utf8.RuneCount(b))
}

// named is the prepared statement that st names.
func named(st *router.Statement) string {
	if st.Runs != "" {
		return st.Runs
	}
	return st.Name
}

// meant is the statement that the i-th of q names, nil if there is none of that name, when those before it have been carried out.
func (s *session) meant(w *wording, q *router.Query, i int) *prepared {
	sts := q.Statements()
	st, name := &sts[i], named(&sts[i])
	p := s.statements[name]
	for j := range i {
		switch before := &sts[j]; {
		case before.Verb == router.Deallocate && (before.Name == "" || before.Name == name):
			p = nil
		case before.Verb == router.Prepare && before.Name == name && p == nil:
			p = w.madeBy(j)
		}
	}
	switch {
	case p != nil && isOwn(p.query.Statements()[0].Name): // PgDrover's own settings are set by no backend
		return nil
	case p == nil && st.Verb == router.Prepare:
		p = s.fromSQL(q, i)
		p.shared = s.db.names.take(s.meaningAlone(), p.text, p.key())
		w.made = append(w.made, made{i, p})
	case p != nil && !slices.Contains(w.uses, p) && !slices.ContainsFunc(w.made, func(m made) bool { return m.stmt == p }):
		w.uses = append(w.uses, p)
	}
	return p
}

// madeBy is the statement that the PREPARE of an index makes, nil if it makes none.
func (w *wording) madeBy(statement int) *prepared {
	for _, m := range w.made {
		if m.statement == statement {
			return m.stmt
		}
	}
	return nil
}

// takeMade is madeBy once: the statement is made, and no business of the text any more.
func (w *wording) takeMade(statement int) *prepared {
	for i, m := range w.made {
		if m.statement == statement {
			w.made[i].stmt = nil
			return m.stmt
		}
	}
	return nil
}

// sharedName is what backends call a statement that has a name.
func (s *session) sharedName(p *prepared) *statementName {
	s.refit(p)
	if p.shared == nil {
		p.shared = s.db.names.take(s.meaning(), p.wire(), p.key())
	}
	return p.shared
}

// refit brings the text of a statement that names others up to date: they may have been prepared anew.
func (s *session) refit(p *prepared) {
	if !p.names || p.fitting {
		return
	}
	if p.words == nil {
		p.words = &wording{}
	}
	if len(p.words.text) > 0 && p.query.Statements()[0].Verb == router.Prepare { // it has not been executed
		return
	}
	p.fitting = true
	before := string(p.words.text)
	s.translate(p.words, &p.query)
	p.fitting = false
	for _, m := range p.words.made { // its name is what matters: the statement is made when it is executed
		s.releaseName(m.stmt)
	}
	if before == string(p.words.text) {
		return
	}
	p.serial = s.srv.serials.Add(1)
	s.releaseName(p)
	if p.name != "" {
		p.shared = s.db.names.take(s.meaning(), p.wire(), p.key())
	}
}

// reword puts an error about the text into the client's words; at is the index of the statement that it is about.
func (w *wording) reword(e *pgwire.Error, at int) {
	shift := int32(0)
	for i := range w.names {
		n := &w.names[i]
		e.Message = strings.ReplaceAll(e.Message, `"`+n.name+`"`, `"`+n.said+`"`)
		if n.stmt != nil && n.stmt.names {
			for _, deeper := range n.stmt.words.names {
				e.Message = strings.ReplaceAll(e.Message, `"`+deeper.name+`"`, `"`+deeper.said+`"`)
			}
		}
		if n.runs && n.statement == at && e.Position > 0 && (n.args == 0 || e.Position <= n.args || e.Position > n.until) {
			e.Position += n.inner
			return
		}
		if e.Position > n.end {
			shift = n.shift
		}
	}
	if e.Position > 0 {
		e.Position += shift
	}
}

// inClientsWords is an error or a notice with the client's words in place of the backend's; nil if they are the same.
func inClientsWords(r *reply, frame []byte) []byte {
	if r.words == nil && (r.name == nil || r.of == nil) {
		return nil
	}
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		return nil
	}
	before := *e
	if r.name != nil && r.of != nil {
		e.Message = strings.ReplaceAll(e.Message, `"`+r.name.name+`"`, `"`+r.of.name+`"`)
	}
	if r.words != nil {
		r.words.reword(e, r.statement())
	} else if e.Position > 0 {
		e.Position += r.of.shift()
	}
	if *e == before {
		return nil
	}
	if frame[0] == pgwire.MsgNoticeResponse {
		return pgwire.AppendNotice(nil, e)
	}
	return pgwire.AppendError(nil, e)
}
