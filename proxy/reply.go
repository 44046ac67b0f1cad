package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// action says what becomes of a reply.
type action uint8

const (
	forward action = iota // the client's: it goes to the client
	skip                  // of a message that the session added: the client does not see it
	fake                  // the client is owed it for a message that no backend got
)

// Kinds of requests beside the message types: a Describe of a statement has one reply more than one of a portal.
const describeStatement byte = 'd'

// reply is a reply that is owed: to a message sent to a backend, or to the client for one that was not.
type reply struct {
	kind     byte // type of the message that asks for it
	do       action
	quiet    bool           // it is meant to fail, and the client does not hear of it
	aloud    bool           // it is for what the client asked for: notices are the client's
	half     bool           // Describe: the client has the description of the parameters
	check    bool           // Describe: it is there to see whether the backend knows what an EXECUTE names
	stmt     *prepared      // Parse, PREPARE: the client's statement that it makes
	gone     *prepared      // Parse, Close: the client's statement that it ends
	made     *portal        // Bind: the portal that it makes
	of       *prepared      // Parse, PREPARE, Describe, Bind: the client's statement that it is about
	name     *statementName // Parse, PREPARE, Close, Describe, Bind: the name on the backend that it is about, unless that is the client's
	words    *wording       // the text that it is about, if that is not the client's
	text     *router.Query
	set      []router.Change // settings that change when it completes, if they depend on parameters
	fake     []byte          // what the client is told instead
	at       int             // index of the next statement of text to complete
	from, to int32           // what the session's tape has of the message
}

// statement is the index of the statement of text that is being carried out.
func (r *reply) statement() int {
	if r.text == nil {
		return 0
	}
	sts, at := r.text.Statements(), r.at
	for at < len(sts)-1 && sts[at].Verb == router.Empty {
		at++
	}
	return at
}

// replies are the replies outstanding on one link, oldest first. A backend whose queue is not empty belongs to its session.
type replies struct {
	ring []reply // as many as a power of two, so that a place in it needs no division; places that are not in use are zero
	head int     // 0 when it is empty
	n    int
	open bool // messages of the extended protocol were sent that no Sync, Query or function call followed
}

// at is the i-th place from the oldest reply on.
func (q *replies) at(i int) *reply { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// add makes room for the reply to a message of a kind, for the caller to say the rest of. It is valid until the queue changes.
func (q *replies) add(kind byte) *reply {
	if kind != 0 {
		q.open = kind != pgwire.MsgSync && kind != pgwire.MsgQuery && kind != pgwire.MsgFunctionCall
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	r := q.at(q.n)
	r.kind = kind
	q.n++
	return r
}

func (q *replies) push(r reply) { *q.add(r.kind) = r }

// pushFront makes r the oldest reply.
func (q *replies) pushFront(r reply) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.ring[q.head] = r
	q.n++
}

func (q *replies) grow() {
	bigger := make([]reply, max(16, 2*len(q.ring)))
	for i := range q.n {
		bigger[i] = *q.at(i)
	}
	q.ring, q.head = bigger, 0
}

// first is the oldest reply, nil if there is none. It is valid until the queue changes.
func (q *replies) first() *reply {
	if q.n == 0 {
		return nil
	}
	return &q.ring[q.head]
}

// drop ends the oldest reply.
func (q *replies) drop() {
	at := q.head
	q.ring[at] = reply{}
	q.head = (at + 1) & (len(q.ring) - 1)
	if q.n--; q.n == 0 {
		q.head = 0
	}
}

// all are the replies outstanding, nil if the ring ends between them. They are valid until the queue changes.
func (q *replies) all() []reply {
	if end := q.head + q.n; end <= len(q.ring) {
		return q.ring[q.head:end]
	}
	return nil
}

// dropAll drops every reply that is owed.
func (q *replies) dropAll() {
	for q.n > 0 {
		q.drop()
	}
}

// emptied notes that all are dropped: their places are zero.
func (q *replies) emptied() { q.head, q.n = 0, 0 }

// pop is the oldest reply, which is not in the queue any more.
func (q *replies) pop() reply {
	r := q.ring[q.head]
	q.drop()
	return r
}

// has reports whether a message of this kind is still to be answered.
func (q *replies) has(kind byte) bool {
	for i := range q.n {
		if q.at(i).kind == kind {
			return true
		}
	}
	return false
}

// speak makes the client hear the notices that come with the replies from the i-th on, which are about its statement's text.
func (q *replies) speak(i int, p *prepared) {
	for ; i < q.n; i++ {
		if r := q.at(i); r.do == skip {
			r.aloud, r.of = true, p
		}
	}
}

// remove drops every reply of a kind that is owed.
func (q *replies) remove(kind byte) {
	for i := q.n; i > 0; i-- {
		if r := q.pop(); r.kind != kind {
			q.push(r)
		}
	}
}
