package router

import (
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestUnsettlingWords asks PostgreSQL which functions make a database one whose functions may change what a session keeps.
func TestUnsettlingWords(t *testing.T) {
	node := pgcluster.Test(t, pgcluster.Config{}).Shards[0].Primary
	for source, want := range map[string]bool{
		"plpgsql AS $$ begin update t set a = 1; return; end $$":                            false,
		"plpgsql AS $$ begin UPDATE t AS x\n SET a = 1 where setting = 2; end $$":       false,
		"sql AS 'select 1 as offset, ''reset_at'', execute_at from pg_class x(execute_at)'": false,
		"sql AS 'select pg_advisory_xact_lock(1)'":                                          false,
		"plpgsql AS $$ begin set work_mem to '1MB'; end $$":                                 true,
		"plpgsql AS $$ begin perform 1; SET LOCAL work_mem to '1MB'; end $$":                true,
		"plpgsql AS $$ begin if true then /* */ set x.y = 1; end if; end $$":                true,
		"plpgsql AS $$ begin\n-- first\nset x.y = 1; end $$":                                true,
		"sql AS $$ set role none $$":                                                        true,
		"sql AS $$ select 1; set role none $$":                                              true,
		"sql AS $$ select set_config('a.b', '1', false) $$":                                 true,
		"sql BEGIN ATOMIC; select set_config('a.b', '1', false); END":                       true,
		"plpgsql AS $$ begin execute format('select 1'); end $$":                            true,
		"plpgsql AS $$ begin perform pg_try_advisory_lock(1); end $$":                       true,
		"plpgsql AS $$ begin create temporary table x (a int); end $$":                      true,
		"plpgsql AS $$ begin listen news; end $$":                                           true,
	} {
		batch := "CREATE FUNCTION f() RETURNS void LANGUAGE " + source
		if _, err := node.Query(t.Context(), "SET check_function_bodies = off; "+batch); err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		rows, err := node.Query(t.Context(), CatalogSQL)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCatalog([]byte(rows[0][0]))
		if err != nil {
			t.Fatal(err)
		}
		if c.Unsettling != want {
			t.Errorf("%s: unsettling is %t, want %t", source, c.Unsettling, want)
		}
		if _, err := node.Query(t.Context(), "DROP FUNCTION f()"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnsettles goes through statements in a database with and without a function that may change what a session keeps.
func TestUnsettles(t *testing.T) {
	const never, suspected, always = 0, 1, 2
	m := mapNamed(t, "shardmap.yaml")
	for sql, want := range map[string]int{
		"SELECT 1":               never,
		"SELECT now(), random()": never,
		"SELECT * FROM orders WHERE tenant_id = 1":         never,
		"INSERT INTO orders (tenant_id, id) VALUES (1, 2)": never,
		"BEGIN":                 never,
		"SET work_mem TO '1MB'": never,
		"SELECT add_one(1)":     suspected,
		"SELECT id FROM orders WHERE tenant_id = 1 AND id = latest_order(1)": suspected,
		"INSERT INTO watched VALUES (1, 2)":                                  suspected,
		"SELECT * FROM watched WHERE tenant_id = 1":                          suspected,
		"COPY watched FROM STDIN":                                            suspected,
		"EXPLAIN SELECT add_one(1)":                                          suspected,
		"PREPARE p AS SELECT add_one(1)":                                     suspected,
		"DECLARE c CURSOR FOR SELECT add_one(1)":                             suspected,
		"CREATE TABLE x (a int)":                                             suspected,
		"EXECUTE p":                                                          suspected,
		"SELECT nobody_knows(1)":                                             always,
		"DO $$ begin end $$":                                                 always,
		"SELEKT":                                                             always,
	} {
		for _, unsettling := range []bool{false, true} {
			c := *fixture(t, m)
			c.Unsettling = unsettling
			r := New(m, &c, Options{})
			var q Query
			r.Analyse(&q, []byte(sql), &Env{})
			if got := q.Statements()[0].Unsettles; got != (want == always || want == suspected && unsettling) {
				t.Errorf("%s, with such functions %t: unsettles is %t", sql, unsettling, got)
			}
		}
	}
}
