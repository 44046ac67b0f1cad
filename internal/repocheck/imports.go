package repocheck

import (
	"slices"
	"strconv"
	"strings"
)

// arrows lists which packages of this module a package may import outside its tests. A folder below a listed one
// follows the same line. A package that is not listed may import none, so a new package starts as a leaf.
var arrows = map[string][]string{
	"cmd":                {"admin", "proxy", "router", "pool", "cache", "shardmap", "pgwire", "internal/task", "internal/yamlfile", "internal/pgcluster"},
	"admin":              {"proxy", "router", "pool", "cache", "shardmap", "pgwire"},
	"proxy":              {"router", "pool", "cache", "pgwire", "shardmap", "internal/task"},
	"router":             {"shardmap"},
	"pool":               {"shardmap", "pgwire", "internal/task"},
	"shardmap":           {"internal/yamlfile"},
	"pgwire":             nil,
	"cache":              nil,
	"internal/task":      nil,
	"internal/yamlfile":  nil,
	"internal/casefile":  nil,
	"internal/repocheck": nil,
	"internal/pgtest":    {"pgwire", "internal/task"},
	"internal/child":     nil,
	"internal/pgcluster": {"internal/child"},
	"bench":              {"internal/pgcluster", "internal/child"},
	"bench/floor":        {"internal/task"},
}

// door is a place that may import an outside module: a folder, or one file of it.
type door struct {
	module string   // import path; paths below it go through the same door unless they have a door of their own
	places []string // none: tests only
}

// doors lists the outside modules. The longest module that is a prefix of an import path decides. What has no door
// may be imported by nobody, tests included: a module comes in together with its line here and in docs/dependencies.md.
var doors = []door{
	{"github.com/jackc/pgx/v5", nil},
	{"github.com/jackc/pgx/v5/pgproto3", []string{"pgwire"}},
	{"github.com/jackc/pgx/v5/pgconn", []string{"pool", "internal/pgcluster"}},
	{"github.com/jackc/pgproto3/v2", nil},
	{"github.com/buraksezer/consistent", []string{"shardmap/ring.go"}},
	{"github.com/cespare/xxhash/v2", []string{"shardmap/ring.go", "cache"}},
	{"github.com/hashicorp/golang-lru/v2", []string{"cache"}},
	{"github.com/hashicorp/golang-lru/v2/simplelru", []string{"cache", "router"}},
	{"github.com/redis/rueidis", []string{"cache"}},
	{"github.com/pganalyze/pg_query_go/v6", []string{"router/parse.go", "router/unparse.go"}},
	{"go.yaml.in/yaml/v4", []string{"internal/yamlfile"}},
	{"github.com/prometheus/client_golang", []string{"admin"}},
	{"github.com/spf13/cobra", []string{"cmd"}},
	{"github.com/golang-jwt/jwt/v5", []string{"proxy/jwt.go"}},
	{"github.com/xdg-go/scram", []string{"proxy/scram.go", "pool/scram.go"}},
	{"github.com/fsnotify/fsnotify", []string{"cmd"}},
	{"github.com/alicebob/miniredis/v2", []string{"internal/pgcluster"}},
	{"golang.org/x/term", []string{"cmd"}},
	{"golang.org/x/sys", []string{"internal/task", "internal/pgcluster", "pool"}},
}

// pureForbidden are packages of the standard library that router may not import: it decides and does no I/O.
var pureForbidden = []string{"net", "context", "os", "syscall", "io/fs"}

// Imports checks the arrows between packages, the doors of outside modules and the purity of router.
func Imports(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		for _, spec := range file.AST.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has taken it, so this cannot be
			}
			if text := importFault(file, target); text != "" {
				found = append(found, file.At(spec.Pos(), "%s", text))
			}
		}
	}
	return found
}

// importFault says what is wrong with file importing target, or nothing.
func importFault(file *GoFile, target string) string {
	own, inModule := strings.CutPrefix(target, modulePath+"/")
	switch {
	case target == "C" && !file.Test:
		return `import "C": cgo is behind the parser's module only`
	case inModule && !file.Test && !arrowAllowed(file.Dir(), own):
		return file.Dir() + " must not import " + own + ": see the arrows in ARCHITECTURE.md"
	case inModule:
		return ""
	case strings.Contains(strings.SplitN(target, "/", 2)[0], "."):
		return doorFault(file, target)
	case under(file.Path, "router") && !file.Test && forbiddenInPure(target):
		return "router must not import " + target + ": it is a function from a statement to a Route"
	}
	return ""
}

func arrowAllowed(from, to string) bool {
	if from == to {
		return true
	}
	best := ""
	for name := range arrows {
		if under(from, name) && len(name) > len(best) {
			best = name
		}
	}
	return slices.ContainsFunc(arrows[best], func(allowed string) bool { return under(to, allowed) })
}

// doorOf is the door of an import path; its module is "" when there is none.
func doorOf(target string) door {
	best := door{}
	for _, d := range doors {
		if under(target, d.module) && len(d.module) > len(best.module) {
			best = d
		}
	}
	return best
}

func doorFault(file *GoFile, target string) string {
	best := doorOf(target)
	allowed := slices.ContainsFunc(best.places, func(place string) bool { return under(file.Path, place) })
	switch {
	case best.module == "":
		return target + " has no door: add one to repocheck's list and to docs/dependencies.md, or do without the module"
	case file.Test, under(file.Path, "bench"), allowed:
		return ""
	case len(best.places) == 0:
		return target + " is for tests only"
	}
	return target + " comes in through " + strings.Join(best.places, " and ") + " only"
}

func forbiddenInPure(target string) bool {
	return slices.ContainsFunc(pureForbidden, func(name string) bool { return under(target, name) })
}

// under reports whether name is dir or lies below it.
func under(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}
