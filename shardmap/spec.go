package shardmap

import "github.com/pgdrover/pgdrover/internal/yamlfile"

// fileSpec is shardmap.yaml as it is written, with positions.
type fileSpec struct {
	Database   yamlfile.Value[string]      `yaml:"database,required"`
	Tenant     tenantSpec                  `yaml:"tenant,required"`
	Partitions yamlfile.Value[int]         `yaml:"partitions"`
	Shards     yamlfile.Value[[]shardSpec] `yaml:"shards,required"`
	Tables     yamlfile.Map[tableSpec]     `yaml:"tables"`
	Pins       yamlfile.Map[string]        `yaml:"pins"`
}

// tenantSpec is the block "tenant".
type tenantSpec struct {
	Column yamlfile.Value[string]   `yaml:"column"`
	Schema yamlfile.Value[string]   `yaml:"schema"`
	Type   yamlfile.Value[string]   `yaml:"type,required"`
	Except []yamlfile.Value[string] `yaml:"except"`
}

// shardSpec is one element of "shards".
type shardSpec struct {
	Name     yamlfile.Value[string]   `yaml:"name,required"`
	Weight   yamlfile.Value[int]      `yaml:"weight"`
	Primary  yamlfile.Value[nodeSpec] `yaml:"primary,required"`
	Replicas []nodeSpec               `yaml:"replicas"`
}

// nodeSpec is one node of a shard.
type nodeSpec struct {
	Host   yamlfile.Value[string] `yaml:"host,required"`
	Port   yamlfile.Value[int]    `yaml:"port"`
	DBName yamlfile.Value[string] `yaml:"dbname"`
	Weight yamlfile.Value[int]    `yaml:"weight"`
	Backup yamlfile.Value[bool]   `yaml:"backup"`
}

// tableSpec is what stands behind the name of a table: the word of a kind, or
// a mapping that implies one.
type tableSpec struct {
	kind   Kind
	on     yamlfile.Value[string]
	column yamlfile.Value[string]
}

// UnmarshalNode implements yamlfile.Unmarshaler.
func (t *tableSpec) UnmarshalNode(n yamlfile.Node) error {
	if n.Kind() == yamlfile.Mapping {
		return t.mapping(n)
	}
	word, err := n.Text()
	if err != nil {
		return err
	}
	switch word {
	case "reference":
		t.kind = Reference
	case "sharded":
		t.kind = Sharded
	case "unsharded":
		return n.Errorf("an unsharded table lives on one shard: write {on: SHARD}")
	default:
		return n.Errorf("unknown kind %q%s", word, yamlfile.DidYouMean(word, []string{"reference", "sharded"},
			": write reference, sharded, {on: SHARD} or {column: COLUMN}"))
	}
	return nil
}

// mapping reads {on: SHARD} or {column: COLUMN}.
func (t *tableSpec) mapping(n yamlfile.Node) error {
	var spec struct {
		On     yamlfile.Value[string] `yaml:"on"`
		Column yamlfile.Value[string] `yaml:"column"`
	}
	if err := n.Decode(&spec); err != nil {
		return err
	}
	t.on, t.column = spec.On, spec.Column
	switch {
	case t.on.IsSet() == t.column.IsSet():
		return n.Errorf("write {on: SHARD} for an unsharded table, or {column: COLUMN} for one sharded by a column of another name")
	case t.on.IsSet():
		t.kind = Unsharded
	default:
		t.kind = Sharded
	}
	return nil
}
