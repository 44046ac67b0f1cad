package main

import (
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// reportTwoPhase reports the nodes that keep two_phase_commit from working, where it is on.
func reportTwoPhase(r *report, db *Database, files []string, name string, answers []shardAnswer) {
	for _, answer := range answers {
		if n := answer.nodes[0]; n.err == nil && n.left != "0" {
			r.fault("shard %s: PgDrover has left %s prepared transactions there, which keep rows locked: they are ended while 'pgdrover serve' runs "+
				"with two_phase_commit: on and reaches all shards; SHOW TWO_PHASE on the console says what is in the way", answer.shard.Name, n.left)
		}
	}
	if db.TwoPhaseCommit != TwoPhaseOn {
		return
	}
	at := settingPosition(files, "databases", name, "two_phase_commit")
	faults := r.faults
	for _, answer := range answers {
		for _, n := range answer.nodes {
			if n.err == nil && !n.prepares {
				r.errors(at.Errorf("databases.%s.two_phase_commit: shard %s, %s %s has max_prepared_transactions = 0: set it to max_connections there "+
					"and restart the node, replicas first, or write two_phase_commit: off", name, answer.shard.Name, n.role, n.node.Addr()))
			}
		}
		if n := answer.nodes[0]; n.err == nil && db.Backend.PassThrough && !n.super {
			r.errors(at.Errorf("databases.%s.two_phase_commit: shard %s: with backend.pass_through, backend.user %s has to be a superuser there, "+
				"to end what other users' transactions have left prepared after a crash", name, answer.shard.Name, db.Backend.User))
		}
	}
	if faults == r.faults && len(answers) > 0 && answers[0].nodes[0].err == nil {
		r.ok("two_phase_commit: the nodes have room for prepared transactions")
	}
}

// settingPosition is where the value in force of a key stands: in the last file that has it.
func settingPosition(files []string, path ...string) yamlfile.Position {
	docs, err := parseFiles(files)
	for i := len(docs) - 1; err == nil && i >= 0; i-- {
		if pos, ok := docs[i].Position(path...); ok {
			return pos
		}
	}
	return yamlfile.Position{File: strings.Join(files, ", ")}
}
