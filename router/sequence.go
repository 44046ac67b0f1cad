package router

import (
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Where each tenant has a schema, sequences are tenants' too, and functions take their names as strings. A session that is bound to a
// tenant may give them its own, and those that are shared.

// sequence notes the name that a function of sequences is given.
func (b *binder) sequence(c *callNode, function string) {
	switch function {
	case "nextval", "currval", "setval", "pg_sequence_last_value":
	default:
		return
	}
	if !b.r.m.BySchema() || len(c.GetArgs()) == 0 {
		return
	}
	slot, ok := b.constantSlot(c.GetArgs()[0])
	if !ok {
		b.guard(function)
		return
	}
	b.facts.sequences = append(b.facts.sequences, slot)
}

// constantSlot is the slot of a literal or a parameter, seen through casts.
func (b *binder) constantSlot(n *node) (int32, bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().GetArg()
	}
	switch {
	case b.src == nil: // in a view
		return 0, false
	case n.GetParamRef() != nil:
		return b.src.slotAt(n.GetParamRef().GetLocation())
	case n.GetAConst() != nil:
		return b.src.slotAt(n.GetAConst().GetLocation())
	}
	return 0, false
}

// ownSequences reports whether the names in slots of a template are of sequences in the schema of a tenant, or in one that is shared.
func (q *Query) ownSequences(slots []int32, p Params, own shardmap.Key) bool {
	return !slices.ContainsFunc(slots, func(at int32) bool {
		return q.anyIn(at, func(s slot) bool {
			name, ok := q.nameIn(s, p)
			return !ok || name != nil && !q.ownSequence(name, own)
		})
	})
}

// anyIn reports whether f is true of what the text has in a slot of the template, in any row of a run.
func (q *Query) anyIn(at int32, f func(slot) bool) bool {
	at, run := q.locate(at)
	rows, step := int32(1), int32(0)
	if run != nil {
		rows, step = run.rows, run.perRow
	}
	for ; rows > 0; rows-- {
		if f(q.slots[at]) {
			return true
		}
		at += step
	}
	return false
}

// nameIn is the name in a slot; nil: it has no value. False: it cannot be read, as a number of the catalog cannot.
func (q *Query) nameIn(s slot, p Params) ([]byte, bool) {
	if s.kind != slotParam {
		name, ok := q.decode(s)
		return name, ok && s.kind != slotInt && s.kind != slotDecimal
	}
	i := int(s.number) - 1
	if p == nil || i >= p.Len() {
		return nil, true
	}
	name, binary, null := p.Param(i)
	if null {
		return nil, true
	}
	return name, !binary || p.OID(i) == oidText || p.OID(i) == oidVarchar
}

// ownSequence reads a name as regclass does.
func (q *Query) ownSequence(name []byte, own shardmap.Key) bool {
	parts := splitQualified(string(name))
	switch {
	case len(parts) == 1 && strings.Trim(parts[0], "0123456789") != "":
		for _, k := range q.path.tenants {
			if k != own {
				return false
			}
		}
		return true
	case len(parts) == 2:
		k, ok := q.r.m.TenantOf(parts[0])
		return !ok || k == own
	}
	return false
}

// splitQualified reads a name with its schema, as PostgreSQL's SplitIdentifierString does; nil for what that does not accept.
func splitQualified(s string) []string {
	var parts []string
	for s = strings.Trim(s, pathBlanks); s != ""; {
		var part string
		if s[0] == '"' {
			closed := false
			if part, s, closed = cutQuoted(s[1:]); !closed {
				return nil
			}
		} else {
			end := strings.IndexAny(s, pathBlanks+".")
			if end < 0 {
				end = len(s)
			}
			part, s = foldASCII(s[:end]), s[end:]
		}
		s = strings.TrimLeft(s, pathBlanks)
		if part == "" || s != "" && s[0] != '.' {
			return nil
		}
		parts = append(parts, clipName(part))
		if s != "" {
			if s = strings.TrimLeft(s[1:], pathBlanks); s == "" {
				return nil
			}
		}
	}
	return parts
}
