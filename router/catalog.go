package router

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
)

// Catalog is what routing knows of a database: relations with their columns,
// functions with their volatility, and what a write reaches beside its table.
// It is immutable and safe for concurrent use.
type Catalog struct {
	Encoding  string     `json:"encoding"` // of the database: "UTF8"
	Server    int        `json:"server"`   // server_version_num
	Schemas   []string   `json:"schemas"`
	System    []string   `json:"system"`            // relations of pg_catalog
	Objects   []Object   `json:"objects,omitempty"` // types, indexes and sequences; where each tenant has a schema, else none
	Relations []Relation `json:"relations"`
	Cascades  []Cascade  `json:"cascades"`
	Functions []Function `json:"functions"`
	Types     []Type     `json:"types"` // types of the columns

	// Unsettling says that the database has a function that may change what a session keeps beyond its transaction, such as settings.
	Unsettling bool `json:"unsettling,omitempty"`

	version   uint64
	schemas   map[string]bool
	objects   map[name]bool
	system    map[string]bool
	relations map[name]*Relation
	functions map[name]*Function
	children  map[name][]name
	cascades  map[name][]int // by the table referred to
}

// name is a schema and a name in it.
type name struct{ schema, name string }

// Relation is a table, view, materialized view or foreign table.
type Relation struct {
	Schema            string      `json:"schema"`
	Name              string      `json:"name"`
	Kind              string      `json:"kind"`        // pg_class.relkind: r p v m f
	Persistence       string      `json:"persistence"` // p u t
	RowSecurity       bool        `json:"rowSecurity,omitempty"`
	Rules             bool        `json:"rules,omitempty"` // has rewrite rules besides a view's own
	Identity          string      `json:"identity"`        // pg_class.relreplident: d n f i
	Columns           []Column    `json:"columns"`
	PrimaryKey        []string    `json:"primaryKey,omitempty"`
	UniqueKeys        [][]string  `json:"uniqueKeys,omitempty"`        // columns of unique btree indexes that are whole and immediate
	Checked           []string    `json:"checked,omitempty"`           // columns whose type has a length or the like, or is a domain
	Diverging         []string    `json:"diverging,omitempty"`         // columns whose default may be another value on each shard
	DivergingTriggers []string    `json:"divergingTriggers,omitempty"` // triggers that may give a new row another value on each shard
	Large             bool        `json:"large,omitempty"`             // it has so many pages that nobody reads all of them for one row
	IdentityColumns   []string    `json:"identityColumns,omitempty"`   // with Identity i
	Triggers          []string    `json:"triggers,omitempty"`          // enabled, not internal
	Parents           [][2]string `json:"parents,omitempty"`           // schema, name: inheritance and partitions
	Definition        string      `json:"definition,omitempty"`        // of a view
	Unsettling        bool        `json:"unsettling,omitempty"`        // runs such functions: triggers, defaults, constraints, policies, a view's own
}

// Column is a column of a Relation, in the order of the table.
type Column struct {
	Name          string
	Type          uint32 // of a domain its base type
	Collation     string // empty: the type has none
	Deterministic bool   // of the collation
	NotNull       bool
}

// Cascade is a foreign key that changes the referring table when a row of the
// table referred to is deleted or updated.
type Cascade struct {
	To       [2]string // schema and name of the table referred to
	From     [2]string // the table that changes
	OnDelete string    // pg_constraint.confdeltype: a r c n d
	OnUpdate string
}

// Function is all functions of one name in one schema; the worst of them
// counts.
type Function struct {
	Schema     string
	Name       string
	Volatility string // i s v
	Opens      bool   // may read or write tables: SQL or a procedural language, and not immutable
	Unsettling bool   // may change what a session keeps beyond its transaction, or call one that does
	Aggregate  bool   // one of them is an aggregate
}

// Type is the name of a type by its OID.
type Type struct {
	OID    uint32
	Schema string
	Name   string
}

// Object is something else that has a name in a schema.
type Object [2]string // schema, name

// UnmarshalJSON reads the array that CatalogSQL writes.
func (c *Column) UnmarshalJSON(b []byte) error {
	return readArray(b, &c.Name, &c.Type, &c.Collation, &c.Deterministic, &c.NotNull)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c Column) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{c.Name, c.Type, c.Collation, c.Deterministic, c.NotNull})
}

// UnmarshalJSON reads the array that CatalogSQL writes.
func (c *Cascade) UnmarshalJSON(b []byte) error {
	return readArray(b, &c.To[0], &c.To[1], &c.From[0], &c.From[1], &c.OnDelete, &c.OnUpdate)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c Cascade) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{c.To[0], c.To[1], c.From[0], c.From[1], c.OnDelete, c.OnUpdate})
}

// UnmarshalJSON reads the array that CatalogSQL writes.
func (f *Function) UnmarshalJSON(b []byte) error {
	return readArray(b, &f.Schema, &f.Name, &f.Volatility, &f.Opens, &f.Unsettling, &f.Aggregate)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Function) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{f.Schema, f.Name, f.Volatility, f.Opens, f.Unsettling, f.Aggregate})
}

// UnmarshalJSON reads the array that CatalogSQL writes.
func (t *Type) UnmarshalJSON(b []byte) error {
	return readArray(b, &t.OID, &t.Schema, &t.Name)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (t Type) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{t.OID, t.Schema, t.Name})
}

// readArray reads a JSON array into as many targets as it has elements.
func readArray(b []byte, targets ...any) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(b, &elements); err != nil {
		return err
	}
	if len(elements) != len(targets) {
		return fmt.Errorf("%d elements where %d are expected", len(elements), len(targets))
	}
	for i, e := range elements {
		if err := json.Unmarshal(e, targets[i]); err != nil {
			return err
		}
	}
	return nil
}

// ParseCatalog reads what CatalogSQL returned, or Encode wrote.
func ParseCatalog(text []byte) (*Catalog, error) {
	c := &Catalog{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("router: the text is no catalog: %w", err)
	}
	if c.Encoding == "" || len(c.Functions) == 0 {
		return nil, fmt.Errorf("router: the text is no catalog: it names no encoding or no functions")
	}
	c.index()
	return c, nil
}

// Encode returns the catalog as ParseCatalog reads it. Equal catalogs give
// equal bytes.
func (c *Catalog) Encode() []byte {
	text, err := json.Marshal(c)
	if err != nil { // a programmer's mistake: all of it is plain values
		panic("router: a catalog is always encodable: " + err.Error())
	}
	return text
}

// Version is a hash of the contents, the same in every process. 0 is the
// version of no catalog.
func (c *Catalog) Version() uint64 { return c.version }

// index builds what lookups go through.
func (c *Catalog) index() {
	c.objects = map[name]bool{}
	for _, o := range c.Objects {
		c.objects[name{o[0], o[1]}] = true
	}
	c.schemas, c.system = map[string]bool{}, map[string]bool{}
	c.relations, c.functions = map[name]*Relation{}, map[name]*Function{}
	c.children, c.cascades = map[name][]name{}, map[name][]int{}
	for _, s := range c.Schemas {
		c.schemas[s] = true
	}
	for _, s := range c.System {
		c.system[s] = true
	}
	for i := range c.Relations {
		r := &c.Relations[i]
		own := name{r.Schema, r.Name}
		c.relations[own] = r
		for _, p := range r.Parents {
			parent := name{p[0], p[1]}
			c.children[parent] = append(c.children[parent], own)
		}
	}
	for i := range c.Functions {
		f := &c.Functions[i]
		c.functions[name{f.Schema, f.Name}] = f
	}
	for i, k := range c.Cascades {
		to := name{k.To[0], k.To[1]}
		c.cascades[to] = append(c.cascades[to], i)
	}
	if len(c.Functions) > 0 {
		h := fnv.New64a()
		h.Write(c.Encode())
		c.version = max(h.Sum64(), 1)
	}
}

func (c *Catalog) hasSchema(s string) bool { return c.schemas[s] }

func (c *Catalog) hasObject(schema, object string) bool { return c.objects[name{schema, object}] }

// Unsettle notes that another shard has a function that may change what a
// session keeps. It is called before the catalog is used.
func (c *Catalog) Unsettle() {
	if !c.Unsettling {
		c.Unsettling = true
		c.index()
	}
}

// Relation returns a relation by its qualified name.
func (c *Catalog) Relation(schema, relation string) (*Relation, bool) {
	r, ok := c.relations[name{schema, relation}]
	return r, ok
}

// HasFunction reports whether there is a function of this name.
func (c *Catalog) HasFunction(schema, function string) bool {
	return c.functions[name{schema, function}] != nil
}

// column returns a column by its name.
func (r *Relation) column(name string) (Column, bool) {
	for _, c := range r.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// typeName returns the qualified name of a type that a column has.
func (c *Catalog) typeName(oid uint32) name {
	for _, t := range c.Types {
		if t.OID == oid {
			return name{t.Schema, t.Name}
		}
	}
	return name{"pg_catalog", fmt.Sprintf("type %d", oid)}
}
