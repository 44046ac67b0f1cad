package router

import "strings"

const systemSchema = "pg_catalog"

// searchSchemas returns the schemas of a search_path setting in order, with
// pg_catalog where PostgreSQL looks it up. user stands for "$user", and is
// empty when there is no such schema.
func searchSchemas(setting, user string) []string {
	if setting == "" {
		setting = `"$user", public`
	}
	var list []string
	explicit := false
	for _, s := range splitNames(setting) {
		switch {
		case s == "$user" && user == "":
			continue
		case s == "$user":
			s = user
		}
		explicit = explicit || s == systemSchema
		list = append(list, s)
	}
	if !explicit {
		list = append([]string{systemSchema}, list...)
	}
	return list
}

// splitNames reads a comma-separated list of identifiers.
func splitNames(s string) []string {
	var names []string
	l := lexer{src: []byte(s)}
	for t := l.next(); t.kind != tokEnd && t.kind != tokBad; t = l.next() {
		text := s[t.off:t.end]
		switch t.kind {
		case tokWord:
			names = append(names, strings.ToLower(text))
		case tokQuoted:
			names = append(names, strings.ReplaceAll(text[1:len(text)-1], `""`, `"`))
		case tokLiteral:
			names = append(names, strings.Trim(text, "'"))
		}
	}
	return names
}

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
