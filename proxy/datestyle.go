package proxy

import "strings"

// DateStyle has two parts, the style and the order of day, month and year, and a value may say one of them only: the other stays as it
// was (check_datestyle in PostgreSQL's datetime.c). A backend that hears of the last value alone would have its own default for that.

const dateStyle = "datestyle"

// onto is e, a change of DateStyle, with what it does not say as old has it.
func (e setting) onto(old setting) setting {
	style, order := dateStyleParts(e.value)
	if style != "" && order != "" || style == "" && order == "" {
		return e // all of it, or DEFAULT, or nothing that is known
	}
	oldStyle, oldOrder := dateStyleParts(old.value)
	if style == "" {
		style = oldStyle
	}
	if order == "" {
		order = oldOrder
	}
	if style == "" || order == "" {
		return e
	}
	e.value = style + ", " + order
	e.sql = "SET " + dateStyle + " TO " + quoteLiteral(e.value)
	return e
}

// dateStyleParts are the parts that a value of DateStyle says; empty where it does not.
func dateStyleParts(value string) (style, order string) {
	german := false
	for word := range strings.FieldsFuncSeq(strings.ToLower(value), func(r rune) bool { return r == ',' || r == ' ' || r == '"' || r == '\'' }) {
		switch {
		case word == "default":
			return "", ""
		case word == "iso", word == "sql", word == "german":
			style, german = word, word == "german"
		case strings.HasPrefix(word, "postgres"):
			style, german = "postgres", false
		case word == "ymd":
			order = "ymd"
		case word == "dmy", strings.HasPrefix(word, "euro"):
			order = "dmy"
		case word == "mdy", word == "us", strings.HasPrefix(word, "noneuro"):
			order = "mdy"
		}
	}
	if german && order == "" {
		order = "dmy"
	}
	return style, order
}
