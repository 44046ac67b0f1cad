package router

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

const routingDir = "../testdata/routing"

// mapNamed reads a map of the routing cases.
func mapNamed(t testing.TB, file string) *shardmap.Map {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(routingDir, file))
	if err != nil {
		t.Fatal(err)
	}
	f, err := shardmap.Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// applicationsMap is the map of the cases of applications, which have a catalog of their own.
const applicationsMap = "shardmap-applications.yaml"

// fixture reads the catalog of the routing cases. With a tenant type other than
// bigint its tenant columns get that type.
func fixture(t testing.TB, m *shardmap.Map) *Catalog {
	t.Helper()
	return fixtureOf(t, m, "catalog.json")
}

func fixtureOf(t testing.TB, m *shardmap.Map, file string) *Catalog {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(routingDir, file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCatalog(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Relations {
		for j := range c.Relations[i].Columns {
			col := &c.Relations[i].Columns[j]
			if col.Name == m.TenantColumn() {
				col.Type = columnType(m.TenantType())
			}
		}
	}
	c.index()
	return c
}

// cachedUsers lists tables for caching as the cases assume it.
func cachedUsers(schema, name string) bool {
	return schema == "public" && (name == "users" || name == "orders" || name == "secrets" || name == "countries")
}

// routerFor makes the Router of the routing cases.
func routerFor(t testing.TB, file string) *Router {
	t.Helper()
	m := mapNamed(t, file)
	if file == applicationsMap {
		return New(m, fixtureOf(t, m, "catalog-applications.json"), Options{})
	}
	if m.BySchema() {
		return New(m, sharedFixture(t, m), Options{Cached: cachedUsers})
	}
	return New(m, fixture(t, m), Options{Cached: cachedUsers})
}

// sharedFixture is what the catalog of the routing cases has where each tenant has a schema: what is shared.
func sharedFixture(t testing.TB, m *shardmap.Map) *Catalog {
	t.Helper()
	c := fixture(t, m)
	shared := []string{"countries", "currencies", "country_names", "migrations", "stray"}
	c.Relations = slices.DeleteFunc(c.Relations, func(r Relation) bool { return !slices.Contains(shared, r.Name) })
	c.Objects = []Object{{"public", "mood"}, {"public", "countries_pkey"}}
	c.index()
	return c
}

// values are parameters for tests: "null", a text, or a binary bigint as
// b:42, each with an optional type as in 20:42.
type boundValues []boundValue

type boundValue struct {
	value  []byte
	binary bool
	null   bool
	oid    uint32
}

func (p boundValues) Len() int { return len(p) }

func (p boundValues) Param(i int) (value []byte, binary, null bool) {
	return p[i].value, p[i].binary, p[i].null
}

func (p boundValues) OID(i int) uint32 { return p[i].oid }

// textValues are parameters in text form.
func textValues(texts ...string) boundValues {
	var p boundValues
	for _, s := range texts {
		p = append(p, boundValue{value: []byte(s), null: s == "null"})
	}
	return p
}

// names joins the names of tables.
func tableNames(tables []*Table) string {
	var list []string
	for _, t := range tables {
		list = append(list, t.String())
	}
	return strings.Join(list, " ")
}

// pgParse is the tree of one SELECT.
func pgParse(text string) (*selectNode, bool) {
	r := &Router{parses: make(chan struct{}, 1)}
	nodes, bad := r.parse(text)
	if bad != nil || len(nodes) != 1 {
		return nil, false
	}
	return nodes[0].GetSelectStmt(), true
}
