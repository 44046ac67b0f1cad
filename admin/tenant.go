package admin

import (
	"context"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// located is one row of SHOW TENANT.
type located struct {
	database string
	shards   *shardmap.Map
	key      shardmap.Key
}

func (l located) shard() shardmap.Shard { return l.shards.Shard(l.shards.Locate(l.key)) }

// tenant answers SHOW TENANT 'KEY' [IN DATABASE]. Without a database it answers for each one that the key can be of.
func (c *Console) tenant(_ context.Context, _ string, args []token) (proxy.Table, error) {
	key, in, err := tenantArgs(args)
	if err != nil {
		return proxy.Table{}, err
	}
	v := look(c.opt.Server())
	list, err := v.locate(key, in)
	if err != nil {
		return proxy.Table{}, err
	}
	return tenants(list), nil
}

func tenantColumns(*Console) []proxy.Column { return tenants(nil).Columns }

func tenants(list []located) proxy.Table {
	return tabulate([]column[located]{
		word("database", func(l located) string { return l.database }),
		word("tenant", func(l located) string { return l.key.String() }),
		word("type", func(l located) string { return l.key.Type().String() }),
		num("hash", func(l located) int64 { return int64(l.key.Hash()) }), // PostgreSQL's is a bigint
		num("partition", func(l located) int { return l.shards.Partition(l.key) }),
		word("shard", func(l located) string { return l.shard().Name }),
		word("pinned", func(l located) string { _, pinned := l.shards.Pin(l.key); return yes(pinned) }),
		word("node", func(l located) string { return l.shard().Primary.Addr() }),
		num("epoch", func(l located) uint64 { return l.shards.Epoch() }),
	}, list)
}

// tenantArgs reads what follows SHOW TENANT. No database is the empty one.
func tenantArgs(args []token) (key, in string, err error) {
	switch {
	case len(args) == 1:
		return args[0].text, "", nil
	case len(args) == 3 && args[1].is("IN"):
		return args[0].text, args[2].text, nil
	}
	return "", "", &pgwire.Error{Code: "42601", Message: "SHOW TENANT takes one tenant key, and a database if need be",
		Hint: "write SHOW TENANT '42' or SHOW TENANT '42' IN app"}
}

// locate finds a tenant in one database, or with in empty in all that have keys like it.
func (v *view) locate(key, in string) ([]located, error) {
	var list []located
	var wrong error
	var names []string
	for _, d := range v.databases {
		names = append(names, d.name)
		if in != "" && in != d.name {
			continue
		}
		k, err := d.shards.TenantType().ParseText([]byte(key))
		if err != nil {
			wrong = &pgwire.Error{Code: "22P02", Message: err.Error(),
				Hint: "the tenant key of database " + d.name + " is a " + d.shards.TenantType().String()}
			continue
		}
		list = append(list, located{d.name, d.shards, k})
	}
	switch {
	case len(list) > 0:
		return list, nil
	case wrong != nil:
		return nil, wrong
	case len(names) == 0:
		return nil, noDatabase()
	}
	return nil, &pgwire.Error{Code: "3D000", Message: "database \"" + in + "\" does not exist", Hint: "there is " + strings.Join(names, ", ")}
}
