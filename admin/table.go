package admin

import (
	"strconv"
	"time"

	"github.com/pgdrover/pgdrover/proxy"
)

// column is one column of an answer: its name, and its text in the row of an item.
type column[T any] struct {
	name string
	text func(T) string
}

// tabulate makes the answer to a SHOW, one row for each item.
func tabulate[T any](columns []column[T], items []T) proxy.Table {
	t := proxy.Table{Tag: "SHOW", Rows: make([][]string, len(items))}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.name)
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

// seconds shows a duration, rounded to milliseconds.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// moment shows a time; empty for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}
