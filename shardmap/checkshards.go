package shardmap

import (
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// shards checks the block "shards".
func (c *checker) shards() {
	at := c.spec.Shards
	c.file.at.shards = at.Key
	switch {
	case len(at.V) == 0:
		c.errs.Add(at.Pos, "shards: there must be at least one")
	case len(at.V) > ringMaxNames:
		c.errs.Add(at.Pos, "shards: %d are more than %d", len(at.V), ringMaxNames)
	case len(at.V) > c.file.Partitions:
		c.errs.Add(at.Pos, "shards: %d are more than the %d partitions", len(at.V), c.file.Partitions)
	}
	nodes := map[Node]yamlfile.Position{}
	for i := range at.V {
		spec := &at.V[i]
		name := spec.Name.V
		if problem := shardNameProblem(name); problem != "" {
			c.errs.Add(spec.Name.Pos, "shards: %s", problem)
		} else if first, ok := c.file.at.shard[name]; ok {
			c.errs.Add(spec.Name.Pos, "shards: the name %s was already given on line %d: every shard needs its own", name, first.Line)
		} else {
			c.file.at.shard[name] = spec.Name.Pos
		}
		s := Shard{Name: name, Weight: c.weight(spec.Weight, name), Primary: c.node(&spec.Primary.V, name+".primary", nodes)}
		if spec.Primary.V.Backup.V {
			c.errs.Add(spec.Primary.V.Backup.Pos, "%s.primary: only a replica can be a backup: remove it", name)
		}
		for j := range spec.Replicas {
			s.Replicas = append(s.Replicas, c.node(&spec.Replicas[j], name+".replicas", nodes))
		}
		c.file.Shards = append(c.file.Shards, s)
	}
	if len(c.errs) == 0 && len(ringNames(c.file.Shards)) > ringMaxNames {
		c.errs.Add(at.Pos, "shards: the weights add up to more than %d: use smaller numbers in the same proportion", ringMaxNames)
	}
}

// weight checks a weight, which is 1 when it is not given.
func (c *checker) weight(v yamlfile.Value[int], path string) int {
	if !v.IsSet() {
		return 1
	}
	if v.V < 1 || v.V > maxWeight {
		c.errs.Add(v.Pos, "%s: a weight is from 1 to %d, not %d", path, maxWeight, v.V)
	}
	return v.V
}

// node checks a node. nodes holds the addresses seen so far.
func (c *checker) node(spec *nodeSpec, path string, nodes map[Node]yamlfile.Position) Node {
	n := Node{Host: strings.ToLower(spec.Host.V), Port: DefaultPort, DBName: c.file.Database,
		Weight: c.weight(spec.Weight, path), Backup: spec.Backup.V}
	if strings.HasPrefix(spec.Host.V, "/") {
		n.Host = strings.TrimRight(spec.Host.V, "/")
	}
	if problem := hostProblem(n.Host); problem != "" {
		c.errs.Add(spec.Host.Pos, "%s: %s", path, problem)
	}
	if spec.Port.IsSet() {
		n.Port = spec.Port.V
	}
	if n.Port < 1 || n.Port > 65535 {
		c.errs.Add(spec.Port.Pos, "%s: a port is from 1 to 65535, not %d", path, n.Port)
	}
	if spec.DBName.IsSet() {
		n.DBName = spec.DBName.V
		if problem := nameProblem(n.DBName); problem != "" {
			c.errs.Add(spec.DBName.Pos, "%s.dbname: %s", path, problem)
		}
	}
	address := Node{Host: n.Host, Port: n.Port, DBName: n.DBName}
	if first, ok := nodes[address]; ok {
		c.errs.Add(spec.Host.Pos, "%s: database %s on %s was already named on line %d: every node needs its own address",
			path, n.DBName, n.Addr(), first.Line)
	} else {
		nodes[address] = spec.Host.Pos
	}
	return n
}
