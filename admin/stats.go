package admin

import (
	"time"

	"github.com/pgdrover/pgdrover/proxy"
)

// used is what the clients of a database have done, as PgBouncer's SHOW STATS has it.
type used struct {
	database string
	total    proxy.Usage
	recent   proxy.Usage // within period
	period   time.Duration
}

// usage lists all databases of a view.
func (v *view) usage() []used {
	list := make([]used, 0, len(v.databases))
	for _, d := range v.databases {
		list = append(list, used{d.name, v.total[d.name], v.recent[d.name], v.period})
	}
	return list
}

// measure is one number of SHOW STATS: how often something was done, or for how long in microseconds.
type measure struct {
	name, average string
	total         func(proxy.Usage) int64
	each          func(proxy.Usage) int64 // the average is for each of these; nil: for each second
}

func measures() []measure {
	transactions := func(u proxy.Usage) int64 { return u.Transactions }
	statements := func(u proxy.Usage) int64 { return u.Statements }
	acquired := func(u proxy.Usage) int64 { return u.Acquired }
	return []measure{
		{"server_assignment_count", "server_assignment_count", acquired, nil},
		{"xact_count", "xact_count", transactions, nil},
		{"query_count", "query_count", statements, nil},
		{"received", "recv", func(u proxy.Usage) int64 { return u.Received }, nil},
		{"sent", "sent", func(u proxy.Usage) int64 { return u.Sent }, nil},
		{"xact_time", "xact_time", func(u proxy.Usage) int64 { return micros(u.TransactionTime) }, transactions},
		{"query_time", "query_time", func(u proxy.Usage) int64 { return micros(u.StatementTime) }, statements},
		{"wait_time", "wait_time", func(u proxy.Usage) int64 { return micros(u.Waited) }, acquired},
		{"client_parse_count", "client_parse_count", func(u proxy.Usage) int64 { return u.Parses }, nil},
		{"server_parse_count", "server_parse_count", func(u proxy.Usage) int64 { return u.BackendParses }, nil},
		{"bind_count", "bind_count", func(u proxy.Usage) int64 { return u.Binds }, nil},
	}
}

// averageOf is the average of a measure within the last period.
func (m measure) averageOf(u used) int64 {
	sum := m.total(u.recent)
	if m.each == nil {
		return int64(float64(sum) / max(u.period.Seconds(), 1))
	}
	if n := m.each(u.recent); n > 0 {
		return sum / n
	}
	return 0
}

// bytesWord is what SHOW STATS_TOTALS and SHOW STATS_AVERAGES call the measures of bytes.
func (m measure) bytesWord() string {
	switch m.name {
	case "received", "sent":
		return "bytes_" + m.name
	}
	return m.name
}

// stats answers SHOW STATS, with the columns of PgBouncer: times are in microseconds.
func stats(v *view) proxy.Table {
	columns := []column[used]{word("database", func(u used) string { return u.database })}
	for _, m := range measures() {
		columns = append(columns, num("total_"+m.name, func(u used) int64 { return m.total(u.total) }))
	}
	for _, m := range measures() {
		columns = append(columns, num("avg_"+m.average, m.averageOf))
	}
	return tabulate(columns, v.usage())
}

// statsTotals answers SHOW STATS_TOTALS.
func statsTotals(v *view) proxy.Table {
	columns := []column[used]{word("database", func(u used) string { return u.database })}
	for _, m := range measures() {
		columns = append(columns, num(m.bytesWord(), func(u used) int64 { return m.total(u.total) }))
	}
	return tabulate(columns, v.usage())
}

// statsAverages answers SHOW STATS_AVERAGES.
func statsAverages(v *view) proxy.Table {
	columns := []column[used]{word("database", func(u used) string { return u.database })}
	for _, m := range measures() {
		columns = append(columns, num(m.bytesWord(), m.averageOf))
	}
	return tabulate(columns, v.usage())
}

// totals answers SHOW TOTALS: the sums over all databases.
func totals(v *view) proxy.Table {
	type total struct {
		name  string
		value int64
	}
	var list []total
	for _, m := range measures() {
		sum := total{name: "total_" + m.name}
		for _, u := range v.usage() {
			sum.value += m.total(u.total)
		}
		list = append(list, sum)
	}
	return tabulate([]column[total]{
		word("name", func(t total) string { return t.name }),
		num("value", func(t total) int64 { return t.value }),
	}, list)
}
