package router

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestForesightHolds checks that statements go where it was foreseen when their parameters have values: all
// statements of the routing cases, with values that all differ and with values that are all the same.
func TestForesightHolds(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	var differ, same boundValues
	for i := range 40 {
		differ = append(differ, boundValue{value: fmt.Append(nil, 100+i)})
		same = append(same, boundValue{value: []byte("42")})
	}
	waited := 0
	for _, text := range corpus(t) {
		var q Query
		r.Analyse(&q, []byte(text), &Env{})
		f, err := r.Foresee(&q, &Env{})
		if len(q.Statements()) != 1 || codeOf(err) == codeNoTable {
			continue // Foresee is not for it; the relation is an error that only the server would say
		}
		for _, values := range []boundValues{differ, same} {
			route, routeErr := r.Route(&q, values, &Env{})
			if fault := f.against(err, route, routeErr, values); fault != "" {
				t.Errorf("%s\n%s", text, fault)
			}
		}
		if len(f.Waits) > 0 {
			waited++
		}
	}
	if waited < 10 {
		t.Errorf("only %d statements wait for a parameter", waited)
	}
}

// against says where a foresight, or its error, is not what came; empty: nowhere.
func (f *Foresight) against(err error, route Route, routeErr error, values boundValues) string {
	switch {
	case routeErr != nil && (f.Agree || strings.HasPrefix(codeOf(routeErr), "22")): // the values, which nobody foresees
		return ""
	case (err == nil) != (routeErr == nil):
		return fmt.Sprintf("foreseen: %v; then: %v", err, routeErr)
	case err != nil || f.Agree:
		return ""
	case f.Kind != route.Kind, len(f.Waits) == 0 && f.Shard != route.Shard:
		return fmt.Sprintf("foreseen: %v on %d; then: %v on %d", f.Kind, f.Shard, route.Kind, route.Shard)
	}
	for _, i := range f.Waits {
		if got := strings.TrimPrefix(route.Tenant.String(), "-"); got != string(values[i-1].value) {
			return fmt.Sprintf("foreseen: the tenant of $%d, which is %s; then: %s", i, values[i-1].value, got)
		}
	}
	return ""
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
