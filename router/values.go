package router

import "bytes"

// values follows the rows after the word VALUES, and takes a row out of the
// template when the one before it has the same shape.
type values struct {
	expect bool // a row may begin here
	active bool // within a row
	after  bool // just after a row
	inRun  bool // the last run of the query is that of the row before
	depth  int  // of the row's parentheses

	firstNorm, firstEnd int // the row that the run stands for, in the template
	firstSlot           int // its first slot, in the text's count
	rowNorm, rowSlot    int // the row being read
	commaNorm           int // the comma before it
	rowEnd              int // text, end of the first row
}

// other notes a token that is neither a row's parenthesis nor the comma between
// rows.
func (v *values) other() { v.expect, v.after = false, false }

// open notes an opening parenthesis, before it is emitted.
func (v *values) open(n *normaliser) {
	if v.expect {
		v.active = true
		v.depth, v.rowNorm, v.rowSlot = n.depth, len(n.norm), len(n.q.slots)
	}
	v.other()
}

// comma notes a comma, before it is emitted.
func (v *values) comma(n *normaliser) {
	next := v.after && n.depth == v.depth-1
	v.other()
	if next {
		v.expect, v.commaNorm = true, len(n.norm)
	}
}

// shut notes a closing parenthesis, after it is emitted.
func (v *values) shut(n *normaliser, t token) {
	if !v.active || n.depth != v.depth {
		v.other()
		return
	}
	v.active, v.after = false, true
	row := n.norm[v.rowNorm:]
	if v.firstEnd == 0 || !bytes.Equal(row, n.norm[v.firstNorm:v.firstEnd]) {
		v.firstNorm, v.firstEnd, v.firstSlot = v.rowNorm, len(n.norm), v.rowSlot
		v.rowEnd, v.inRun = t.end, false
		return
	}
	v.collapse(n, t)
}

// collapse drops the row just read.
func (v *values) collapse(n *normaliser, t token) {
	n.norm = n.norm[:v.commaNorm]
	q := n.q
	perRow := int32(len(q.slots) - v.rowSlot)
	if !v.inRun {
		before := int32(0)
		if k := len(q.runs); k > 0 {
			before = q.runs[k-1].dropped
		}
		q.runs = append(q.runs, run{
			slot: int32(v.firstSlot) - before, perRow: perRow, rows: 1, off: int32(v.rowEnd), dropped: before,
		})
		v.inRun = true
	}
	r := &q.runs[len(q.runs)-1]
	r.rows++
	r.end = int32(t.end)
	r.dropped += perRow
}

// locate returns the text's index of the template's slot s, and the run it is
// the first row of, if any.
func (q *Query) locate(s int32) (int32, *run) {
	before := int32(0)
	for i := range q.runs {
		r := &q.runs[i]
		if s < r.slot {
			break
		}
		if s < r.slot+r.perRow {
			return s + before, r
		}
		before = r.dropped
	}
	return s + before, nil
}
