package router

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/shardmap"
)

// tenantSpot stands in a search path for the schema of a tenant, whoever that
// is: so all tenants share the analysis of a statement. No name in PostgreSQL
// holds a zero byte.
const tenantSpot = "\x00tenant"

// searchPath is a session's search path as a Query has read it last, where each
// tenant has a schema.
type searchPath struct {
	m       *shardmap.Map // that it was read by; nil: none was
	setting string        // as the session has it
	key     string        // the same with spots for tenants
	tenants []shardmap.Key
}

// follow reads the session's search path, if it is another than before, and
// returns what it is to the analysis of a statement.
func (q *Query) follow(env *Env) string {
	if !q.r.m.BySchema() {
		return env.SearchPath
	}
	return q.followTenants(env)
}

// followTenants is follow where each tenant has a schema.
func (q *Query) followTenants(env *Env) string {
	m := q.r.m
	if q.path.m != m || q.path.setting != env.SearchPath {
		q.path = readPath(m, strings.Clone(env.SearchPath))
	}
	return q.path.key
}

// readPath finds the tenants' schemas in a search path.
func readPath(m *shardmap.Map, setting string) searchPath {
	p := searchPath{m: m, setting: setting, key: setting}
	var list []string
	for _, s := range splitNames(setting) {
		k, ok := m.TenantOf(s)
		if !ok || s == "$user" {
			list = append(list, `"`+strings.ReplaceAll(s, `"`, `""`)+`"`)
			continue
		}
		if len(p.tenants) == 0 {
			list = append(list, `"`+tenantSpot+`"`)
		}
		p.tenants = append(p.tenants, k)
	}
	if len(p.tenants) > 0 {
		p.key = strings.Join(list, ",")
	}
	return p
}

// PathTenants returns the tenants whose schemas are in a setting of search_path.
func PathTenants(m *shardmap.Map, setting string) []shardmap.Key { return readPath(m, setting).tenants }

// Fits reports whether q was analysed by r, for the session's user, and by the names that the session's
// search path has now: if not, it is to be analysed again before it is routed.
func (q *Query) Fits(r *Router, env *Env) bool {
	return q.r == r && q.user == env.User && q.tpl.searchPath == q.follow(env)
}

// ReadAs reports whether strings in the text of q mean what they meant when it was analysed: it has no backslash, or
// the session's standard_conforming_strings is what it was.
func (q *Query) ReadAs(env *Env) bool {
	return q.plain == env.PlainBackslash || bytes.IndexByte(q.text, '\\') < 0
}

// pathTenants adds the tenants whose schemas are in the session's search path.
// Where there are several, any of them may have what a name means.
func (q *Query) pathTenants(t *tally) *Error {
	for _, k := range q.path.tenants {
		if err := t.add(k, false); err != nil {
			return err
		}
	}
	return nil
}

// byPath places a statement that nothing else places with the tenant whose
// schema is in the search path: names in it may be looked up there. False: there
// is none, or there are several on several shards.
func (q *Query) byPath(t *tally, route *Route) bool {
	shard := -1
	for _, k := range q.path.tenants {
		at := t.m.Locate(k)
		if shard >= 0 && shard != at {
			return false
		}
		shard = at
	}
	if shard < 0 {
		return false
	}
	route.single(shard, bySearchPath)
	if len(q.path.tenants) == 1 {
		route.Tenant, route.Source = q.path.tenants[0], SourcePath
	}
	return true
}

// configs are the settings that a statement changes besides those that its text says alone.
type configs struct {
	names  []int32 // slots of their names
	any    bool    // there are others
	unseen bool    // what it changes is not known from the text
}

// configures notes the name of a setting, where each tenant has a schema.
func (b *binder) configures(c *callNode) {
	if !b.r.m.BySchema() || len(c.GetArgs()) == 0 {
		return
	}
	slot, ok := b.constantSlot(c.GetArgs()[0])
	if !ok {
		b.facts.configsAny = true
		return
	}
	b.facts.configs = append(b.facts.configs, slot)
}

// hidesPath reports a statement after which the search path may be another than the session is known to have.
func (q *Query) hidesPath(c *configs, p Params) bool {
	if !c.unseen || c.any {
		return c.unseen && q.r.m.BySchema()
	}
	return slices.ContainsFunc(c.names, func(at int32) bool {
		return q.anyIn(at, func(s slot) bool {
			name, ok := q.nameIn(s, p)
			return !ok || strings.EqualFold(string(name), "search_path")
		})
	})
}

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

// splitNames reads a comma-separated list of identifiers as PostgreSQL's
// SplitIdentifierString does: what is not quoted ends at a blank or comma only.
// It reads up to a mistake, which PostgreSQL does not accept in a setting.
func splitNames(s string) []string {
	var names []string
	for rest := strings.TrimLeft(s, pathBlanks); rest != ""; {
		var name string
		if rest[0] == '"' {
			closed := false
			if name, rest, closed = cutQuoted(rest[1:]); !closed {
				return names
			}
		} else {
			end := strings.IndexAny(rest, pathBlanks+",")
			if end < 0 {
				end = len(rest)
			}
			name, rest = foldASCII(rest[:end]), rest[end:]
		}
		rest = strings.TrimLeft(rest, pathBlanks)
		if name == "" || rest != "" && rest[0] != ',' {
			return names
		}
		names = append(names, clipName(name))
		if rest != "" {
			rest = strings.TrimLeft(rest[1:], pathBlanks)
		}
	}
	return names
}

// pathBlanks are what scanner_isspace() knows.
const pathBlanks = " \t\n\r\f\v"

// cutQuoted reads the rest of a quoted identifier.
func cutQuoted(s string) (name, rest string, closed bool) {
	for {
		part, after, found := strings.Cut(s, `"`)
		name += part
		if !found {
			return name, "", false
		}
		if !strings.HasPrefix(after, `"`) {
			return name, after, true
		}
		name, s = name+`"`, after[1:]
	}
}

func foldASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower[c]
	}
	return string(b)
}

// clipName cuts an identifier as PostgreSQL does, between characters.
func clipName(s string) string {
	const most = 63
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
