package shardmap

import (
	"fmt"
	"strconv"

	"github.com/buraksezer/consistent"
)

// The settings of the ring. A change of any of them, or of the names below,
// plans other owners than before.
const (
	ringReplication = 1000
	ringLoad        = 1.1
	ringMaxNames    = 512 // the library sorts its whole ring once per name
)

// ringName is one name of a shard on the ring. A shard has as many as its
// weight; the slash cannot be part of a shard's name.
type ringName struct {
	name  string
	shard int
}

// String implements consistent.Member.
func (r ringName) String() string { return r.name }

// ringHash is the ring's hash: the same lookup3 that places tenants.
type ringHash struct{}

// Sum64 implements consistent.Hasher.
func (ringHash) Sum64(b []byte) uint64 { return hashBytes(b) }

// ringOwners returns the index of the shard that should own each partition. It
// depends on the names and weights of the shards only, not on their order. A
// panic of the library is an error.
func ringOwners(shards []Shard, partitions int) (owners []int, err error) {
	defer func() {
		if p := recover(); p != nil {
			owners, err = nil, fmt.Errorf("the ring cannot place %d partitions on %d shards: %v", partitions, len(shards), p)
		}
	}()
	names := ringNames(shards)
	if len(names) > ringMaxNames {
		return nil, fmt.Errorf("weights add up to %d, more than %d: use smaller numbers in the same proportion",
			len(names), ringMaxNames)
	}
	ring := consistent.New(names, consistent.Config{
		Hasher: ringHash{}, PartitionCount: partitions,
		ReplicationFactor: ringReplication, Load: ringLoad,
	})
	owners = make([]int, partitions)
	for p := range owners {
		owners[p] = ring.GetPartitionOwner(p).(ringName).shard
	}
	return owners, nil
}

// ringNames lists the names of all shards. Weights are taken in their lowest
// terms.
func ringNames(shards []Shard) []consistent.Member {
	divisor := 0
	for _, s := range shards {
		divisor = gcd(divisor, s.Weight)
	}
	var names []consistent.Member
	for i, s := range shards {
		for n := range s.Weight / divisor {
			names = append(names, ringName{s.Name + "/" + strconv.Itoa(n), i})
		}
	}
	return names
}

// gcd returns the greatest common divisor; that of 0 and b is b.
func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
