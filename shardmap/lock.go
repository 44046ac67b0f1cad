package shardmap

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// Lock is shardmap.lock: which shard owns which partition now, and the epoch.
// A Lock in use by a [Map] must not be changed.
type Lock struct {
	Name     string // of the file, for messages
	Database string
	Epoch    uint64
	Tenant   Type
	Owners   []string // the owning shard's name, by partition; none is empty

	at lockPositions
}

// lockPositions are the places that later checks speak of.
type lockPositions struct {
	database, partitions, tenant yamlfile.Position

	owner map[string]yamlfile.Position
}

// lockSpec is shardmap.lock as it is written.
type lockSpec struct {
	Database   yamlfile.Value[string] `yaml:"database,required"`
	Epoch      yamlfile.Value[uint64] `yaml:"epoch,required"`
	Partitions yamlfile.Value[int]    `yaml:"partitions,required"`
	Tenant     yamlfile.Value[string] `yaml:"tenant,required"`
	Owners     yamlfile.Map[string]   `yaml:"owners,required"`
}

// Next returns a copy of the lock with the epoch after this one, for a change
// of the map that moves no partition.
func (l *Lock) Next() *Lock {
	next := *l
	next.Epoch++
	next.Owners = slices.Clone(l.Owners)
	return &next
}

// ParseLock reads the text of a lock file. The name is for messages. The error
// joins all mistakes, each as file:line:column: message.
func ParseLock(name string, text []byte) (*Lock, error) {
	doc, err := yamlfile.Parse(name, text)
	if err != nil {
		return nil, err
	}
	var spec lockSpec
	if err := doc.Decode(&spec, yamlfile.Options{}); err != nil {
		return nil, err
	}
	l := &Lock{
		Name: name, Database: spec.Database.V, Epoch: spec.Epoch.V,
		at: lockPositions{spec.Database.Pos, spec.Partitions.Pos, spec.Tenant.Pos, map[string]yamlfile.Position{}},
	}
	var errs yamlfile.Errors
	if l.Epoch == 0 {
		errs.Add(spec.Epoch.Pos, "epoch: epochs count from 1: %s", restore)
	}
	var ok bool
	if l.Tenant, ok = ParseType(spec.Tenant.V); !ok {
		errs.Add(spec.Tenant.Pos, "tenant: unknown type %q: %s", spec.Tenant.V, restore)
	}
	n := spec.Partitions.V
	if n < minPartitions || n > maxPartitions || n&(n-1) != 0 {
		errs.Add(spec.Partitions.Pos, "partitions: %d is no power of two from %d to %d: %s", n, minPartitions, maxPartitions, restore)
		return nil, errs.Err()
	}
	l.Owners = make([]string, n)
	for _, e := range spec.Owners {
		l.own(e, &errs)
	}
	if p := slices.Index(l.Owners, ""); p >= 0 && len(errs) == 0 {
		errs.Add(spec.Partitions.Key, "partition %d has no owner: %s", p, restore)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return l, nil
}

// restore is the advice for a lock that was changed by hand.
const restore = "the lock is written by pgdrover: restore it from where it was committed"

// own notes the partitions of one shard.
func (l *Lock) own(e yamlfile.Entry[string], errs *yamlfile.Errors) {
	if problem := shardNameProblem(e.Name); problem != "" {
		errs.Add(e.Key, "owners: %s", problem)
		return
	}
	l.at.owner[e.Name] = e.Key
	partitions, err := parseRanges(e.V, len(l.Owners))
	if err != nil {
		errs.Add(e.Pos, "owners.%s: %v: %s", e.Name, err, restore)
		return
	}
	for _, p := range partitions {
		if l.Owners[p] != "" {
			errs.Add(e.Pos, "owners.%s: partition %d is owned by %s too: %s", e.Name, p, l.Owners[p], restore)
			return
		}
		l.Owners[p] = e.Name
	}
}

// Encode returns the text of the lock file, which [ParseLock] reads back. Equal
// locks have equal texts. Shards come in the order of their names; one that
// owns nothing is not named.
func (l *Lock) Encode() []byte {
	byShard := map[string][]int{}
	for p, shard := range l.Owners {
		byShard[shard] = append(byShard[shard], p)
	}
	var b bytes.Buffer
	b.WriteString("# shardmap.lock: written by pgdrover, not by hand\n")
	fmt.Fprintf(&b, "database: %s\nepoch: %d\npartitions: %d\ntenant: %s\n",
		quoteYAML(l.Database), l.Epoch, len(l.Owners), l.Tenant)
	b.WriteString("owners:")
	b.WriteString(encodeOwners(slices.Sorted(maps.Keys(byShard)), byShard))
	return b.Bytes()
}

// encodeOwners writes the owners on one line when they fit there, else with
// one line for each piece of the ranges.
func encodeOwners(names []string, byShard map[string][]int) string {
	const width = 100
	var short, long strings.Builder
	for i, name := range names {
		lines := formatRanges(byShard[name])
		if i > 0 {
			short.WriteString(", ")
		}
		fmt.Fprintf(&short, "%s: %q", quoteYAML(name), strings.Join(lines, ","))
		fmt.Fprintf(&long, "  %s: \"%s\"\n", quoteYAML(name), strings.Join(lines, ",\n    "))
	}
	if short.Len() <= width {
		return " {" + short.String() + "}\n"
	}
	return "\n" + long.String()
}

// quoteYAML writes a name so that it is read back as the same text.
func quoteYAML(s string) string {
	plain := s != ""
	for i, c := range []byte(s) {
		plain = plain && (isAlphanumeric(c) || i > 0 && (c == '_' || c == '-'))
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return fmt.Sprintf("%q", strings.ReplaceAll(s, "${", "$${"))
}
