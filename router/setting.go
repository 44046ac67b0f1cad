package router

import (
	"slices"
	"strings"
)

// setting is a Change, or a call of set_config whose arguments are known at
// execution.
type setting struct {
	change      Change
	call        bool
	name, value constRef
	local       constRef // unless change.Local is decided
	isLocal     bool     // local is to be read
}

// ownPrefix begins the names of PgDrover's own settings.
const ownPrefix = "pgdrover."

func isOwnSetting(name string) bool { return strings.HasPrefix(name, ownPrefix) }

// SettingTenant is the setting that names a session's tenant, SettingScatter
// the one that asks for scatter.
const (
	SettingTenant  = ownPrefix + "tenant"
	SettingScatter = ownPrefix + "scatter"
)

// DiscardAll is the name that DISCARD ALL has among the changes: unlike
// RESET ALL it also goes back to the role and the login.
const DiscardAll = "discard"

// set analyses SET and RESET.
func (c *compiler) set(x *setNode, src *source) Statement {
	st := Statement{Verb: Set, Name: strings.ToLower(x.GetName()), place: placement{control: true}}
	change := Change{Name: st.Name, Local: x.GetIsLocal()}
	switch x.GetKind() {
	case varValue:
		change.SQL, change.Value = setSQL(st.Name, x.GetArgs(), src.text)
	case varDefault:
		change.Reset, change.SQL = true, "RESET "+settingName(st.Name)
	case varReset:
		st.Verb = Reset
		change.Reset, change.SQL = true, "RESET "+settingName(st.Name)
	case varResetAll:
		st.Verb, st.Name = Reset, "all"
		change = Change{SQL: "RESET ALL", Reset: true, All: true}
	case varMulti:
		st.multi(x)
		return st
	}
	st.changes = []setting{{change: change}}
	st.place.local = isOwnSetting(st.Name)
	if st.Name == "role" || st.Name == "session_authorization" {
		st.place.forbidden = "a change of role may leave the tenant's policies"
	}
	return st
}

// multi analyses SET TRANSACTION and SET SESSION CHARACTERISTICS.
func (st *Statement) multi(x *setNode) {
	name := strings.ToLower(x.GetName())
	switch name {
	case "transaction", "session characteristics":
	default: // TRANSACTION SNAPSHOT
		st.Name = "transaction snapshot"
		return
	}
	prefix, local := "", true
	if name == "session characteristics" {
		prefix, local = "default_", false
	} else {
		st.modes(x.GetArgs())
	}
	st.Name = name
	for _, n := range x.GetArgs() {
		d := n.GetDefElem()
		value, _, _ := constText(d.GetArg().GetAConst())
		if d.GetDefname() != "transaction_isolation" {
			value = onOff(value == "1")
		}
		own := prefix + d.GetDefname()
		st.changes = append(st.changes, setting{change: Change{
			Name: own, Value: value, Local: local, SQL: "SET " + own + " TO " + quoteString(value),
		}})
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// listSettings are the settings that are lists of names, each quoted by itself.
var listSettings = []string{
	"search_path", "temp_tablespaces", "session_preload_libraries", "shared_preload_libraries",
	"local_preload_libraries", "unix_socket_directories",
}

// setSQL writes SET without LOCAL, and the value as SHOW would print it. What is
// not made of constants is replayed in the client's words.
func setSQL(name string, args []*node, text string) (sql, value string) {
	var literals, values []string
	for _, n := range args {
		v, quoted, ok := constText(n.GetAConst())
		if !ok {
			return "SET " + withoutScope(text), ""
		}
		literal := v
		if quoted {
			literal = quoteString(v)
		}
		if slices.Contains(listSettings, name) {
			v = quoteName(v)
		}
		literals, values = append(literals, literal), append(values, v)
	}
	return "SET " + settingName(name) + " TO " + strings.Join(literals, ", "), strings.Join(values, ", ")
}

// withoutScope returns what follows SET, SET LOCAL or SET SESSION.
func withoutScope(text string) string {
	l := lexer{src: []byte(text)}
	l.next()
	t := l.next()
	if w := lowerWord([]byte(text[t.off:t.end])); w == "local" || w == "session" {
		t = l.next()
	}
	return text[t.off:]
}

// settingName writes the name of a setting, with its parts quoted where they
// must be.
func settingName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = quoteName(p)
	}
	return strings.Join(parts, ".")
}

// quoteName writes an identifier, quoted unless it is plainly one.
func quoteName(s string) string {
	plain := s != ""
	for i := range len(s) {
		c := s[i]
		plain = plain && (c >= 'a' && c <= 'z' || c == '_' || i > 0 && isDigit(c))
	}
	if plain && !reserved[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// reserved are the keywords that settings and schemas are likely to be called.
var reserved = map[string]bool{
	"all": true, "user": true, "table": true, "default": true, "order": true, "group": true, "select": true, "to": true,
	"from": true, "where": true, "end": true, "do": true, "local": true, "session": true, "both": true, "check": true,
}

// quoteString writes a string that reads the same whatever
// standard_conforming_strings says.
func quoteString(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}

// setConfig finds the calls of set_config that a SELECT makes exactly once.
func (c *compiler) setConfig(q *selectNode, src *source) []setting {
	if q.GetOp() != setNone || len(q.GetFromClause()) > 0 || q.GetWhereClause() != nil || q.GetHavingClause() != nil ||
		q.GetLimitCount() != nil || q.GetLimitOffset() != nil {
		return nil
	}
	var list []setting
	for _, n := range q.GetTargetList() {
		f := n.GetResTarget().GetVal().GetFuncCall()
		name := f.GetFuncname()
		if len(name) == 0 || stringOf(name[len(name)-1]) != "set_config" || len(f.GetArgs()) != 3 {
			continue
		}
		if s, ok := c.configCall(f.GetArgs(), src); ok {
			list = append(list, s)
		}
	}
	return list
}

func (c *compiler) configCall(args []*node, src *source) (setting, bool) {
	s := setting{call: true}
	var ok bool
	if s.name, ok = c.constant(args[0], src); !ok {
		return s, false
	}
	if s.value, ok = c.constant(args[1], src); !ok {
		return s, false
	}
	if k := args[2].GetAConst(); k != nil && isBoolean(k) {
		text, _, _ := constText(k)
		s.change.Local = text == "true"
		return s, true
	}
	s.isLocal = true
	s.local, ok = c.constant(args[2], src)
	return s, ok
}

// constant returns what a constant expression is read from.
func (c *compiler) constant(n *node, src *source) (constRef, bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().GetArg()
	}
	b := c.r.newBinder(src, c.path)
	v := b.constant(n, nil)
	if v == noNode || len(b.g.sets[v]) != 1 {
		return constRef{}, false
	}
	return b.g.sets[v][0], true
}

// Changes returns what the i-th statement does to the session's settings when
// it succeeds. False means that it changes settings which only the server
// knows.
func (q *Query) Changes(i int, p Params) ([]Change, bool) {
	st := &q.tpl.statements[i]
	if len(st.changes) == 0 {
		return nil, st.Hold&HoldSetting == 0
	}
	list := make([]Change, 0, len(st.changes))
	for _, s := range st.changes {
		change, ok := s.change, true
		if s.call {
			change, ok = q.configured(s, p)
		}
		if !ok {
			return nil, false
		}
		list = append(list, change)
	}
	return list, st.Hold&HoldSetting == 0
}

// configured reads the arguments of set_config.
func (q *Query) configured(s setting, p Params) (Change, bool) {
	change := s.change
	name, null, ok := q.argument(s.name, p)
	if !ok || null {
		return change, false
	}
	change.Name = strings.ToLower(name)
	if s.isLocal {
		local, _, ok := q.argument(s.local, p)
		if !ok {
			return change, false
		}
		switch strings.ToLower(local) {
		case "t", "true", "on", "1", "yes", "y", "\x01":
			change.Local = true
		}
	}
	change.Value, change.Reset, ok = q.argument(s.value, p)
	change.SQL = "SET " + settingName(change.Name) + " TO " + quoteString(change.Value)
	switch {
	case change.Reset:
		change.SQL = "RESET " + settingName(change.Name)
	case slices.Contains(listSettings, change.Name): // SET takes names, of which there may be none
		change.SQL = "SELECT pg_catalog.set_config(" + quoteString(change.Name) + "," + quoteString(change.Value) + ",false)"
	}
	return change, ok
}

// argument reads a text argument.
func (q *Query) argument(c constRef, p Params) (text string, null, ok bool) {
	if c.slot == noSlot {
		return c.text, c.null, true
	}
	at, _ := q.locate(c.slot)
	s := q.slots[at]
	if s.kind == slotParam {
		k := int(s.number) - 1
		if p == nil || k >= p.Len() {
			return "", false, false
		}
		if a, ok := p.(*Arguments); ok && !a.isKnown(k) {
			return "", false, false
		}
		value, _, null := p.Param(k)
		return string(value), null, true
	}
	value, ok := q.decode(s)
	return string(value), false, ok
}
