package router

import (
	"slices"
	"strings"
)

// DDL on what is in a tenant's schema, and on the schema itself, belongs to the
// tenant's shard.

// ddlName is something that DDL makes, changes or drops.
type ddlName struct {
	schema, name string
	kind         ddlKind
	makes        bool // an unqualified name is made in the first schema of the path
}

type ddlKind uint8

const (
	ddlTable  ddlKind = iota // the catalog knows it, if it is in a shared schema
	ddlOther                 // a type, function, index, sequence, …
	ddlSchema                // the schema itself
)

// ofTenants places DDL that names something in a tenant's schema.
func (c *compiler) ofTenants(n *node, st *Statement) {
	if !c.r.m.BySchema() {
		return
	}
	var own []owned
	shared := ""
	for _, d := range namesOfDDL(n) {
		ref, verdict, doubt := c.whose(d)
		switch verdict {
		case ddlDoubtful:
			st.place.doubtful = doubt
			return
		case ddlShared:
			shared = d.text()
		case ddlTenants:
			own = append(own, owned{ref, d.text()})
			st.MadeByPath = st.MadeByPath || d.makes && d.schema == ""
		}
	}
	if len(own) == 0 {
		if x := n.GetCreateExtensionStmt(); x != nil && !hasOption(x.GetOptions(), "schema") && slices.Contains(c.path, tenantSpot) {
			st.place.doubtful = refuse("Say in which schema: CREATE EXTENSION … SCHEMA public.",
				"an extension is made on every shard, and the search path begins elsewhere on each")
		}
		return
	}
	if shared != "" {
		st.place.doubtful = refuse("Send them as statements of their own.",
			"the statement is about %q in a tenant's schema and about %q, which is on every shard", own[0].object, shared)
		return
	}
	c.toTenants(st, own)
	st.Reshapes = st.Redefines
	st.Redefines = st.Redefines && (c.r.catalog.Unsettling || makesCode(n))
}

// owned is what DDL is about, and whose it is.
type owned struct {
	tenant constRef
	object string
}

// toTenants gives DDL to the tenants that own what it is about.
func (c *compiler) toTenants(st *Statement, own []owned) {
	st.place = placement{forbidden: st.place.forbidden, tables: 1}
	for _, o := range own {
		t := &Table{Name: o.object}
		if o.tenant.slot == pathSlot {
			t.Schema = c.r.m.TenantSchema().String()
		}
		st.place.bind([]constRef{o.tenant}, t, useWrite)
	}
}

// makesCode reports DDL after which the database may have a function more.
func makesCode(n *node) bool {
	return n.GetCreateFunctionStmt() != nil || n.GetAlterFunctionStmt() != nil || n.GetCreateExtensionStmt() != nil
}

type ddlVerdict uint8

const (
	ddlShared ddlVerdict = iota
	ddlTenants
	ddlDoubtful
	ddlNowhere // a temporary schema
)

// whose says whose a name is.
func (c *compiler) whose(d ddlName) (constRef, ddlVerdict, *Error) {
	switch {
	case strings.HasPrefix(d.schema, "pg_temp"):
		return constRef{}, ddlNowhere, nil
	case d.schema != "":
		if k, ok := c.r.m.TenantOf(d.schema); ok {
			return constRef{slot: noSlot, text: k.String()}, ddlTenants, nil
		}
		return constRef{}, ddlShared, nil
	case d.makes:
		if c.makesInTenants() {
			return constRef{slot: pathSlot}, ddlTenants, nil
		}
		return constRef{}, ddlShared, nil
	}
	own, shared := c.r.lookup(c.path, d.name)
	if d.kind == ddlOther && own {
		shared = c.sharedObject(d.name)
	}
	switch {
	case own && shared != "":
		return constRef{}, ddlDoubtful, eitherError(shared, d.name, d.kind == ddlTable)
	case own:
		return constRef{slot: pathSlot}, ddlTenants, nil
	}
	return constRef{}, ddlShared, nil
}

// makesInTenants reports a path whose first schema that exists is a tenant's.
func (c *compiler) makesInTenants() bool {
	for i, s := range c.path {
		switch {
		case s == tenantSpot:
			return true
		case s == systemSchema && i == 0: // PostgreSQL looks there first, and makes nothing there
		case c.r.catalog.hasSchema(s):
			return false
		}
	}
	return false
}

// sharedObject returns a schema of the path that is no tenant's, and has a
// function, type, index or sequence of a name; empty: none has.
func (c *compiler) sharedObject(object string) string {
	for _, s := range c.path {
		if s != tenantSpot && (c.r.catalog.HasFunction(s, object) || c.r.catalog.hasObject(s, object)) {
			return s
		}
	}
	return ""
}

func (d ddlName) text() string {
	if d.kind == ddlSchema || d.schema == "" {
		return d.name
	}
	return d.schema + "." + d.name
}

func hasOption(options []*node, name string) bool {
	return slices.ContainsFunc(options, func(n *node) bool { return n.GetDefElem().GetDefname() == name })
}
