package router

import "testing"

// TestRedefines finds the DDL after which the catalog has to be read again.
func TestRedefines(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	for text, want := range map[string]bool{
		"CREATE TABLE x (a int)": true, "ALTER TABLE countries ADD b int": true, "DROP TABLE countries": true, "CREATE INDEX ON countries (code)": true,
		"CREATE TABLE x AS SELECT 1": true, "CREATE MATERIALIZED VIEW x AS SELECT 1": true, "SELECT 1 INTO x": true, "CREATE SCHEMA x": true,
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'": true, "CREATE TRIGGER t AFTER INSERT ON countries EXECUTE FUNCTION f()": true,
		"CREATE EXTENSION hstore": true, "DROP OWNED BY x": true, "ALTER TYPE x ADD VALUE 'y'": true, "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z": true,
		"CREATE TEMP TABLE x (a int)": false, "CREATE TEMP TABLE x AS SELECT 1": false, "SELECT 1 INTO TEMP x": false, "TRUNCATE countries": false,
		"GRANT SELECT ON countries TO x": false, "REVOKE ALL ON countries FROM x": false, "GRANT x TO y": false, "COMMENT ON TABLE countries IS 'x'": false,
		"CREATE ROLE x": false, "ALTER ROLE x PASSWORD 'y'": false, "ALTER ROLE x SET work_mem TO '1MB'": false, "DROP ROLE x": false,
		"ALTER DATABASE x SET work_mem TO '1MB'": false, "CREATE PUBLICATION x FOR ALL TABLES": false, "ANALYZE countries": false, "SELECT 1": false,
	} {
		var q Query
		r.Analyse(&q, []byte(text), &Env{})
		if got := q.Statements()[0].Redefines; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestReshapes finds the DDL on tenants' schemas after which no catalog is another, unless the database has code that is looked into.
func TestReshapes(t *testing.T) {
	r := routerFor(t, "shardmap-schemas.yaml")
	for sql, want := range map[string][2]bool{
		"create table t_1.x (id int)":                                    {false, true},
		"alter table t_1.x add n int":                                    {false, true},
		"create table public.x (id int)":                                 {true, false},
		"drop schema t_1 cascade":                                        {false, true},
		"comment on table t_1.x is 'one'":                                {false, false},
		"create function t_1.f() returns int language sql as 'select 1'": {true, true},
	} {
		var q Query
		r.Analyse(&q, []byte(sql), &Env{})
		st := &q.Statements()[0]
		if got := [2]bool{st.Redefines, st.Reshapes}; got != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
}
