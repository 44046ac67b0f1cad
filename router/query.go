package router

import (
	"bytes"
	"unsafe"
)

// slotKind says how a literal is written.
type slotKind uint8

const (
	slotInt     slotKind = iota + 1 // 42, 0x2A, 4_2
	slotDecimal                     // 4.2, 4e2
	slotString                      // 'text', also $tag$text$tag$ (see slotDollar)
	slotEscape                      // E'text', and 'text' where backslashes escape
	slotUnicode                     // U&'text'
	slotDollar                      // $tag$text$tag$
	slotBit                         // B'01'
	slotHex                         // X'1F'
	slotParam                       // $1
)

// slot is a literal or parameter of a query's text.
type slot struct {
	off, end int32
	number   int32 // of a parameter, from 1
	kind     slotKind
}

// run is a list of VALUES rows of one shape, of which the template holds the
// first only.
type run struct {
	slot    int32 // the first slot of the first row, in the template's count
	perRow  int32
	rows    int32
	off     int32 // text from the end of the first row to the end of the last
	end     int32
	dropped int32 // slots that this and all earlier runs took out
}

// span is a range of a query's text.
type span struct{ off, end int32 }

// piece is one statement of a query string.
type piece struct {
	span           // its own text
	norm     span  // its part of the template
	slot     int32 // its first slot, in the text's count
	verbatim bool  // the template holds the text as it is
	bad      bool  // the lexer could not read it
	deep     bool  // nested deeper than the parser is trusted with
}

// Query is one analysed query string: a Template, which is shared, and the
// literals of this text. The zero Query is ready for Analyse, and a Query is
// reused by the next Analyse. It is not safe for concurrent use.
type Query struct {
	r      *Router
	tpl    *Template
	text   []byte
	plain  bool   // backslashes escape in '...'
	habit  *habit // nil: none yet
	user   string // whom "$user" in the path stood for
	slots  []slot
	pieces []piece
	runs   []run
	norm   []byte
	hint   hint

	gathering *Gathering // of the last Route that was Scatter or Several
	splitting *Splitting // of the last Route that was ByRow
	turns     []Turn     // of the last Route that was InTurn

	scratch []byte // decoded literals; valid until the next Route
	path    searchPath
	args    Arguments // of the EXECUTE that is being placed
}

func (q *Query) reset(r *Router, text []byte, plain bool) {
	q.r, q.tpl, q.text, q.plain = r, nil, text, plain
	q.norm, q.slots, q.runs, q.pieces = q.norm[:0], q.slots[:0], q.runs[:0], q.pieces[:0]
	if q.hint.end != 0 {
		q.hint = hint{}
	}
}

// Forget drops the text, which may stand in memory that is somebody else's by now, and plans. What else was found in it stays.
func (q *Query) Forget() { q.text, q.gathering, q.splitting, q.turns = nil, nil, nil, nil }

// Room is how much memory q has for the next text, in bytes.
func (q *Query) Room() int {
	return cap(q.norm) + cap(q.scratch) + int(unsafe.Sizeof(slot{}))*cap(q.slots) + int(unsafe.Sizeof(run{}))*cap(q.runs) + int(unsafe.Sizeof(piece{}))*cap(q.pieces)
}

// Router returns the Router that analysed the query. Its answers are as old as
// that Router: a session with a newer one analyses again.
func (q *Query) Router() *Router { return q.r }

// Gathering says how the answer to a statement is made whose last Route was
// Scatter or Several. It is for one execution.
func (q *Query) Gathering() *Gathering { return q.gathering }

// Splitting says where the rows of a statement go whose last Route was ByRow.
// It is for one execution.
func (q *Query) Splitting() *Splitting { return q.splitting }

// Template returns what the query shares with all queries of its shape.
func (q *Query) Template() *Template { return q.tpl }

// Statements returns the statements of the query string, at least one. They
// are shared and must not be changed.
func (q *Query) Statements() []Statement { return q.tpl.statements }

// Plain reports a query string of one statement that reads or writes rows and concerns nothing else: it names no prepared statement, changes no
// setting and no catalog, and leaves nothing with its session or its backend.
func (q *Query) Plain() bool { return q.tpl.plain }

// SQL returns the whole text that was analysed.
func (q *Query) SQL() []byte { return q.text }

// Text returns the i-th statement's own text, without the semicolon.
func (q *Query) Text(i int) []byte {
	if len(q.pieces) != len(q.tpl.statements) {
		return q.text
	}
	p := q.pieces[i]
	return q.text[p.off:p.end]
}

// Configures reports whether a statement of the query string changes settings,
// by SET, RESET or set_config.
func (q *Query) Configures() bool {
	for i := range q.tpl.statements {
		if len(q.tpl.statements[i].changes) > 0 {
			return true
		}
	}
	return false
}

// Clone returns a Query that keeps a copy of the text and does not change with
// q, as a prepared statement needs it.
func (q *Query) Clone() *Query {
	c := *q
	c.text = append([]byte(nil), q.text...)
	c.norm = nil
	c.slots = append([]slot(nil), q.slots...)
	c.runs = append([]run(nil), q.runs...)
	c.pieces = append([]piece(nil), q.pieces...)
	c.scratch, c.args, c.gathering, c.splitting, c.habit = nil, Arguments{}, nil, nil, nil
	return &c
}

// Template is the analysis of all query strings of one shape. It is immutable.
type Template struct {
	norm       []byte
	searchPath string
	user       string
	statements []Statement
	plain      bool
	fixed      bool // its Route is the same whatever the literals and parameters, for every session that names no tenant
}

// Bytes returns the normalised text, which identifies the template together
// with the search path it was analysed under. It must not be changed.
func (t *Template) Bytes() []byte { return t.norm }

// SearchPath returns the setting under which the names were resolved. Where each
// tenant has a schema, tenants' schemas are not told apart in it.
func (t *Template) SearchPath() string { return t.searchPath }

// Shape is the text of the template to be read by people: literals are question
// marks.
func (t *Template) Shape() string {
	b := bytes.Map(func(r rune) rune {
		switch {
		case r >= markInt && r <= markParam:
			return '?'
		case r < ' ':
			return ' '
		}
		return r
	}, t.norm)
	return string(bytes.TrimRight(b, "; "))
}
