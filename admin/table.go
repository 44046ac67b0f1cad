package admin

import (
	"strconv"
	"time"

	"github.com/pgdrover/pgdrover/proxy"
)

// column is one column of an answer, and its text in the row of an item.
type column[T any] struct {
	proxy.Column
	text func(T) string
}

// word is a column of text.
func word[T any](name string, text func(T) string) column[T] {
	return column[T]{proxy.Column{Name: name}, text}
}

// num is a column of whole numbers.
func num[T any, N int | int64 | uint32 | uint64](name string, n func(T) N) column[T] {
	return column[T]{proxy.Column{Name: name, Number: true}, func(item T) string { return number(n(item)) }}
}

// flag is a column of PgBouncer's for yes and no: 1 and 0.
func flag[T any](name string, yes func(T) bool) column[T] {
	return num(name, func(item T) int {
		if yes(item) {
			return 1
		}
		return 0
	})
}

// none is a column of PgBouncer's for a number that PgDrover does not have: NULL.
func none[T any](name string) column[T] {
	return column[T]{proxy.Column{Name: name, Number: true}, func(T) string { return "" }}
}

// numText is a column of whole numbers, NULL where the text is empty.
func numText[T any](name string, text func(T) string) column[T] {
	return column[T]{proxy.Column{Name: name, Number: true}, text}
}

// zero is a column of PgBouncer's for a number that is always 0 here.
func zero[T any](name string) column[T] { return num(name, func(T) int { return 0 }) }

// tabulate makes the answer to a SHOW, one row for each item.
func tabulate[T any](columns []column[T], items []T) proxy.Table {
	t := proxy.Table{Tag: "SHOW", Rows: make([][]string, len(items))}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.Column)
		for i, item := range items {
			t.Rows[i] = append(t.Rows[i], c.text(item))
		}
	}
	return t
}

func number[N int | int64 | uint32 | uint64](n N) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// millis shows seconds as milliseconds.
func millis(seconds float64) string { return strconv.FormatFloat(seconds*1000, 'f', 3, 64) }

// micros shows a duration in whole microseconds.
func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }

// seconds shows a duration, rounded to milliseconds.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// moment shows a time; empty for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}
