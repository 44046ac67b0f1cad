package main

import (
	"time"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// Database is one name that clients connect to, and the shards behind it. In the keys below, DB stands for
// databases.NAME.
type Database struct {
	// ShardMap is the file of the operator's intent. Key: DB.shardmap. Required.
	ShardMap string `yaml:"shardmap"`
	// Lock is the file that records which shard owns what. Key: DB.lock. Default: the shard map's name with its
	// extension replaced by .lock.
	Lock string `yaml:"lock"`
	// Backend is how PgDrover logs in to the nodes. Key: DB.backend.
	Backend Backend `yaml:"backend"`
	// Pool bounds the backends of each node. Key: DB.pool.
	Pool Pool `yaml:"pool"`
	// Reads says where reads outside transactions go. Key: DB.reads.
	Reads Reads `yaml:"reads"`
	// HoldFunctions are functions, as schema.function, that keep something in the session which no proxy sees: a session
	// that has called one keeps its backend until it ends, or says DISCARD ALL. Key: DB.hold_functions. Default: none.
	HoldFunctions []string `yaml:"hold_functions"`
	// Scatter says what becomes of a statement on sharded tables that names no tenant: deny refuses it unless a session or a hint
	// asks for scatter, reads answers it from all shards if it is a read. Key: DB.scatter. Default: deny.
	Scatter Scatter `yaml:"scatter"`
	// DryRun is a shard map that statements are routed by on paper, beside the one in force: what would become of them is counted.
	// Key: DB.dry_run. Default: none.
	DryRun string `yaml:"dry_run"`
	// ReuseUnnamed has backends prepare unnamed statements once for all who send them, where their plan does not depend on their
	// parameters. Key: DB.reuse_unnamed. Default: on.
	ReuseUnnamed Switch `yaml:"reuse_unnamed"`
	// TwoPhaseCommit says whether a transaction may write to several shards: on commits it on all of them or on none. Key:
	// DB.two_phase_commit. Default: off.
	TwoPhaseCommit TwoPhaseCommit `yaml:"two_phase_commit"`
	// Cache is the result cache, off until a table is listed. Key: DB.cache.
	Cache Cache `yaml:"cache"`
	// NameAddHost adds a client's address and port to the application_name that it logs in with. Key:
	// DB.application_name_add_host. Default: false.
	NameAddHost bool `yaml:"application_name_add_host"`
	// Limits bound what all clients of the database may do. Key: DB.limits.
	Limits DatabaseLimits `yaml:"limits"`
}

// DatabaseLimits bound what all clients of a database may do; 0 is no limit. How long they wait for a backend is DB.pool.wait.
type DatabaseLimits struct {
	// Clients is the most sessions at once. Key: DB.limits.clients. Default: 0.
	Clients int `yaml:"clients"`
	// IdleTransactionTimeout is how long a client may leave a transaction open without a word (SQLSTATE 25P03). Key:
	// DB.limits.idle_transaction_timeout. Default: 0.
	IdleTransactionTimeout time.Duration `yaml:"idle_transaction_timeout"`
	// StatementTimeout is how long a statement may run on the nodes (SQLSTATE 57014). Key: DB.limits.statement_timeout. Default: 0.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
	// ScatterMemory is the most that is kept of the rows of all shards for one answer (SQLSTATE 54000). Key:
	// DB.limits.scatter_memory. Default: 64MB.
	ScatterMemory yamlfile.ByteSize `yaml:"scatter_memory"`
}

// Backend is how PgDrover logs in to the nodes of a database.
type Backend struct {
	// User is the role on the nodes. Key: DB.backend.user. Required.
	User string `yaml:"user"`
	// Password is its password, be it given as password or in password_file; empty where the nodes ask for none. Key:
	// DB.backend.password. Default: none.
	Password Secret `yaml:"password,secret"`
	// PasswordFile is a file of one line that holds the password. Key: DB.backend.password_file. Default: none.
	PasswordFile string `yaml:"password_file"`
	// TLS is disable, prefer, require or verify-full. Key: DB.backend.tls. Default: prefer.
	TLS BackendTLS `yaml:"tls"`
	// CA is a PEM file of the authorities that the nodes' certificates are checked against with verify-full; empty means
	// the system's. Key: DB.backend.ca. Default: none.
	CA string `yaml:"ca"`
	// Cert is a PEM file with the certificate that PgDrover shows the nodes, and the chain above it. Key: DB.backend.cert.
	// Default: none.
	Cert string `yaml:"cert"`
	// Key is a PEM file with its private key. Key: DB.backend.key. Default: none.
	Key string `yaml:"key"`
	// PassThrough has the backends that clients get logged in as the clients' own users, with the keys of their SCRAM logins. User is
	// for all else: reading the catalog and looking after nodes. Key: DB.backend.pass_through. Default: false.
	PassThrough bool `yaml:"pass_through"`
}

// Pool bounds the backends that a database keeps on each node.
type Pool struct {
	// Mode says how long a client has a backend to itself, unless its user has a mode of its own: transaction, session or
	// statement. Key: DB.pool.mode. Default: transaction.
	Mode PoolMode `yaml:"mode"`
	// Size is the most backends per node, all users together. Key: DB.pool.size. Default: 20.
	Size int `yaml:"size"`
	// Wait is how long a client waits for a backend before it gets an error (SQLSTATE 53300). Key: DB.pool.wait.
	// Default: 10s.
	Wait time.Duration `yaml:"wait"`
	// Idle is how long an unused backend is kept; 0 means until its lifetime ends. Key: DB.pool.idle. Default: 10m.
	Idle time.Duration `yaml:"idle"`
	// Lifetime is the age at which a backend is closed when it is next free; 0 means never. Key: DB.pool.lifetime.
	// Default: 1h.
	Lifetime time.Duration `yaml:"lifetime"`
	// ConnectTimeout bounds one attempt to connect and log in to a node. Key: DB.pool.connect_timeout. Default: 5s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
}

// Reads says where reads outside transactions go.
type Reads struct {
	// To is replicas or primary. Key: DB.reads.to. Default: replicas.
	To ReadTarget `yaml:"to"`
	// Policy chooses among the healthy replicas. Key: DB.reads.policy. Only least_in_flight in this version. Default:
	// least_in_flight.
	Policy ReadPolicy `yaml:"policy"`
	// Sticky is how long a session that wrote reads from the primary. Key: DB.reads.sticky. Default: 5s.
	Sticky time.Duration `yaml:"sticky"`
}

// Cache is the result cache of a database.
type Cache struct {
	// Redis is the URL of the second layer (redis://, rediss:// or unix://), which may hold a password; empty means
	// that there is no second layer. Key: DB.cache.redis. Default: none.
	Redis Secret `yaml:"redis,secret"`
	// Memory is the budget of the first layer. Key: DB.cache.memory. Default: 64MB.
	Memory yamlfile.ByteSize `yaml:"memory"`
	// Tables are the tables whose rows are cached, by name; none means that the cache is off. Key: DB.cache.tables.
	// Default: none.
	Tables map[string]CachedTable `yaml:"tables"`
}

// CachedTable is one table of the cache.
type CachedTable struct {
	// TTL is how long a result may be served. Key: DB.cache.tables.NAME.ttl. Required.
	TTL time.Duration `yaml:"ttl"`
}

// SetDefaults makes d a database of which nothing has been said.
func (d *Database) SetDefaults() {
	*d = Database{
		Backend: Backend{TLS: BackendTLSPrefer},
		Pool: Pool{
			Mode:           PoolTransaction,
			Size:           20,
			Wait:           10 * time.Second,
			Idle:           10 * time.Minute,
			Lifetime:       time.Hour,
			ConnectTimeout: 5 * time.Second,
		},
		Reads:          Reads{To: ReadReplicas, Policy: LeastInFlight, Sticky: 5 * time.Second},
		Scatter:        ScatterDeny,
		ReuseUnnamed:   SwitchOn,
		TwoPhaseCommit: TwoPhaseOff,
		Cache:          Cache{Memory: 64 << 20},
		Limits:         DatabaseLimits{ScatterMemory: 64 << 20},
	}
}
