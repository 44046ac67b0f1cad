package shardmap

import (
	"os"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// DefaultPartitions is the number of partitions of a map that names none.
const DefaultPartitions = 4096

// The bounds of the number of partitions.
const (
	minPartitions = 16
	maxPartitions = 65536
)

// File is shardmap.yaml: what the operator wants. [Parse] makes it; it must not
// be changed afterwards, and then is safe for concurrent use.
type File struct {
	Name         string // of the file, for messages
	Database     string
	TenantColumn string // as the catalog has it; empty where TenantSchema is said
	TenantSchema TenantSchema
	TenantType   Type
	Partitions   int
	Shards       []Shard // in the order of the file; Owned is 0
	Pins         []Pin   // in the order of the file
	Tables       []Table // in the order of the file

	at filePositions
}

// filePositions are the places that later checks speak of.
type filePositions struct {
	database, column, tenant, partitions, shards yamlfile.Position

	shard map[string]yamlfile.Position
	pin   map[Key]yamlfile.Position
	table map[tableName]yamlfile.Position
}

// Parse reads shardmap.yaml, with ${VAR} taken from the environment of the
// process. The name is for messages. The error joins all mistakes, each as
// file:line:column: message.
func Parse(name string, text []byte) (*File, error) {
	return ParseWith(name, text, os.LookupEnv)
}

// ParseWith is Parse with the variables that lookup knows; nil knows none.
func ParseWith(name string, text []byte, lookup func(string) (string, bool)) (*File, error) {
	doc, err := yamlfile.Parse(name, text)
	if err != nil {
		return nil, err
	}
	var spec fileSpec
	if err := doc.Decode(&spec, yamlfile.Options{Lookup: lookup}); err != nil {
		return nil, err
	}
	c := checker{spec: &spec, file: &File{Name: name}}
	c.check()
	if err := c.errs.Err(); err != nil {
		return nil, err
	}
	return c.file, nil
}

// ShardPosition returns where the file names a shard; the beginning of the
// shards if it does not. Its String is file:line:column.
func (f *File) ShardPosition(name string) yamlfile.Position {
	if pos, ok := f.at.shard[name]; ok {
		return pos
	}
	return f.at.shards
}

// PinPosition returns where the file pins a key; only the file's name if it
// does not.
func (f *File) PinPosition(k Key) yamlfile.Position {
	if pos, ok := f.at.pin[k]; ok {
		return pos
	}
	return yamlfile.Position{File: f.Name}
}

// TablePosition returns where the file speaks of a table that it lists; only
// the file's name for another one.
func (f *File) TablePosition(t Table) yamlfile.Position {
	if pos, ok := f.at.table[t.key()]; ok {
		return pos
	}
	return yamlfile.Position{File: f.Name}
}

// TenantPosition returns where the file names the tenant column.
func (f *File) TenantPosition() yamlfile.Position { return f.at.column }

// shardIndex returns the index of the shard of a name, or -1.
func (f *File) shardIndex(name string) int {
	for i := range f.Shards {
		if f.Shards[i].Name == name {
			return i
		}
	}
	return -1
}

// shardNames lists the names of the shards in the order of the file.
func (f *File) shardNames() []string {
	names := make([]string, len(f.Shards))
	for i := range f.Shards {
		names[i] = f.Shards[i].Name
	}
	return names
}
