package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

const rootHelp = `PgDrover is a PostgreSQL proxy for multi-tenant applications that have outgrown one
database. An application changes nothing but its DSN: PgDrover pools connections,
sends each statement to the shard that owns its tenant, sends reads to replicas, and
answers hot lookups from a cache.

It reads two files that you edit and one that it writes:

  pgdrover.yaml    how the proxy runs: listen addresses, users, pools, cache, limits
  shardmap.yaml    what you want: which shards there are, which tables, which pins
  shardmap.lock    what is: which shard owns which partition now; commit it with the map

Most commands find pgdrover.yaml by --config, else by $PGDROVER_CONFIG, else in the
working directory.`

const rootExample = `  pgdrover dev                           a whole cluster to try things on, gone at Ctrl-C
  pgdrover check                         are my files right, and what would they change?
  pgdrover serve                         run the proxy
  pgdrover shardmap show --tenant 42     where does tenant 42 live?
  pgdrover route 'select * from orders where tenant_id = 42'
                                         where would this statement go, and why?`

// newRootCommand builds the program's commands anew, so that a run shares nothing with another.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "pgdrover",
		Short:         "A sharding, pooling and caching proxy for PostgreSQL",
		Long:          rootHelp,
		Example:       rootExample,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServeCommand(),
		newDevCommand(),
		newCheckCommand(),
		newRouteCommand(),
		newShardmapCommand(),
		newInstallCommand(),
		newVersionCommand(),
		newHealthcheckCommand(),
	)
	return root
}

// defaultConfig is the configuration file of a command that is told of none.
const defaultConfig = "pgdrover.yaml"

// configFlag is the flag --config of one command.
type configFlag struct{ paths []string }

// addConfigFlag gives a command the flag --config, which may be repeated.
func addConfigFlag(cmd *cobra.Command) *configFlag {
	f := &configFlag{}
	cmd.Flags().StringArrayVarP(&f.paths, "config", "c", nil,
		"configuration `FILE`; repeat it to merge files, later ones win (default $PGDROVER_CONFIG, then ./"+defaultConfig+")")
	return f
}

// files are the configuration files to read: those of the flag, else those of the environment, which lists several as
// PATH does, else the default.
func (f *configFlag) files() []string {
	if len(f.paths) > 0 {
		return f.paths
	}
	if paths := filepath.SplitList(os.Getenv("PGDROVER_CONFIG")); len(paths) > 0 {
		return paths
	}
	return []string{defaultConfig}
}
