package pool

// queue is the line of those who wait for a node, oldest first, linked through the requests themselves.
type queue struct {
	len         int
	first, last *Request
}

// insert puts r behind everybody who has waited as long or longer, which is the end unless r waited elsewhere before.
func (q *queue) insert(r *Request) {
	after := q.last
	for after != nil && after.since > r.since {
		after = after.prev
	}
	r.prev = after
	if after == nil {
		r.next, q.first = q.first, r
	} else {
		r.next, after.next = after.next, r
	}
	if r.next == nil {
		q.last = r
	} else {
		r.next.prev = r
	}
	q.len++
}

// remove takes r, which is in the line, out of it.
func (q *queue) remove(r *Request) {
	if r.prev == nil {
		q.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		q.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	q.len--
}

// pop takes out the oldest, nil when nobody waits.
func (q *queue) pop() *Request {
	r := q.first
	if r != nil {
		q.remove(r)
	}
	return r
}
