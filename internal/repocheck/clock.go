package repocheck

import (
	"go/ast"
	"slices"
)

// clockless are the names of package time that read no clock and start no timer.
var clockless = []string{
	"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "ParseDuration",
	"Time", "Date", "UTC", "Unix", "UnixMilli", "UnixMicro", "Parse", "RFC3339", "RFC3339Nano", "Month", "Weekday",
}

// Clock checks that router never asks for the time of day: the same statement must give the same Route at any time.
func Clock(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Package("router") {
		names := importNames(file)
		ast.Inspect(file.AST, func(node ast.Node) bool {
			pkg, name, ok := qualified(node, names)
			if ok && pkg == "time" && !slices.Contains(clockless, name) {
				found = append(found, file.At(node.Pos(), "time.%s in router: a Route must not depend on the clock", name))
			}
			return true
		})
	}
	return found
}
