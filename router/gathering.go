package router

import "strings"

// Gathering says how the rows of all shards become the answer to one SELECT
// that names no tenant, or those of some shards the answer to a statement that
// names tenants of several. It is for one execution and one goroutine.
type Gathering struct {
	parts []*Portion
	final *selectNode // over the rows of the parts; nil: those of the one part are the answer, in any order
	plans string      // the format that the shards' plans are asked in; empty: the rows are
	copy  *CopyOptions

	shares []Share // what each shard runs that has tenants which the statement names; nil: the parts, on every shard
	writes bool
	order  []int32 // of the rows of VALUES: whose share each is of; nil: the statement is no INSERT of VALUES
}

// Portion is a query that every shard runs, and what is made of the rows of all.
type Portion struct {
	each string      // what every shard runs
	rows string      // what the rows are called in final
	text string      // what the part stands for in the statement; empty: the whole
	made *selectNode // from the rows; nil: they are the answer, in any order

	targets []*node // of made that have no name of their own; nil: the columns of each
	hidden  int     // columns of each, behind those of the answer, that order it
	sums    []total

	merging *Merging
}

// total is a combination of the shards' values that depends on their type.
type total struct {
	at    *node // in made: sum(column), or sum(column) / sum(count)
	count *node // of an average: the divisor
	col   int
}

// GatheredColumn is a column of the rows that the shards answer with.
type GatheredColumn struct {
	Name      string
	OID       uint32
	Type      string // as SQL writes it, with its modifier
	Collation string // as SQL writes it; empty: the type has none
}

// Portions are the queries whose rows the answer is made of, at least one.
func (g *Gathering) Portions() []*Portion { return g.parts }

// Each is the text that every shard runs. Its parameters are the statement's.
func (p *Portion) Each() string { return p.each }

// Text is the query whose columns' names Final wants; empty: the statement.
func (p *Portion) Text() string { return p.text }

// Whole reports whether the rows that the shards answer the one part with are
// the answer, in any order. If not, it is the answer to Final over them.
func (g *Gathering) Whole() bool { return g.final == nil }

// Explains returns the format of the plans that the shards are asked for, as
// EXPLAIN writes it, such as "json"; empty: they are asked for rows.
func (g *Gathering) Explains() string { return g.plans }

// Outline is the text of what makes the answer, before the types of the rows
// are known, for people to read; empty: the rows of the shards are the answer.
func (g *Gathering) Outline() string {
	if g.final == nil {
		return ""
	}
	for _, p := range g.parts {
		if p.targets == nil {
			p.made.TargetList = []*node{target(starNode(), "")}
		}
	}
	text, _ := unparse(g.final)
	return text
}

// explain has the shards say their plans in place of rows.
func (g *Gathering) explain(x *explainNode) *Error {
	prefix, err := explaining(x)
	if err != nil {
		return refuse("Name a tenant.", "the statement cannot be written for all shards: %s", err.Error())
	}
	g.plans = "text"
	for _, n := range x.GetOptions() {
		if d := n.GetDefElem(); d.GetDefname() == "format" {
			g.plans = strings.ToLower(stringOf(d.GetArg()))
		}
	}
	for _, p := range g.parts {
		p.each = prefix + p.each
		if p.merging != nil {
			p.merging.each = prefix + p.merging.text
		}
	}
	return nil
}

// Copy are the options of a COPY TO STDOUT; nil: the statement is none.
func (g *Gathering) Copy() *CopyOptions { return g.copy }

const (
	oidFloat4   = 700
	oidFloat8   = 701
	oidInterval = 1186

	gathered = "pgdrover_rows"
	position = "pgdrover_" // and a number: a column of gathered
	orderKey = "pgdrover_key_"
)

// Gathered is what the shards have answered to a part.
type Gathered struct {
	Columns []GatheredColumn
	Names   []string // of the columns of what the part stands for
}

// Final is the text that any one server runs to make the answer from the rows.
// rows are what each part was answered. The values are its parameters after the
// first params, which are the statement's: an array of text for each column, of
// one part after the other. It is called once.
func (g *Gathering) Final(rows []Gathered, params int) (string, error) {
	ctes := make([]string, len(g.parts))
	for i, p := range g.parts {
		if err := p.name(rows[i]); err != nil {
			return "", err
		}
		ctes[i] = p.cte(rows[i].Columns, params)
		params += len(rows[i].Columns)
	}
	text, err := unparse(g.final)
	if err != nil {
		return "", err
	}
	with := "WITH "
	if w := g.final.GetWithClause(); w != nil {
		if w.GetRecursive() {
			with = "WITH RECURSIVE "
		}
		return with + strings.Join(ctes, ", ") + ", " + strings.TrimPrefix(text, with), nil
	}
	return with + strings.Join(ctes, ", ") + " " + text, nil
}

// name gives the columns that a part makes the names that they have in the
// statement.
func (p *Portion) name(rows Gathered) error {
	for _, t := range p.sums {
		if err := t.settle(rows.Columns); err != nil {
			return err
		}
	}
	if p.targets == nil {
		for i := range len(rows.Columns) - p.hidden {
			p.made.TargetList = append(p.made.TargetList, target(rowColumn(i), rows.Columns[i].Name))
		}
	}
	for i, t := range p.targets {
		if x := t.GetResTarget(); x.GetName() == "" && i < len(rows.Names) {
			x.Name = rows.Names[i]
		}
	}
	return nil
}

// cte is the CTE of the rows.
func (p *Portion) cte(cols []GatheredColumn, params int) string {
	list, arrays, names := "", "", ""
	for i, c := range cols {
		if i > 0 {
			list, arrays, names = list+", ", arrays+", ", names+", "
		}
		n := itoa(i + 1)
		name := position + n
		if k := i - (len(cols) - p.hidden); k >= 0 {
			name = orderKey + itoa(k+1)
		}
		value := "CAST(r.v" + n + " AS " + c.Type + ")"
		if c.Collation != "" {
			value += " COLLATE " + c.Collation
		}
		list += value + " AS " + name
		arrays += "pg_catalog.unnest($" + itoa(params+i+1) + "::pg_catalog.text[])"
		names += "v" + n
	}
	return p.rows + " AS (SELECT " + list + " FROM ROWS FROM (" + arrays + ") AS r(" + names + "))"
}

// settle makes the combination suit the type of the shards' values.
func (t *total) settle(cols []GatheredColumn) error {
	oid := cols[t.col].OID
	switch {
	case t.count == nil && oid == oidInt8: // the sum of a bigint is a numeric
		t.at.Node = castTo(&node{Node: t.at.Node}, "int8").Node
	case t.count == nil:
	case oid == oidFloat4:
		return refuse("Cast it: avg(x::float8).", "the average of a real over several shards would be less exact than one server's")
	case oid == oidFloat8 || oid == oidInterval:
		t.count.Node = castTo(&node{Node: t.count.Node}, "float8").Node
	}
	return nil
}
