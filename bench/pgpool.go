package main

import "fmt"

// pgpoolChildren is how many processes Pgpool-II has: each serves one client at a time and keeps its own connection to PostgreSQL.
const pgpoolChildren = 220

// pgpool is Pgpool-II before one PostgreSQL.
func pgpool() target {
	return target{
		name: "pgpool", title: "Pgpool-II", programs: []string{"pgpool"}, version: []string{"--version"}, clients: pgpoolChildren,
		setup: func(s *stage, at place) setup { return pgpoolSetup(s, at, "") },
	}
}

// pgpoolCached is Pgpool-II with its query cache in shared memory.
func pgpoolCached() target {
	t := pgpool()
	t.name, t.title, t.extra = "pgpool-cached", "Pgpool-II, cached", true
	t.setup = func(s *stage, at place) setup {
		return pgpoolSetup(s, at, "memory_cache_enabled = on\nmemqcache_total_size = 256MB\nmemqcache_oiddir = '"+at.dir+"/oids'\n")
	}
	return t
}

func pgpoolSetup(s *stage, at place, more string) setup {
	config := fmt.Sprintf(`backend_clustering_mode = raw
listen_addresses = '127.0.0.1'
port = %d
socket_dir = '%s'
pcp_listen_addresses = ''
pcp_socket_dir = '%s'
pid_file_name = '%s/pgpool.pid'
logdir = '%s'
backend_hostname0 = '127.0.0.1'
backend_port0 = %d
backend_weight0 = 1
backend_flag0 = DISALLOW_TO_FAILOVER
num_init_children = %d
max_pool = 1
enable_pool_hba = on
pool_passwd = '%s/pool_passwd'
ssl = on
ssl_cert = '%s'
ssl_key = '%s'
%s`, at.port, at.dir, at.dir, at.dir, at.dir, s.alone().Port, pgpoolChildren, at.dir, s.certificate, s.key, more)
	return setup{
		files: map[string]string{
			"pgpool.conf":   config,
			"pool_hba.conf": "host all open 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
			"pool_passwd":   "app:TEXT" + s.password() + "\n",
			"pcp.conf":      "",
		},
		shown:   []string{"pgpool.conf"},
		command: []string{"-n", "-f", at.dir + "/pgpool.conf", "-a", at.dir + "/pool_hba.conf", "-F", at.dir + "/pcp.conf"},
	}
}
