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
		"plpgsql AS $$ begin UPDATE t AS x\n SET a = 1 where setting = 2; end $$":           false,
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
		if c := catalogOf(t, node); c.Unsettling != want {
			t.Errorf("%s: unsettling is %t, want %t", source, c.Unsettling, want)
		}
		if _, err := node.Query(t.Context(), "DROP FUNCTION f()"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnsettles reads the catalog of a real server and goes through statements.
func TestUnsettles(t *testing.T) {
	node := pgcluster.Test(t, pgcluster.Config{}).Shards[0].Primary
	if _, err := node.Query(t.Context(), `
CREATE FUNCTION sly() RETURNS int LANGUAGE plpgsql AS 'begin set work_mem to 9999; return 1; end';
CREATE FUNCTION by_way_of(int) RETURNS int LANGUAGE sql AS 'select Sly()';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'begin new.v := now(); return new; end';
CREATE FUNCTION through() RETURNS trigger LANGUAGE plpgsql AS 'begin insert into with_default values (1); return new; end';
CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql AS 'select $1 + 1';
CREATE TABLE quiet (id int PRIMARY KEY, v timestamptz);
CREATE TRIGGER stamp BEFORE INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE with_default (id int PRIMARY KEY, v int DEFAULT by_way_of(1));
CREATE TABLE with_check (id int CHECK (by_way_of(id) > 0));
CREATE TABLE with_index (id int); CREATE FUNCTION fixed(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'select sly()';
CREATE INDEX ON with_index (fixed(id));
CREATE TABLE with_policy (id int); CREATE POLICY own ON with_policy USING (by_way_of(1) = 1);
CREATE TABLE with_trigger (id int); CREATE TRIGGER t BEFORE INSERT ON with_trigger FOR EACH ROW EXECUTE FUNCTION through();
CREATE TABLE child (id int REFERENCES quiet ON DELETE CASCADE);
CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION through();
CREATE FUNCTION reaper() RETURNS void LANGUAGE sql AS 'delete from quiet';
CREATE VIEW shown AS SELECT by_way_of(id) FROM quiet;
CREATE TABLE "odd name" (id int DEFAULT sly()); CREATE FUNCTION odd() RETURNS void LANGUAGE sql AS 'insert into "odd name" values (default)'`); err != nil {
		t.Fatal(err)
	}
	with := catalogOf(t, node)
	if _, err := node.Query(t.Context(), "CREATE OR REPLACE FUNCTION sly() RETURNS int LANGUAGE plpgsql AS 'begin return 1; end'"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		catalog *Catalog
		sly     bool
	}{{with, true}, {catalogOf(t, node), false}} {
		if c.catalog.Unsettling != c.sly {
			t.Errorf("the catalog's unsettling is %t", !c.sly)
		}
		r := New(mapNamed(t, "shardmap-one.yaml"), c.catalog, Options{})
		for sql, want := range unsettlingStatements {
			var q Query
			r.Analyse(&q, []byte(sql), &Env{})
			if got := q.Statements()[0].Unsettles; got != (want == always || want == suspected && c.sly) {
				t.Errorf("%s, with such a function %t: unsettles is %t", sql, c.sly, got)
			}
		}
	}
}

// When a statement of a test may change what its session keeps.
const (
	never     = iota
	suspected // when the database has a function that may
	always
)

var unsettlingStatements = map[string]int{
	"SELECT 1": never, "SELECT now(), random()": never, "BEGIN": never, "SET work_mem TO '1MB'": never,
	"SELECT * FROM quiet WHERE id = 1": never, "INSERT INTO quiet VALUES (1)": never, "SELECT plain(1)": never, "COPY quiet FROM STDIN": never,
	"SELECT sly()": suspected, "SELECT * FROM quiet WHERE id = by_way_of(2)": suspected,
	"INSERT INTO with_default VALUES (1)": suspected, "COPY with_default FROM STDIN": suspected, "INSERT INTO with_check VALUES (1)": suspected,
	"INSERT INTO with_index VALUES (1)": suspected, "SELECT * FROM with_policy": suspected, "INSERT INTO with_trigger VALUES (1)": suspected,
	"DELETE FROM quiet": suspected, "SELECT reaper()": suspected, "SELECT odd()": suspected, "SELECT * FROM shown": suspected,
	"EXPLAIN ANALYZE SELECT sly()": suspected, "PREPARE p AS SELECT sly()": never, "DECLARE c CURSOR FOR SELECT sly()": suspected,
	"CREATE TABLE x (a int)": suspected, "EXECUTE p": suspected, "CALL sly()": suspected,
	"SELECT nobody_knows(1)": always, "DO $$ begin end $$": always, "SELEKT": always,
}

func catalogOf(t *testing.T, node *pgcluster.Node) *Catalog {
	t.Helper()
	rows, err := node.Query(t.Context(), CatalogSQL(mapNamed(t, "shardmap.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCatalog([]byte(rows[0][0]))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
