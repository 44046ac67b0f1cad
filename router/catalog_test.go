package router

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// TestCatalogSQL reads the catalog of a real server and compares it with the
// fixture, which -rewrite renews.
func TestCatalogSQL(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join(routingDir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	got := catalogIn(t, string(schema), "catalog.json")
	want := fixture(t, mapNamed(t, "shardmap.yaml"))
	if got.Encoding != "UTF8" || got.Server < 150000 {
		t.Errorf("encoding %q, server %d", got.Encoding, got.Server)
	}
	compareRelations(t, got, want)
	if !reflect.DeepEqual(got.Cascades, want.Cascades) {
		t.Errorf("cascades: %v, the fixture has %v", got.Cascades, want.Cascades)
	}
	for _, f := range []Function{
		{"pg_catalog", "now", "s", false, false, false}, {"pg_catalog", "random", "v", false, false, false}, {"pg_catalog", "upper", "i", false, false, false},
		{"public", "place_order", "v", true, false, false}, {"public", "latest_order", "s", true, false, false}, {"public", "add_one", "i", false, false, false},
		{"pg_catalog", "sum", "i", false, false, true}, {"pgdrover", "unique_id", "v", false, false, false}, {"pgdrover", "other", "v", true, false, false},
	} {
		if !slices.Contains(got.Functions, f) {
			t.Errorf("function %+v is missing", f)
		}
	}
	if got.Unsettling {
		t.Error("no function of the schema changes what a session keeps")
	}
}

// TestCatalogOfApplications is TestCatalogSQL for the schemas of applications.
func TestCatalogOfApplications(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join(routingDir, "applications.sql"))
	if err != nil {
		t.Fatal(err)
	}
	got := catalogIn(t, string(schema), "catalog-applications.json")
	m := mapNamed(t, applicationsMap)
	compareRelations(t, got, fixtureOf(t, m, "catalog-applications.json"))
	if list := problems(got.Check(m)); strings.Contains(list, "error:") {
		t.Error(list)
	}
}

// catalogIn reads the catalog of a server with a schema, and with -rewrite writes it to a file of the routing cases.
func catalogIn(t *testing.T, schema, file string) *Catalog {
	t.Helper()
	c := pgcluster.Test(t, pgcluster.Config{})
	node := c.Shards[0].Primary
	if _, err := node.Query(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	rows, err := node.Query(t.Context(), CatalogSQL(mapNamed(t, "shardmap.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	got, err := ParseCatalog([]byte(rows[0][0]))
	if err != nil {
		t.Fatal(err)
	}
	if rewriting() {
		if err := os.WriteFile(filepath.Join(routingDir, file), append(got.Encode(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func compareRelations(t *testing.T, got, want *Catalog) {
	t.Helper()
	if len(got.Relations) != len(want.Relations) {
		t.Fatalf("%d relations, the fixture has %d", len(got.Relations), len(want.Relations))
	}
	plain := func(r Relation) Relation {
		r.Definition = strings.Join(strings.Fields(r.Definition), " ")
		return r
	}
	for i, r := range got.Relations {
		if !reflect.DeepEqual(plain(r), plain(want.Relations[i])) {
			t.Errorf("relation:\n%+v\nthe fixture has\n%+v", r, want.Relations[i])
		}
	}
}

func TestCatalogEncode(t *testing.T) {
	c := fixture(t, mapNamed(t, "shardmap.yaml"))
	again, err := ParseCatalog(c.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if again.Version() != c.Version() || c.Version() == 0 {
		t.Errorf("version %d became %d", c.Version(), again.Version())
	}
	again.Relations[0].RowSecurity = !again.Relations[0].RowSecurity
	again.index()
	if again.Version() == c.Version() {
		t.Error("another catalog has the same version")
	}
}

func TestParseCatalogFaults(t *testing.T) {
	for _, text := range []string{"", "[]", "{}", `{"encoding":"UTF8"}`, `{"encoding":"UTF8","functions":[["a"]]}`} {
		if _, err := ParseCatalog([]byte(text)); err == nil || !strings.Contains(err.Error(), "no catalog") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestCheck(t *testing.T) {
	m := mapNamed(t, "shardmap.yaml")
	c := fixture(t, m)
	if got := problems(c.Check(m)); got != "warning: table public.stray: it has no column \"tenant_id\" and is not in the map: declare it `reference` or `{on: s1}`\n" {
		t.Errorf("the fixture has problems:\n%s", got)
	}
	c.Encoding = "LATIN1"
	orders := c.relations[name{"public", "orders"}]
	orders.PrimaryKey = []string{"id"}
	orders.Columns[0] = Column{Name: "tenant_id", Type: oidText, Collation: "ci", Deterministic: false}
	delete(c.relations, name{"public", "migrations"})
	c.Relations = slices.DeleteFunc(c.Relations, func(r Relation) bool { return r.Name == "migrations" })
	got := problems(c.Check(m))
	for _, want := range []string{
		"error: its encoding is LATIN1", "is text, the map's tenants are bigint", "nondeterministic collation", "may be NULL",
		"not in the replica identity", "table migrations: the map names it, but it does not exist",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no problem says %q:\n%s", want, got)
		}
	}
}

func problems(list []Problem) string {
	text := ""
	for _, p := range list {
		text += p.String() + "\n"
	}
	return text
}
