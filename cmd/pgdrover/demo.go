package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/router"
)

//go:embed demo.sql
var demoSchema []byte

// demoTables are the tables of demo.sql that are not sharded, as shardmap.yaml names them.
const demoTables = `tables:
  countries: reference
  currencies: reference
  migrations: {on: s1}
`

// demoRows are the rows of tables that are not sharded, one statement a table.
var demoRows = []string{
	`insert into currencies (code, digits) values ('EUR', 2), ('USD', 2), ('JPY', 0), ('BRL', 2), ('KES', 2)`,
	`insert into countries (code, name, currency) values ('DE', 'Germany', 'EUR'), ('FR', 'France', 'EUR'),
		('US', 'United States', 'USD'), ('JP', 'Japan', 'JPY'), ('BR', 'Brazil', 'BRL'), ('KE', 'Kenya', 'KES')`,
	`insert into migrations (version) values (1)`,
}

// The size of the demo.
const (
	demoTenants     = 300
	demoConnections = 4
)

// loadDemo fills the demo schema through the proxy at url. It calls loaded, from any goroutine but one at a time, with
// the number of tenants done.
func loadDemo(ctx context.Context, url string, loaded func(tenants int)) error {
	if err := execAll(ctx, url, demoRows); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var report sync.Mutex
	var group sync.WaitGroup
	for range demoConnections {
		group.Go(func() {
			if err := loadTenants(ctx, url, &next, func() {
				report.Lock()
				defer report.Unlock()
				loaded(int(done.Add(1)))
			}); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// loadTenants takes tenants from next until there are none left.
func loadTenants(ctx context.Context, url string, next *atomic.Int64, loaded func()) error {
	conn, err := pgcluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		tenant := next.Add(1)
		if tenant > demoTenants {
			return nil
		}
		for _, sql := range tenantRows(tenant) {
			if _, err := conn.Query(ctx, sql); err != nil {
				return fmt.Errorf("load tenant %d: %w\n%s", tenant, err, sql)
			}
		}
		loaded()
	}
}

// tenantRows is a transaction that inserts a tenant with all that belongs to it. It is the same for a tenant each time.
func tenantRows(tenant int64) []string {
	countries := []string{"DE", "FR", "US", "JP", "BR", "KE"}
	var users, items, orders, lines []string
	for user := range int64(3) {
		users = append(users, fmt.Sprintf("(%d, %d, 'user%d@tenant%d.example', 'User %d')", tenant, user+1, user+1, tenant, user+1))
	}
	for item := range int64(5) {
		items = append(items, fmt.Sprintf("(%d, %d, 'Item %d', %d.95, %d)", tenant, item+1, item+1, 5+(tenant*7+item*13)%90, 10+item))
	}
	for order := range 1 + tenant%6 {
		orders = append(orders, fmt.Sprintf("(%d, %d, %d, 'paid', %d.90)", tenant, order+1, 1+order%3, 10+(tenant*3+order*17)%200))
		for line := range 1 + order%2 {
			lines = append(lines, fmt.Sprintf("(%d, %d, %d, %d, %d)", tenant, order+1, line+1, 1+(order+line)%5, 1+line))
		}
	}
	return []string{
		"begin",
		fmt.Sprintf("insert into tenants (tenant_id, name, country) values (%d, 'Tenant %d', '%s')", tenant, tenant, countries[tenant%6]),
		"insert into users (tenant_id, id, email, name) values " + strings.Join(users, ", "),
		"insert into items (tenant_id, id, name, price, stock) values " + strings.Join(items, ", "),
		"insert into orders (tenant_id, id, user_id, status, total) values " + strings.Join(orders, ", "),
		"insert into order_lines (tenant_id, order_id, line, item_id, quantity) values " + strings.Join(lines, ", "),
		"commit",
	}
}

// statements splits SQL text into its statements.
func statements(sql []byte) []string {
	var all []string
	for _, statement := range router.Split(sql) {
		all = append(all, string(statement))
	}
	return all
}

// execAll runs statements one by one over one connection.
func execAll(ctx context.Context, url string, statements []string) error {
	conn, err := pgcluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, sql := range statements {
		if _, err := conn.Query(ctx, sql); err != nil {
			return fmt.Errorf("%w\n%s", err, strings.TrimSpace(sql))
		}
	}
	return nil
}
