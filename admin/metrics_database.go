package admin

type databaseFamilies struct {
	paused, disabled, transactions, received, sent, dry family
}

func declareDatabases(f *families) databaseFamilies {
	return databaseFamilies{
		paused:       f.gauge("pgdrover_paused", "Whether statements wait for RESUME, after PAUSE or KILL on the console.", "database"),
		disabled:     f.gauge("pgdrover_disabled", "Whether new clients are refused, after DISABLE on the console.", "database"),
		transactions: f.counter("pgdrover_transactions_total", "Transactions that ended, those of one statement included.", "database"),
		received:     f.counter("pgdrover_received_bytes_total", "Bytes that clients sent.", "database"),
		dry:          f.counter("pgdrover_dry_run_statements_total", "Statements by what the shard map of dry_run would make of them.", "database", "verdict"),
		sent:         f.counter("pgdrover_sent_bytes_total", "Bytes that were sent to clients.", "database"),
	}
}

func (f *databaseFamilies) collect(s series, v *view, d *database) {
	total := v.total[d.name]
	s.put(f.paused, one(d.paused), d.name)
	s.put(f.disabled, one(d.disabled), d.name)
	s.put(f.transactions, float64(total.Transactions), d.name)
	s.put(f.received, float64(total.Received), d.name)
	s.put(f.sent, float64(total.Sent), d.name)
	if d.dry.Shards > 0 {
		for verdict, n := range d.dry.Counts {
			s.put(f.dry, float64(n), d.name, verdict)
		}
	}
}
