package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// workloadReport is what route says of many statements.
type workloadReport struct {
	Shards     int               `json:"shards"`
	Calls      int64             `json:"calls"`
	Statements int               `json:"statements"`
	Routes     []workloadShare   `json:"routes"`
	Reasons    []*workloadReason `json:"reasons"`
	List       []workloadLine    `json:"list,omitempty"`
}

// workloadShare is how much has one outcome.
type workloadShare struct {
	Route          outcome `json:"route"`
	Calls          int64   `json:"calls"`
	CallShare      float64 `json:"call_share"` // from 0 to 1
	Statements     int     `json:"statements"`
	StatementShare float64 `json:"statement_share"`
}

// workloadReason is what several statements have the same outcome for.
type workloadReason struct {
	Route      outcome `json:"route"`
	Reason     string  `json:"reason"`
	SQLState   string  `json:"sqlstate,omitempty"`
	Hint       string  `json:"hint,omitempty"`
	Calls      int64   `json:"calls"`
	Statements int     `json:"statements"`
	Example    string  `json:"example"`
	At         string  `json:"at"`
}

// workloadLine is one statement of the list.
type workloadLine struct {
	Calls     int64   `json:"calls"`
	Route     outcome `json:"route"`
	Shard     string  `json:"shard,omitempty"`
	Why       string  `json:"why"`
	Statement string  `json:"statement"`
	At        string  `json:"at"`
}

// report adds up what was counted, with a list of all statements if that is asked for. The shapes are sorted.
func (l *workload) report(list bool) workloadReport {
	r := workloadReport{
		Shards: l.judge.r.Map().ShardCount(), Statements: len(l.shapes), Routes: []workloadShare{}, Reasons: []*workloadReason{},
	}
	var all [outcomes]workloadShare
	for _, s := range l.shapes {
		r.Calls += s.calls
		all[s.outcome].Calls += s.calls
		all[s.outcome].Statements++
		r.explain(s)
		if list {
			r.List = append(r.List, workloadLine{s.calls, s.outcome, s.shard, cmp.Or(s.why, s.reason()), s.text, s.at})
		}
	}
	for i, share := range all {
		if share.Statements == 0 {
			continue
		}
		share.Route = outcome(i)
		share.CallShare = fraction(share.Calls, r.Calls)
		share.StatementShare = fraction(int64(share.Statements), int64(r.Statements))
		r.Routes = append(r.Routes, share)
	}
	slices.SortStableFunc(r.Reasons, func(a, b *workloadReason) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(b.Statements, a.Statements))
	})
	return r
}

// explain counts a shape for its reason. The first that comes is the example.
func (r *workloadReport) explain(s *shape) {
	if !s.outcome.explained() {
		return
	}
	reason := s.reason()
	at := slices.IndexFunc(r.Reasons, func(known *workloadReason) bool { return known.Route == s.outcome && known.Reason == reason })
	if at < 0 {
		at = len(r.Reasons)
		known := &workloadReason{Route: s.outcome, Reason: reason, Example: s.text, At: s.at}
		if s.denied != nil {
			known.SQLState, known.Hint = s.denied.SQLState, s.denied.Hint
		}
		r.Reasons = append(r.Reasons, known)
	}
	r.Reasons[at].Calls += s.calls
	r.Reasons[at].Statements++
}

// print writes the report for a person.
func (r workloadReport) print(w io.Writer) error {
	rows := [][]string{{"", "calls", "", "statements", ""}}
	for _, s := range r.Routes {
		rows = append(rows, []string{s.Route.words(), strconv.FormatInt(s.Calls, 10), percent(s.CallShare), strconv.Itoa(s.Statements), percent(s.StatementShare)})
	}
	rows = append(rows, []string{"all", strconv.FormatInt(r.Calls, 10), "", strconv.Itoa(r.Statements), ""})
	if err := figures(w, rows); err != nil {
		return err
	}
	if r.Shards == 1 {
		fmt.Fprint(w, "\nThe map has one shard, where everything goes. With a second one this shows what sharding would do.\n")
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "\n%s: %s\n", reason.Route.words(), reason.Reason)
		lines := [][]string{{"  calls", fmt.Sprintf("%d of %s", reason.Calls, plural(reason.Statements, "statement"))}}
		lines = appendIf(appendIf(lines, "  sqlstate", reason.SQLState), "  hint", reason.Hint)
		lines = append(lines, []string{"  example", reason.At + ": " + oneLine(reason.Example)})
		if err := table(w, lines...); err != nil {
			return err
		}
	}
	return r.printList(w)
}

// printList writes the statements one by one.
func (r workloadReport) printList(w io.Writer) error {
	for _, s := range r.List {
		fmt.Fprintf(w, "\n%s: %s\n", s.At, oneLine(s.Statement))
		rows := [][]string{{"  calls", strconv.FormatInt(s.Calls, 10)}, {"  route", s.Route.words()}}
		if err := table(w, appendIf(appendIf(rows, "  shard", s.Shard), "  why", s.Why)...); err != nil {
			return err
		}
	}
	return nil
}

// figures prints rows whose first column is words and the others numbers, which end where those above them do.
func figures(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// fraction is the share that part has of whole, to six digits.
func fraction(part, whole int64) float64 {
	return math.Round(float64(part)/float64(max(whole, 1))*1e6) / 1e6
}

// percent writes a share so that what is not nothing and not all does not look so.
func percent(share float64) string {
	switch {
	case share > 0 && share < 0.001:
		return "<0.1%"
	case share < 1 && share > 0.999:
		return ">99.9%"
	}
	return fmt.Sprintf("%.1f%%", 100*share)
}
