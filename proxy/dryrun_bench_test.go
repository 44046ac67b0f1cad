package proxy

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// BenchmarkDryRun is what a dry run costs: the processor time of this process, which is client and proxy, for a point select with a candidate and
// without, in turns. The differences between two turns, of which the median is reported, are the dry run's.
func BenchmarkDryRun(b *testing.B) {
	for _, mode := range []string{"simple_protocol", "cache_statement"} {
		b.Run(mode, func(b *testing.B) {
			r := startRig(b, pgcluster.Test(b, pgcluster.Config{Shards: 1}), rigOptions{size: 3})
			conn := r.connect("default_query_exec_mode=" + mode)
			without, with := *r.db.options(), *r.db.options()
			with.DryRun = candidate(b, r.cluster.Database)
			turn := func(o Options) time.Duration {
				r.db.Adjust(o)
				const queries = 1000
				from := processorTime(b)
				for range queries {
					if _, err := conn.Exec(b.Context(), "select id from orders where tenant_id = $1 and id = $2", 42, 7); err != nil && err != pgx.ErrNoRows {
						b.Fatal(err)
					}
				}
				return (processorTime(b) - from) / queries
			}
			turn(with)
			var cost, plain []time.Duration
			for b.Loop() {
				off, on := turn(without), turn(with)
				plain, cost = append(plain, off), append(cost, on-off)
			}
			slices.Sort(cost)
			slices.Sort(plain)
			b.ReportMetric(float64(cost[len(cost)/2]), "ns-more/query")
			b.ReportMetric(float64(plain[len(plain)/2]), "ns/query")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
