package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-rounds", "7", "select", "tpcb"}, io.Discard)
	if err != nil || !o.quick || o.seconds != 1 || o.rounds != 7 || o.tenants != 200 || !slices.Equal(o.loads, []string{"select", "tpcb"}) {
		t.Errorf("options %+v, %v", o, err)
	}
	if o, err := parseOptions(nil, io.Discard); err != nil || o.seconds != 5 || o.rounds != 3 || o.tenants != 1000 {
		t.Errorf("options %+v, %v", o, err)
	}
	if _, err := parseOptions([]string{"-seconds", "-1"}, io.Discard); err == nil {
		t.Error("a measurement of no time is accepted")
	}
}

func TestChooseLoads(t *testing.T) {
	names := func(o options) []string {
		chosen, err := chooseLoads(o)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range chosen {
			names = append(names, l.name)
		}
		return names
	}
	if got := names(options{quick: true}); !slices.Equal(got, []string{"select", "tpcb", "connect", "idle"}) {
		t.Errorf("a quick run has %v", got)
	}
	if got := names(options{loads: []string{"connect", "select"}}); !slices.Equal(got, []string{"select", "connect"}) {
		t.Errorf("two loads that were asked for are %v", got)
	}
	if got := names(options{}); len(got) != len(loads()) {
		t.Errorf("a full run has %v", got)
	}
	if _, err := chooseLoads(options{loads: []string{"selects"}}); err == nil || !strings.Contains(err.Error(), "select, tpcb") {
		t.Errorf("an unknown load: %v, want an error that names those there are", err)
	}
}

// Every load has what the page needs, and compares with targets that take part in it.
func TestLoadsAreWhole(t *testing.T) {
	all := targets()
	for _, l := range loads() {
		if l.title == "" || l.about == "" || len(l.trials) == 0 || len(l.columns) == 0 || len(l.plots) == 0 {
			t.Errorf("load %s lacks something", l.name)
		}
		for _, name := range l.only {
			if !slices.ContainsFunc(all, func(t target) bool { return t.name == name }) {
				t.Errorf("load %s is for %s, which is no target", l.name, name)
			}
		}
		for _, c := range l.columns {
			if c.than != "" && !slices.ContainsFunc(all, func(t target) bool { return t.name == c.than && l.takes(t) }) {
				t.Errorf("load %s compares with %s, which takes no part in it", l.name, c.than)
			}
		}
	}
}

// A program that is missing is a line, not an error; nothing to measure is an error.
func TestMissingTargets(t *testing.T) {
	found, missing, err := chooseTargets(context.Background(), options{pgdrover: "/nowhere/pgdrover", targets: "direct,pgdrover"})
	if err != nil || len(found) != 1 || found[0].name != "direct" || len(missing) != 1 || !strings.Contains(missing[0], "PgDrover") {
		t.Errorf("found %v, missing %v, %v", found, missing, err)
	}
	if _, _, err := chooseTargets(context.Background(), options{pgdrover: "/nowhere/pgdrover", targets: "pgdrover"}); err == nil {
		t.Error("a run of nothing is begun")
	}
	if _, _, err := chooseTargets(context.Background(), options{targets: "pgbounce"}); err == nil {
		t.Error("an unknown target is accepted")
	}
}

func TestWhatTargetsLack(t *testing.T) {
	old := foundTarget{target: pgbouncer(), printed: "PgBouncer 1.18.0"}
	current := foundTarget{target: pgbouncer(), printed: "PgBouncer 1.24.1"}
	if old.cannot(trial{protocol: prepared}) == "" || old.cannot(trial{protocol: simple}) != "" || current.cannot(trial{protocol: prepared}) != "" {
		t.Error("PgBouncer prepares statements from 1.21 on, and does all else before")
	}
	if (foundTarget{target: pgpool()}).cannot(trial{clients: pgpoolChildren + 1}) == "" {
		t.Error("Pgpool-II takes more clients than it has processes")
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := bench(context.Background(), []string{"-list"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"select", "pgdrover-2", "pgbouncer"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list lacks %s", want)
		}
	}
}
