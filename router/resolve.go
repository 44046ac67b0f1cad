package router

const systemSchema = "pg_catalog"

// isSystem reports the schemas of PostgreSQL's own relations.
func isSystem(schema string) bool {
	return schema == systemSchema || schema == "information_schema" || schema == "pg_toast"
}

// find returns the schema in which the search path finds a relation.
func (c *Catalog) find(path []string, relation string) (schema string, ok bool) {
	for _, s := range path {
		if s == systemSchema && c.system[relation] {
			return s, true
		}
		if _, ok := c.relations[name{s, relation}]; ok {
			return s, true
		}
	}
	return "", false
}

// volatility is the worst of the functions that a call may mean.
type volatility struct {
	known      bool
	worst      byte // i s v
	opens      bool // may read or write tables
	unsettling bool // may change what a session keeps
	own        bool // of pg_catalog only
	aggregate  bool // one of them is an aggregate
}

// function returns what is known of the functions that a name may stand for. A
// call without a schema may mean a function of any schema of the path, since
// the arguments decide.
func (c *Catalog) function(path []string, schema, function string) volatility {
	if schema != "" {
		path = []string{schema}
	}
	v := volatility{worst: 'i', own: true}
	for _, s := range path {
		f, ok := c.functions[name{s, function}]
		if !ok {
			continue
		}
		v.known = true
		v.opens = v.opens || f.Opens
		v.unsettling = v.unsettling || f.Unsettling
		v.own = v.own && s == systemSchema
		v.aggregate = v.aggregate || f.Aggregate
		if f.Volatility != "" && f.Volatility[0] > v.worst {
			v.worst = f.Volatility[0]
		}
	}
	return v
}
