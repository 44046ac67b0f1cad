package main

import (
	"fmt"
	"math"
	"strings"
)

// row is a target in tables and plots.
type row struct{ name, title, colour string }

// table writes a trial as Markdown. Targets that have no sample have no row.
func (t trialResult) table(rows []row, columns []column) string {
	var text strings.Builder
	text.WriteString("| |")
	for _, c := range columns {
		fmt.Fprintf(&text, " %s |", c.heading)
	}
	text.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, r := range rows {
		if len(t.samples[r.name]) == 0 {
			continue
		}
		fmt.Fprintf(&text, "| %s |", r.title)
		for _, c := range columns {
			fmt.Fprintf(&text, " %s |", figure(t.cell(r.name, c), c.digits))
		}
		text.WriteString("\n")
	}
	return text.String()
}

// cell is the median over rounds of what a column asks of a target; NaN where there is none.
func (t trialResult) cell(name string, c column) float64 {
	own := t.samples[name]
	switch {
	case c.than == "":
		return medianOf(own, c.metric)
	case c.than == name && c.minus:
		return math.NaN()
	case c.minus:
		return medianDifference(own, t.samples[c.than], c.metric)
	}
	return medianRatio(own, t.samples[c.than], c.metric)
}

// chart is the plot of one metric, a group for each trial.
func (r result) chart(rows []row, m metric) chart {
	c := chart{title: r.load.title + ": " + string(m)}
	for _, t := range r.trials {
		g := group{title: t.trial.name}
		for _, row := range rows {
			if value := medianOf(t.samples[row.name], m); drawn(value) {
				g.bars = append(g.bars, bar{row.title, value, row.colour})
			}
		}
		if len(g.bars) > 0 {
			c.groups = append(c.groups, g)
		}
	}
	return c
}
