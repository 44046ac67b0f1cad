package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a plot of horizontal bars in groups, to be read from the left.
type chart struct {
	title  string
	groups []group
}

// group is the bars that are compared with each other.
type group struct {
	title string
	bars  []bar
}

// bar is one value; what is no number has no bar.
type bar struct {
	label  string
	value  float64
	colour string
}

// Sizes in pixels.
const (
	chartWidth  = 820
	labelWidth  = 190
	valueWidth  = 90
	barHeight   = 15
	rowHeight   = 20
	groupHeight = 26
	topHeight   = 40
)

// colours tell targets apart, in the order of targets; they are readable on white.
func colours() []string {
	return []string{"#5b6770", "#1f6feb", "#0b3d91", "#58a6ff", "#d1742f", "#8a5a9e", "#2e8b57", "#7fbf9a", "#b8860b", "#a33b3b", "#4f8a8b", "#9a9a9a"}
}

// svg draws the chart as an SVG document of its own.
func (c chart) svg() string {
	height, most := topHeight, 0.0
	for _, g := range c.groups {
		height += groupHeight + rowHeight*len(g.bars)
		for _, b := range g.bars {
			if drawn(b.value) {
				most = max(most, b.value)
			}
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		chartWidth, height+10, chartWidth, height+10)
	fmt.Fprintf(&text, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, height+10)
	fmt.Fprintf(&text, `<text x="10" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", html.EscapeString(c.title))
	y := topHeight
	for _, g := range c.groups {
		fmt.Fprintf(&text, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+16, html.EscapeString(g.title))
		y += groupHeight
		for _, b := range g.bars {
			b.draw(&text, y, most)
			y += rowHeight
		}
	}
	text.WriteString("</svg>\n")
	return text.String()
}

// draw draws one bar whose length is its part of the longest.
func (b bar) draw(text *strings.Builder, y int, most float64) {
	fmt.Fprintf(text, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, y+12, html.EscapeString(b.label))
	if !drawn(b.value) {
		fmt.Fprintf(text, `<text x="%d" y="%d" fill="#888888">none</text>`+"\n", labelWidth, y+12)
		return
	}
	length := 0.0
	if most > 0 {
		length = max(b.value, 0) / most * (chartWidth - labelWidth - valueWidth)
	}
	fmt.Fprintf(text, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", labelWidth, y, length, barHeight, b.colour)
	fmt.Fprintf(text, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+length+6, y+12, number(b.value))
}

func drawn(value float64) bool { return !math.IsNaN(value) && !math.IsInf(value, 0) }

// number writes a value with three digits that count, without an exponent.
func number(value float64) string {
	if value == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(value)))))
	return figure(value, digits)
}

// figure writes a value with so many digits after the point, its thousands parted; "–" for what is no number.
func figure(value float64, digits int) string {
	if !drawn(value) {
		return "–"
	}
	whole, fraction, _ := strings.Cut(fmt.Sprintf("%.*f", digits, math.Abs(value)), ".")
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if value < 0 {
		return "-" + whole
	}
	return whole
}
