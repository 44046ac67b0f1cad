package admin

import "github.com/pgdrover/pgdrover/pool"

type nodeFamilies struct {
	up, mismatch, drained, draining, probe family
	backends, size, waiting, oldest        family
	dials, dialErrors, cancels, destroyed  family
}

func declareNodes(f *families) nodeFamilies {
	labels := []string{"database", "shard", "role", "node"}
	with := func(label string) []string { return append(labels[:len(labels):len(labels)], label) }
	return nodeFamilies{
		up:         f.gauge("pgdrover_node_up", "Whether the node is believed to serve.", labels...),
		mismatch:   f.gauge("pgdrover_node_mismatch", "Whether the server's own role is not what the shard map says.", labels...),
		drained:    f.gauge("pgdrover_node_drained", "Whether reads are kept from the node, after DRAIN NODE on the console.", labels...),
		draining:   f.gauge("pgdrover_node_draining", "Whether the node has left the shard map and finishes what it has begun.", labels...),
		probe:      f.gauge("pgdrover_node_probe_seconds", "Time that the last good probe of the node took.", labels...),
		backends:   f.gauge("pgdrover_backends", "Backends by state: held by a session, idle, dialing, or listening for all sessions.", with("state")...),
		size:       f.gauge("pgdrover_pool_size", "Backends that the node's pool may have.", labels...),
		waiting:    f.gauge("pgdrover_waiting", "Requests that wait for a backend of the node.", labels...),
		oldest:     f.gauge("pgdrover_oldest_wait_seconds", "How long the first of those requests has waited.", labels...),
		dials:      f.counter("pgdrover_dials_total", "Attempts to connect to the node.", labels...),
		dialErrors: f.counter("pgdrover_dial_errors_total", "Attempts to connect to the node that failed.", labels...),
		cancels:    f.counter("pgdrover_backend_cancels_total", "Cancel requests sent to the node.", labels...),
		destroyed:  f.counter("pgdrover_backends_destroyed_total", "Backends that were closed, by why.", with("reason")...),
	}
}

func (f *nodeFamilies) collect(s series, d *database) {
	for i := range d.nodes {
		f.node(s, d.name, &d.nodes[i])
	}
}

func (f *nodeFamilies) node(s series, database string, n *pool.NodeStats) {
	labels := []string{database, n.Shard, n.Role.String(), n.Addr}
	with := func(value string) []string { return append(labels[:len(labels):len(labels)], value) }
	s.put(f.up, one(n.Up), labels...)
	s.put(f.mismatch, one(n.Mismatch()), labels...)
	s.put(f.drained, one(n.Drained), labels...)
	s.put(f.draining, one(n.Draining), labels...)
	s.put(f.probe, n.Latency.Seconds(), labels...)
	s.put(f.backends, float64(n.Busy), with("held")...)
	s.put(f.backends, float64(n.Idle), with("idle")...)
	s.put(f.backends, float64(n.Dialing), with("dialing")...)
	s.put(f.backends, float64(n.Listening), with("listening")...)
	s.put(f.size, float64(n.Size), labels...)
	s.put(f.waiting, float64(n.Waiting), labels...)
	s.put(f.oldest, n.OldestWait.Seconds(), labels...)
	s.put(f.dials, float64(n.Counts.Dials), labels...)
	s.put(f.dialErrors, float64(n.Counts.DialErrors), labels...)
	s.put(f.cancels, float64(n.Counts.Cancels), labels...)
	for reason, count := range n.Counts.Destroyed {
		s.put(f.destroyed, float64(count), with(reason)...)
	}
}

type shardFamilies struct{ epoch, partitions, weight, pins family }

func declareShards(f *families) shardFamilies {
	return shardFamilies{
		epoch:      f.gauge("pgdrover_shardmap_epoch", "Epoch of the shard map in force.", "database"),
		partitions: f.gauge("pgdrover_partitions", "Partitions that the shard owns.", "database", "shard"),
		weight:     f.gauge("pgdrover_shard_weight", "The shard's weight in the shard map.", "database", "shard"),
		pins:       f.gauge("pgdrover_pins", "Tenants pinned to the shard.", "database", "shard"),
	}
}

func (f *shardFamilies) collect(s series, d *database) {
	s.put(f.epoch, float64(d.shards.Epoch()), d.name)
	pins := d.pins()
	for _, shard := range d.shards.Shards() {
		s.put(f.partitions, float64(shard.Owned), d.name, shard.Name)
		s.put(f.weight, float64(shard.Weight), d.name, shard.Name)
		s.put(f.pins, float64(pins[shard.Name]), d.name, shard.Name)
	}
}
