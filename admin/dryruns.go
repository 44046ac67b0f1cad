package admin

import (
	"maps"
	"slices"

	"github.com/pgdrover/pgdrover/proxy"
)

// dryRow is a line of SHOW DRY_RUN.
type dryRow struct {
	database   string
	statements uint64
	verdict    string
	reason     proxy.DryReason
}

// dryRuns answers SHOW DRY_RUN: for each database with a candidate a row for each verdict, and one for each reason of those that have one.
func dryRuns(v *view) proxy.Table {
	var rows []dryRow
	for _, d := range v.databases {
		if d.dry.Shards == 0 {
			continue
		}
		for _, verdict := range slices.Sorted(maps.Keys(d.dry.Counts)) {
			rows = append(rows, dryRow{database: d.name, statements: d.dry.Counts[verdict], verdict: verdict})
		}
		for _, r := range d.dry.Reasons {
			rows = append(rows, dryRow{d.name, r.Statements, r.Verdict, r})
		}
	}
	return tabulate([]column[dryRow]{
		word("database", func(r dryRow) string { return r.database }),
		word("verdict", func(r dryRow) string { return r.verdict }),
		numText("statements", func(r dryRow) string { return number(r.statements) }),
		word("reason", func(r dryRow) string { return r.reason.Message }),
		word("hint", func(r dryRow) string { return r.reason.Hint }),
		word("sqlstate", func(r dryRow) string { return r.reason.Code }),
		word("example", func(r dryRow) string { return r.reason.Example }),
	}, rows)
}
