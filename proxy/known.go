package proxy

import (
	"slices"

	"github.com/pgdrover/pgdrover/internal/task"
)

// statementSet are the statements that a backend knows, the least recently used first.
type statementSet struct {
	order []knownStatement
	old   []*statementName // scratch
}

// knownStatement is a statement that a backend knows, and when it was told.
type knownStatement struct {
	name *statementName
	told task.Moment // of one that is reused
}

// has reports whether the backend knows a statement.
func (k *statementSet) has(s *statementName) bool {
	return slices.ContainsFunc(k.order, func(o knownStatement) bool { return o.name == s })
}

// outlived reports whether the backend knows a statement, and was told it before a time.
func (k *statementSet) outlived(s *statementName, before task.Moment) bool {
	return slices.ContainsFunc(k.order, func(o knownStatement) bool { return o.name == s && o.told < before })
}

// use reports whether the backend knows a statement, and makes it the most recently used.
func (k *statementSet) use(s *statementName) bool {
	last := len(k.order) - 1
	if last >= 0 && k.order[last].name == s {
		return true
	}
	for i := last - 1; i >= 0; i-- {
		if known := k.order[i]; known.name == s {
			copy(k.order[i:], k.order[i+1:])
			k.order[last] = known
			return true
		}
	}
	return false
}

// add notes a statement and returns those to forget, if there are more than limit. They are valid until the next call.
func (k *statementSet) add(s knownStatement, limit int) []*statementName {
	k.order = append(k.order, s)
	k.old = k.old[:0]
	if n := len(k.order) - limit; n > 0 {
		for _, o := range k.order[:n] {
			k.old = append(k.old, o.name)
		}
		k.order = slices.Delete(k.order, 0, n)
	}
	return k.old
}

// restore notes that a statement is on the backend after all, as the least recently used.
func (k *statementSet) restore(s *statementName) {
	k.order = slices.Insert(k.order, 0, knownStatement{name: s})
}

// forget notes that a statement is not on the backend after all; nil is the unnamed one.
func (n *notes) forget(name *statementName) {
	if name == nil {
		n.unnamed = 0
		return
	}
	n.known.order = slices.DeleteFunc(n.known.order, func(s knownStatement) bool { return s.name == name })
}

// forgetAll notes that the backend may have lost all of its statements.
func (n *notes) forgetAll() { n.known.order, n.unnamed = nil, 0 }
