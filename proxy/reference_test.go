package proxy

import (
	"slices"
	"testing"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestReferencesAlone asks a shard for its reference tables only, of however many it has.
func TestReferencesAlone(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	m := r.db.Map()
	line, err := r.db.cluster.OpenLine(t.Context(), m.Shard(0).Name, pool.Primary, m.Shard(0).Primary)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	for _, sql := range []string{
		"create schema if not exists one; create table if not exists one.others (id int primary key); create table if not exists one.more (id int references one.others)", // of any number
		"create table if not exists one.sold (country text references public.countries)",
	} {
		if _, err := line.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	defer r.on(r.cluster.Shards[0].Primary, "drop schema one cascade")
	answer, err := line.Exec(t.Context(), ofReferences(referenceTablesSQL, m))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range answer.Rows {
		if said, _ := m.Table(string(row[0]), string(row[1])); said.Kind != shardmap.Reference {
			t.Errorf("%s.%s is no reference table", row[0], row[1])
		}
	}
	keys, err := foreignKeys(t.Context(), line, m)
	if err != nil || len(answer.Rows) == 0 || !slices.ContainsFunc(keys, func(k reference) bool { return k.from.name == "sold" }) ||
		slices.ContainsFunc(keys, func(k reference) bool { return k.to.name == "others" }) {
		t.Errorf("%d tables, keys %v, %v", len(answer.Rows), keys, err)
	}
}
