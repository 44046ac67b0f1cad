package router

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/casefile"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestRouting runs the cases of testdata/routing. Arguments of route:
//
//	map=FILE     the shard map; shardmap.yaml by default
//	params=a;b   parameters in text form; null is NULL, 23:42 a text of the type with OID 23, b:42 a bigint in binary form of no declared type,
//	             b23:42 an integer in binary form that is declared as such, and so on: see binaryForm
//	set=42       the session's tenant by SET; auth=42 by authentication; local=42; startup=42
//	prepare="x (bigint) AS …"  what the session has prepared
//	path=…       search_path; user=…; plain: standard_conforming_strings off; temp; scatter; foreign: client_encoding is not UTF8
func TestRouting(t *testing.T) {
	routers := map[string]*Router{}
	one := routerFor(t, "shardmap-one.yaml")
	casefile.RunDir(t, routingDir, func(t *testing.T, c *casefile.Case) string {
		file, ok := c.Arg("map")
		if !ok {
			file = "shardmap.yaml"
		}
		r := routers[file]
		if r == nil {
			r = routerFor(t, file)
			routers[file] = r
		}
		env := environment(t, c, r)
		env.Prepared = preparedFor(t, c, r, &env)
		params := parameters(t, c)
		routedAlike(t, one, c.Input, &Env{User: env.User, TempTables: env.TempTables, Scatter: env.Scatter, Foreign: env.Foreign})
		var q Query
		r.Analyse(&q, []byte(c.Input), &env)
		switch c.Command {
		case "route":
			return answer(r, &q, params, &env)
		case "foresee":
			return foreseen(r, &q, &env)
		case "statement":
			return describeAll(&q, params)
		case "both":
			return answer(r, &q, params, &env) + describeAll(&q, params)
		}
		t.Fatalf("no command %q", c.Command)
		return ""
	})
}

func environment(t *testing.T, c *casefile.Case, r *Router) Env {
	t.Helper()
	env := Env{PlainBackslash: c.Has("plain"), TempTables: c.Has("temp"), Scatter: c.Has("scatter"), Foreign: c.Has("foreign")}
	env.SearchPath, _ = c.Arg("path")
	env.User, _ = c.Arg("user")
	for key, source := range map[string]Source{
		"auth": SourceAuth, "local": SourceSetLocal, "set": SourceSet, "startup": SourceStartup,
	} {
		text, ok := c.Arg(key)
		if !ok {
			continue
		}
		k, err := r.m.TenantType().ParseText([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		env.Tenant, env.TenantSource = k, source
	}
	return env
}

// answer writes a Route or the error.
func answer(r *Router, q *Query, p Params, env *Env) string {
	route, err := r.Route(q, p, env)
	text := ""
	if err == nil && route.Kind == Local && q.Statements()[0].Verb == ExplainRoute {
		text = "local\n"
		route, err = r.Inner(q, p, env)
	}
	if err != nil {
		return text + failure(err)
	}
	text += route.Kind.String()
	if route.Kind == Single {
		text += " " + r.m.Shard(route.Shard).Name
	}
	if route.Kind != Local {
		text += map[bool]string{false: " replica", true: " primary"}[route.Write]
	}
	if !route.Tenant.IsZero() {
		text += fmt.Sprintf(" tenant=%s (%s)", route.Tenant, route.Source)
	}
	if route.Within {
		text += " within"
	}
	if route.Cacheable {
		text += " cacheable"
	}
	if route.CacheFor != 0 {
		text += " cache=" + route.CacheFor.String()
	}
	if route.NoCache {
		text += " nocache"
	}
	if route.Unknown {
		text += " unknown"
	}
	text += "\nwhy: " + q.Why(route) + "\n"
	if g := q.Gathering(); route.Kind == Scatter || route.Kind == Several {
		text += shares(r, g) + gathering(g)
	}
	if s := q.Splitting(); route.Kind == ByRow {
		text += splitting(s)
	}
	return text
}

// shares writes what each shard runs that has a share.
func shares(r *Router, g *Gathering) string {
	text := ""
	for _, s := range g.Shares() {
		text += r.m.Shard(s.Shard).Name + ":"
		if s.SQL != "" {
			text += " " + s.SQL
		}
		for i, v := range s.Other {
			text += fmt.Sprintf(" [$%d = %s]", i+1, v)
		}
		for _, i := range s.Idle {
			text += fmt.Sprintf(" [no $%d]", i+1)
		}
		text += "\n"
	}
	if rows := g.Rows(); rows != nil {
		text += fmt.Sprintf("rows: %v\n", rows)
	}
	return text
}

// splitting writes how the rows of a COPY are read.
func splitting(s *Splitting) string {
	if s.Every {
		return "rows: to every shard; " + s.Format.String() + "\n"
	}
	text := fmt.Sprintf("rows: of %s by column %d, %q; %s", s.Table, s.At+1, s.Column, s.Format)
	if s.Fields > 0 {
		text += fmt.Sprintf(" of %d", s.Fields)
	}
	if s.Format != CopyBinary {
		text += fmt.Sprintf(" delimiter=%q null=%q", s.Delimiter, s.Null)
	}
	if s.Format == CopyCSV {
		text += fmt.Sprintf(" quote=%q escape=%q", s.Quote, s.Escape)
	}
	for name, value := range map[string]string{"default": s.Default, "encoding": s.Encoding} {
		if value != "" {
			text += fmt.Sprintf(" %s=%q", name, value)
		}
	}
	if s.Header {
		text += " header"
	}
	if s.asNull {
		text += " as-null"
	}
	if s.asNotNull {
		text += " as-not-null"
	}
	return text + "\n"
}

// foreseen writes a Foresight or the error.
func foreseen(r *Router, q *Query, env *Env) string {
	f, err := r.Foresee(q, env)
	if err != nil {
		return failure(err)
	}
	text := f.Kind.String()
	switch {
	case len(f.Waits) > 0:
		text += fmt.Sprintf(" by %v", f.Waits)
	case f.Kind == Single:
		text += " " + r.m.Shard(f.Shard).Name
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{{"if they agree", f.Agree}, {"session", f.Session}, {"unknown", f.Unknown}} {
		if flag.on {
			text += " " + flag.name
		}
	}
	return text + "\nwhy: " + q.Why(f.Route) + "\n"
}

// gathering writes what each shard runs and what makes the answer of it, as if all values were bigints.
func gathering(g *Gathering) string {
	text := ""
	var rows []Gathered
	for _, p := range g.Portions() {
		if g.Shares() == nil || g.Shares()[0].SQL == "" {
			text += "each: " + p.Each() + "\n"
		}
		cols := make([]GatheredColumn, 6)
		for i := range cols {
			cols[i] = GatheredColumn{Name: fmt.Sprint("n", i+1), OID: oidInt8, Type: "bigint"}
		}
		rows = append(rows, Gathered{cols[:width(p.Each(), len(cols))], []string{"n1", "n2", "n3", "n4", "n5", "n6"}})
	}
	if g.Whole() {
		return text
	}
	if m := g.Merging(); m != nil {
		text += fmt.Sprintf("or: %s\nmerged: %+v limit %+v offset %+v\n", m.Each(), m.Keys, m.Limit, m.Offset)
	}
	if g.Explains() != "" {
		return text + "then: " + g.Outline() + "\n"
	}
	final, err := g.Final(rows, 0)
	if err != nil {
		return text + failure(err)
	}
	for range rows {
		_, final, _ = strings.Cut(final, ") AS r(")
		_, final, _ = strings.Cut(final, "))")
	}
	return text + "then: " + strings.TrimPrefix(strings.TrimPrefix(final, ","), " ") + "\n"
}

// width is how many columns a query has; those of * are taken to be two.
func width(text string, most int) int {
	sel, _ := pgParse(text)
	for sel.GetLarg() != nil {
		sel = sel.GetLarg()
	}
	n := 0
	for _, t := range sel.GetTargetList() {
		if isStar(t.GetResTarget().GetVal()) {
			n++
		}
		n++
	}
	return min(n, most)
}

func failure(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return "not an *Error: " + err.Error() + "\n"
	}
	text := fmt.Sprintf("error %s: %s\n", e.Code, e.Message)
	if e.Position != 0 {
		text += fmt.Sprintf("position: %d\n", e.Position)
	}
	if e.Detail != "" {
		text += "detail: " + e.Detail + "\n"
	}
	if e.Hint != "" {
		text += "hint: " + e.Hint + "\n"
	}
	return text
}

func describeAll(q *Query, p Params) string {
	text := ""
	for i := range q.Statements() {
		text += describe(q, i, p)
	}
	return text
}

// describe writes what a Statement says, without what it does not.
func describe(q *Query, i int, p Params) string {
	st := &q.Statements()[i]
	var b strings.Builder
	fmt.Fprintf(&b, "%s", st.Verb)
	if st.Name != "" {
		fmt.Fprintf(&b, " name=%q", st.Name)
	}
	if st.Write {
		fmt.Fprintf(&b, " write=%q", st.WhyWrite)
	}
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"chain", st.Chain}, {"read-only", st.ReadOnly}, {"read-write", st.ReadWrite}, {"copy-in", st.CopyIn}, {"copy-out", st.CopyOut},
		{"no-block", st.NoBlock}, {"writes-unknown", st.WritesUnknown}, {"notifies", st.Notifies}, {"cacheable", st.Cacheable},
	} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	if st.Index != "" {
		fmt.Fprintf(&b, " index=%q on=%q", st.Index, st.IndexOn)
	}
	if st.Isolation != "" {
		fmt.Fprintf(&b, " isolation=%q", st.Isolation)
	}
	for bit, name := range []string{"temp", "lock", "cursor", "prepare", "setting", "function"} {
		if st.Hold&(1<<bit) != 0 {
			b.WriteString(" hold=" + name)
		}
		if st.Frees&(1<<bit) != 0 {
			b.WriteString(" frees=" + name)
		}
	}
	b.WriteString("\n")
	if len(st.Reads) > 0 {
		fmt.Fprintf(&b, "reads: %s\n", tableNames(st.Reads))
	}
	if len(st.Writes) > 0 {
		fmt.Fprintf(&b, "writes: %s\n", tableNames(st.Writes))
	}
	if !st.Cacheable && st.WhyNotCacheable != st.Verb.String() {
		fmt.Fprintf(&b, "not cached: %s\n", st.WhyNotCacheable)
	}
	changes, known := q.Changes(i, p)
	for _, c := range changes {
		fmt.Fprintf(&b, "change: %+v\n", c)
	}
	if !known {
		b.WriteString("changes unknown settings\n")
	}
	return b.String()
}

// TestErrorsHelp checks that a refusal says what to do.
func TestErrorsHelp(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	var q Query
	env := Env{}
	r.Analyse(&q, []byte("SELECT * FROM orders"), &env)
	_, err := r.Route(&q, nil, &env)
	var e *Error
	if !errors.As(err, &e) || e.Code != "0A000" || !strings.Contains(e.Hint, "orders.tenant_id") {
		t.Errorf("error %+v", err)
	}
}

// TestTenantOwned checks that a Route's tenant survives by Clone.
func TestTenantOwned(t *testing.T) {
	r := routerFor(t, "shardmap-text.yaml")
	var q Query
	env := Env{}
	text := []byte("SELECT * FROM orders WHERE tenant_id = 'acme'")
	r.Analyse(&q, text, &env)
	route, err := r.Route(&q, nil, &env)
	if err != nil {
		t.Fatal(err)
	}
	kept := route.Tenant.Clone()
	copy(text, strings.Repeat(" ", len(text)))
	if kept != shardmap.TextKey("acme") {
		t.Errorf("kept tenant is %q", kept)
	}
}
