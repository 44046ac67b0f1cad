package router

import (
	"fmt"

	"github.com/pgdrover/pgdrover/shardmap"
)

// session is the tenant that a query string is run for, named outside its SQL.
type session struct {
	key    shardmap.Key
	source Source
}

func (s *session) explicit() bool { return s.source != SourceNone }

// bound reports a tenant that the session cannot leave.
func (s *session) bound() bool { return s.source == SourceAuth }

// session makes s the tenant that the hint or the session names. A bound
// session's hint may only repeat its tenant.
func (q *Query) session(env *Env, s *session) *Error {
	s.key, s.source = env.Tenant, env.TenantSource
	if s.key.IsZero() {
		s.source = SourceNone
	}
	if q.hint.err != nil {
		return q.hint.err
	}
	if q.hint.tenant.end == 0 {
		return nil
	}
	k, err := q.r.m.TenantType().ParseText(q.text[q.hint.tenant.off:q.hint.tenant.end])
	if err != nil {
		return keyError(err)
	}
	if !s.bound() {
		s.key, s.source = k, SourceHint
	} else if k != s.key {
		return forbid("", "this session is bound to tenant %q: the hint names %q", s.key, k)
	}
	return nil
}

// change applies SET or RESET of pgdrover.tenant within one query string.
func (q *Query) change(s *session, i int, p Params) *Error {
	for _, own := range q.tpl.statements[i].changes {
		change, ok := own.change, true
		if own.call {
			change, ok = q.configured(own, p)
		}
		if !ok || change.Name != SettingTenant && !change.All {
			continue
		}
		if err := q.become(s, change); err != nil {
			return err
		}
	}
	return nil
}

// become makes s the session after a change of pgdrover.tenant.
func (q *Query) become(s *session, c Change) *Error {
	if c.Reset {
		if s.source == SourceSet || s.source == SourceSetLocal {
			*s = session{} // what startup said is not known here
		}
		return nil
	}
	k, err := q.r.m.TenantType().ParseText([]byte(c.Value))
	switch {
	case err != nil:
		return keyError(err)
	case s.bound() && k != s.key:
		return forbid("", "this session is bound to tenant %q: it cannot become %q", s.key, k)
	case s.bound() || s.source == SourceHint:
		return nil
	}
	s.key, s.source = k, SourceSet
	if c.Local {
		s.source = SourceSetLocal
	}
	return nil
}

// tally adds up the tenants of a statement: the shard they share.
type tally struct {
	m        *shardmap.Map
	session  session
	foreign  bool // the client's encoding is not UTF8
	key      shardmap.Key
	shard    int
	keys     int  // tenants added, as far as they differ from the one before
	null     bool // one was NULL
	notNull  bool // a NULL would match rows
	use      use
	table    *Table
	oneShard bool
	unread   bool      // one is known to the server only
	unvalued *unvalued // parameters before they have values; nil: they have them
	ref      *constRef // of the tenant that is added, and its place in the text
	at       int32
	all      *[]tenantAt // gets every tenant, of whatever shards; nil: they must be of one
}

// waits reports that the statement names its tenant by a parameter that has no
// value yet, and nothing else says where it goes.
func (t *tally) waits() bool {
	return t.unvalued != nil && len(t.unvalued.asked) > 0 && t.keys == 0 && !t.session.explicit()
}

// inASCII reports a key whose bytes are the same in all encodings of a client.
func inASCII(k shardmap.Key) bool {
	return k.Type() != shardmap.Text || isASCII([]byte(k.String()))
}

// misread reports a session whose tenant the client has named in another
// encoding than it is hashed in, for a statement that needs one.
func (s *session) misread(env *Env, pl *placement) bool {
	return env.Foreign && s.explicit() && !s.bound() && len(pl.binds)+len(pl.unbound) > 0 && !inASCII(s.key)
}

// foreign refuses a tenant that the client writes in another encoding than it is
// hashed in.
func foreign(k shardmap.Key) *Error {
	return refuse("SET client_encoding TO 'UTF8'.", "the tenant %q is not ASCII, and the client's encoding is not UTF8", k.String())
}

// add notes one tenant. All must be of one shard, and the session's own where
// it has one.
func (t *tally) add(k shardmap.Key, null bool) *Error {
	switch {
	case null && t.use >= useInsert:
		return &Error{
			Code: codeNotNull, Message: fmt.Sprintf("the tenant in column %q of a row for %q is null", column(t.table), tableName(t.table)),
			Hint: "A row of a sharded table belongs to a tenant.",
		}
	case null && t.notNull:
		return refuse("Give the parameter a value.", "IS NOT DISTINCT FROM with NULL matches rows of any tenant")
	case null:
		t.null = true
		return nil
	case t.foreign && !inASCII(k):
		return foreign(k)
	case t.keys > 0 && k == t.key && t.all == nil:
		return nil
	case t.session.explicit() && k != t.session.key:
		return t.conflict(k)
	}
	shard := t.m.Locate(k)
	if t.all != nil {
		*t.all = append(*t.all, tenantAt{ref: *t.ref, at: t.at, use: t.use, key: k, shard: shard})
		t.keys++
		return nil
	}
	if t.keys > 0 && shard != t.shard {
		return t.spread(k)
	}
	t.key, t.shard = k, shard
	t.keys++
	return nil
}

// conflict is the error for a tenant that is not the session's.
func (t *tally) conflict(k shardmap.Key) *Error {
	if t.session.bound() {
		return forbid(fmt.Sprintf("%s says %q.", qualified(t.table), k),
			"this session is bound to tenant %q: the statement names another", t.session.key)
	}
	return &Error{
		Code:    codeNotSupported,
		Message: fmt.Sprintf("the statement names tenant %q, but %s names %q", k, t.session.source, t.session.key),
		Detail:  fmt.Sprintf("%s says %q.", qualified(t.table), k),
		Hint:    "Remove one of the two, or RESET pgdrover.tenant.",
	}
}

// spread is the error for tenants of several shards.
func (t *tally) spread(k shardmap.Key) *Error {
	if t.m.BySchema() {
		return t.schemasApart(k)
	}
	e := refuse("Send one statement for each tenant, or for each shard.",
		"the statement names tenants of several shards")
	switch t.use {
	case useInsert:
		e = refuse("Send the rows of each tenant in a statement of their own.",
			"the rows to insert belong to several shards")
	case useSet:
		e = refuse("Delete the row and insert it for the other tenant.",
			"UPDATE of %s.%s would move rows to another shard", tableName(t.table), column(t.table))
	}
	e.Detail = fmt.Sprintf("Tenant %q lives on shard %q, tenant %q on shard %q.",
		t.key, t.m.Shard(t.shard).Name, k, t.m.Shard(t.m.Locate(k)).Name)
	e.spread, e.moves = true, t.use == useSet
	return e
}

// schemasApart is the error for schemas of tenants that live on several shards,
// which nothing can split.
func (t *tally) schemasApart(k shardmap.Key) *Error {
	e := refuse("Send one statement for each tenant, with one tenant's schema in its names and in the search path.",
		"the statement is about the schemas of tenants on several shards")
	e.Detail = fmt.Sprintf("Tenant %q lives on shard %q, tenant %q on shard %q.",
		t.key, t.m.Shard(t.shard).Name, k, t.m.Shard(t.m.Locate(k)).Name)
	return e
}

// String names the place that a tenant comes from.
func (s Source) String() string {
	return [...]string{
		"nothing", "authentication", "the hint", "SET LOCAL pgdrover.tenant", "SET pgdrover.tenant",
		"the startup option pgdrover.tenant", "the statement", "the search path",
	}[s&7]
}

func tableName(t *Table) string {
	if t == nil {
		return "the statement"
	}
	return t.Name
}

func column(t *Table) string {
	if t == nil {
		return "the tenant column"
	}
	return t.Column
}

// qualified names a tenant column.
func qualified(t *Table) string {
	if t == nil {
		return "The recursive query"
	}
	switch {
	case t.Column == "" && t.Schema == "": // what DDL is about, as it says it
		return t.Name
	case t.Column == "": // it is in a tenant's schema
		return t.Schema + "." + t.Name
	}
	return t.Name + "." + t.Column
}
