package router

// namesOfDDL lists what DDL is about: where a statement names other things
// besides, such as the table that a foreign key refers to, they are left out.
func namesOfDDL(n *node) []ddlName {
	switch {
	case n.GetCreateSchemaStmt() != nil, n.GetImportForeignSchemaStmt() != nil:
		return schemasMade(n)
	case n.GetDropStmt() != nil:
		d := n.GetDropStmt()
		return objects(d.GetRemoveType().String(), d.GetObjects())
	case n.GetRenameStmt() != nil:
		return renamed(n)
	case n.GetAlterObjectSchemaStmt() != nil:
		x := n.GetAlterObjectSchemaStmt()
		return append(about(x.GetObjectType().String(), x.GetRelation(), x.GetObject()), schemaName(x.GetNewschema()))
	case n.GetAlterOwnerStmt() != nil:
		x := n.GetAlterOwnerStmt()
		return about(x.GetObjectType().String(), x.GetRelation(), x.GetObject())
	case n.GetCommentStmt() != nil:
		return about(n.GetCommentStmt().GetObjtype().String(), nil, n.GetCommentStmt().GetObject())
	case n.GetSecLabelStmt() != nil:
		return about(n.GetSecLabelStmt().GetObjtype().String(), nil, n.GetSecLabelStmt().GetObject())
	case n.GetGrantStmt() != nil:
		return granted(n)
	case n.GetAlterDefaultPrivilegesStmt() != nil:
		return schemasOption(n.GetAlterDefaultPrivilegesStmt().GetOptions(), "schemas")
	case n.GetCreateExtensionStmt() != nil:
		return schemasOption(n.GetCreateExtensionStmt().GetOptions(), "schema")
	case n.GetReindexStmt() != nil:
		return reindexed(n.GetReindexStmt())
	}
	if list := relationsMade(n); len(list) > 0 {
		return list
	}
	if list := relationsChanged(n); len(list) > 0 {
		return list
	}
	return othersNamed(n)
}

func schemaName(schema string) ddlName {
	return ddlName{schema: schema, name: schema, kind: ddlSchema}
}

func schemasMade(n *node) []ddlName {
	if x := n.GetImportForeignSchemaStmt(); x != nil {
		return []ddlName{schemaName(x.GetLocalSchema())}
	}
	x := n.GetCreateSchemaStmt()
	if x.GetSchemaname() == "" {
		return []ddlName{schemaName(x.GetAuthrole().GetRolename())}
	}
	return []ddlName{schemaName(x.GetSchemaname())}
}

// schemasOption reads a list of schemas, or one, in an option.
func schemasOption(options []*node, name string) []ddlName {
	var list []ddlName
	for _, n := range options {
		d := n.GetDefElem()
		if d.GetDefname() != name {
			continue
		}
		for _, s := range append(d.GetArg().GetList().GetItems(), d.GetArg()) {
			if text := stringOf(s); text != "" {
				list = append(list, schemaName(text))
			}
		}
	}
	return list
}

// relationsMade are the relations that CREATE makes.
func relationsMade(n *node) []ddlName {
	var list []ddlName
	for _, x := range []*rangeNode{
		n.GetCreateStmt().GetRelation(), n.GetViewStmt().GetView(), n.GetCreateSeqStmt().GetSequence(),
		n.GetCompositeTypeStmt().GetTypevar(), n.GetCreateForeignTableStmt().GetBaseStmt().GetRelation(),
	} {
		if x != nil {
			list = append(list, ddlName{schema: x.GetSchemaname(), name: x.GetRelname(), makes: true})
		}
	}
	return list
}

// relationsChanged are the relations that DDL and maintenance changes, or makes
// something for.
func relationsChanged(n *node) []ddlName {
	var list []ddlName
	add := func(kind ddlKind, relations ...*rangeNode) {
		for _, x := range relations {
			if x != nil {
				list = append(list, ddlName{schema: x.GetSchemaname(), name: x.GetRelname(), kind: kind})
			}
		}
	}
	if x := n.GetAlterTableStmt(); x != nil {
		add(kindOf(x.GetObjtype().String()), x.GetRelation())
	}
	add(ddlTable, n.GetIndexStmt().GetRelation(), n.GetCreateTrigStmt().GetRelation(), n.GetRuleStmt().GetRelation(),
		n.GetCreatePolicyStmt().GetTable(), n.GetAlterPolicyStmt().GetTable(), n.GetRefreshMatViewStmt().GetRelation(),
		n.GetClusterStmt().GetRelation())
	add(ddlTable, maintained(n.GetVacuumStmt())...)
	add(ddlOther, n.GetAlterSeqStmt().GetSequence())
	for _, r := range n.GetCreateStatsStmt().GetRelations() {
		add(ddlTable, r.GetRangeVar())
	}
	return list
}

func reindexed(x *reindexNode) []ddlName {
	switch r := x.GetRelation(); {
	case x.GetKind().String() == "REINDEX_OBJECT_SCHEMA":
		return []ddlName{schemaName(x.GetName())}
	case r == nil:
		return nil
	case x.GetKind() == reindexTable:
		return []ddlName{{schema: r.GetSchemaname(), name: r.GetRelname()}}
	default:
		return []ddlName{{schema: r.GetSchemaname(), name: r.GetRelname(), kind: ddlOther}}
	}
}

// othersNamed are the types, functions and the like of CREATE and ALTER.
func othersNamed(n *node) []ddlName {
	var list []ddlName
	for _, names := range [][]*node{
		n.GetCreateFunctionStmt().GetFuncname(), n.GetCreateDomainStmt().GetDomainname(), n.GetCreateEnumStmt().GetTypeName(),
		n.GetCreateRangeStmt().GetTypeName(), n.GetDefineStmt().GetDefnames(), n.GetCreateConversionStmt().GetConversionName(),
		n.GetCreateOpClassStmt().GetOpclassname(), n.GetCreateOpFamilyStmt().GetOpfamilyname(),
	} {
		if len(names) > 0 {
			list = append(list, nameOf(ddlOther, names, true))
		}
	}
	for _, names := range [][]*node{
		n.GetAlterEnumStmt().GetTypeName(), n.GetAlterDomainStmt().GetTypeName(), n.GetAlterTypeStmt().GetTypeName(),
		n.GetAlterFunctionStmt().GetFunc().GetObjname(), n.GetAlterStatsStmt().GetDefnames(), n.GetAlterOperatorStmt().GetOpername().GetObjname(),
		n.GetAlterOpFamilyStmt().GetOpfamilyname(), n.GetAlterTsdictionaryStmt().GetDictname(), n.GetAlterTsconfigurationStmt().GetCfgname(),
	} {
		if len(names) > 0 {
			list = append(list, nameOf(ddlOther, names, false))
		}
	}
	return list
}

// nameOf reads a name of one part, two, or three.
func nameOf(kind ddlKind, parts []*node, makes bool) ddlName {
	d := ddlName{kind: kind, makes: makes}
	if len(parts) > 0 {
		d.name = stringOf(parts[len(parts)-1])
	}
	if len(parts) > 1 {
		d.schema = stringOf(parts[len(parts)-2])
	}
	return d
}

func renamed(n *node) []ddlName {
	x := n.GetRenameStmt()
	if x.GetRenameType().String() == "OBJECT_SCHEMA" {
		return []ddlName{schemaName(x.GetSubname()), schemaName(x.GetNewname())}
	}
	return about(x.GetRenameType().String(), x.GetRelation(), x.GetObject())
}

// about is what a statement is about that names a relation or an object.
func about(kind string, relation *rangeNode, object *node) []ddlName {
	if relation != nil {
		return []ddlName{{schema: relation.GetSchemaname(), name: relation.GetRelname(), kind: kindOf(kind)}}
	}
	return objects(kind, []*node{object})
}

// granted is what GRANT and REVOKE are about.
func granted(n *node) []ddlName {
	x := n.GetGrantStmt()
	kind := x.GetObjtype().String()
	switch x.GetTargtype().String() {
	case "ACL_TARGET_ALL_IN_SCHEMA":
		kind = "OBJECT_SCHEMA"
	case "ACL_TARGET_DEFAULTS":
		return nil
	}
	return objects(kind, x.GetObjects())
}

// kindOf says what kind a word of PostgreSQL's ObjectType stands for.
func kindOf(object string) ddlKind {
	switch object {
	case "OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE", "OBJECT_COLUMN", "OBJECT_ATTRIBUTE",
		"OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY":
		return ddlTable
	case "OBJECT_SCHEMA":
		return ddlSchema
	}
	return ddlOther
}

// ofNoSchema are the kinds of objects that are in no schema, nor one themselves. It is not changed.
var ofNoSchema = map[string]bool{
	"OBJECT_ACCESS_METHOD": true, "OBJECT_AMOP": true, "OBJECT_AMPROC": true, "OBJECT_CAST": true, "OBJECT_DATABASE": true, "OBJECT_DEFACL": true,
	"OBJECT_EVENT_TRIGGER": true, "OBJECT_EXTENSION": true, "OBJECT_FDW": true, "OBJECT_FOREIGN_SERVER": true, "OBJECT_LANGUAGE": true,
	"OBJECT_LARGEOBJECT": true, "OBJECT_PARAMETER_ACL": true, "OBJECT_PUBLICATION": true, "OBJECT_PUBLICATION_NAMESPACE": true,
	"OBJECT_PUBLICATION_REL": true, "OBJECT_ROLE": true, "OBJECT_SUBSCRIPTION": true, "OBJECT_TABLESPACE": true, "OBJECT_TRANSFORM": true,
	"OBJECT_USER_MAPPING": true,
}

// objects reads the names of objects of one kind, each written as the grammar
// writes that kind.
func objects(kind string, list []*node) []ddlName {
	var names []ddlName
	if ofNoSchema[kind] {
		return nil
	}
	for _, o := range list {
		parts := nameParts(o)
		if r := o.GetRangeVar(); r != nil {
			names = append(names, ddlName{schema: r.GetSchemaname(), name: r.GetRelname(), kind: kindOf(kind)})
			continue
		}
		switch kind {
		case "OBJECT_SCHEMA":
			names = append(names, schemaName(stringOf(o)))
			continue
		case "OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY": // of a table
			parts = parts[:max(len(parts)-1, 0)]
		case "OBJECT_OPCLASS", "OBJECT_OPFAMILY": // of an access method
			parts = parts[min(len(parts), 1):]
		}
		if len(parts) > 0 {
			names = append(names, nameOf(kindOf(kind), parts, false))
		}
	}
	return names
}

// nameParts are the parts of a name of an object.
func nameParts(o *node) []*node {
	list := o.GetList().GetItems()
	switch {
	case len(list) > 0 && list[0].GetTypeName() != nil: // a domain's constraint
		return list[0].GetTypeName().GetNames()
	case len(list) > 0:
		return list
	case o.GetTypeName() != nil:
		return o.GetTypeName().GetNames()
	case o.GetObjectWithArgs() != nil:
		return o.GetObjectWithArgs().GetObjname()
	case stringOf(o) != "":
		return []*node{o}
	}
	return nil
}
