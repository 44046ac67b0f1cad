package router

import "strings"

// A session's temporary tables are in no catalog that the Router has. DDL on a relation that the catalog does not know is taken to be on
// one of them, if the session has any: it runs where they are, and not on every shard.

// onTemporary reports DDL and maintenance that names relations, none of which the catalog knows.
func (c *compiler) onTemporary(n *node) bool {
	names := ddlRelations(n)
	for _, x := range names {
		if !strings.HasPrefix(x.schema, "pg_temp") && (!x.table || c.knows(x.schema, x.name)) {
			return false
		}
	}
	return len(names) > 0
}

func (c *compiler) knows(schema, relation string) bool {
	if schema == "" {
		_, ok := c.r.catalog.find(c.path, relation)
		return ok
	}
	_, ok := c.r.catalog.Relation(schema, relation)
	return ok || isSystem(schema)
}

// ddlRelation is something that DDL names.
type ddlRelation struct {
	schema, name string
	table        bool // the catalog would know it
}

func ddlRelations(n *node) []ddlRelation {
	if d := n.GetDropStmt(); d != nil {
		return dropped(d)
	}
	var list []ddlRelation
	for _, x := range append(maintained(n.GetVacuumStmt()),
		n.GetAlterTableStmt().GetRelation(), n.GetIndexStmt().GetRelation(), n.GetRenameStmt().GetRelation(),
		n.GetClusterStmt().GetRelation(), n.GetCreateTrigStmt().GetRelation(),
	) {
		if x != nil {
			list = append(list, ddlRelation{x.GetSchemaname(), x.GetRelname(), true})
		}
	}
	return list
}

func maintained(x *vacuumNode) []*rangeNode {
	var list []*rangeNode
	for _, n := range x.GetRels() {
		list = append(list, n.GetVacuumRelation().GetRelation())
	}
	return list
}

// dropped are the names in DROP.
func dropped(d *dropNode) []ddlRelation {
	var list []ddlRelation
	for _, o := range d.GetObjects() {
		name := o.GetList().GetItems()
		if len(name) == 0 {
			name = append(o.GetTypeName().GetNames(), o.GetObjectWithArgs().GetObjname()...)
		}
		x := ddlRelation{table: dropsTables[d.GetRemoveType()]}
		switch len(name) {
		case 1:
			x.name = stringOf(name[0])
		case 2:
			x.schema, x.name = stringOf(name[0]), stringOf(name[1])
		default:
			return nil
		}
		list = append(list, x)
	}
	return list
}
