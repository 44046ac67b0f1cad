package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker (-X main.version=… -X main.commit=…) where the build cannot read them from
// the repository, as in a container image. Nothing else changes them.
var version, commit string

// build says what this program was made from.
type build struct {
	Version  string
	Commit   string
	Go       string
	Platform string
	Parser   string // pg_query_go's version, whose major number is libpg_query's
}

// currentBuild reads what the compiler and the linker left in the program.
func currentBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	left, ok := debug.ReadBuildInfo()
	if !ok {
		return b.filled()
	}
	if b.Version == "" {
		b.Version = left.Main.Version
	}
	for _, setting := range left.Settings {
		if setting.Key == "vcs.revision" && b.Commit == "" {
			b.Commit = setting.Value
		}
	}
	for _, module := range left.Deps {
		if module.Path == "github.com/pganalyze/pg_query_go/v6" {
			b.Parser = module.Version
		}
	}
	return b.filled()
}

// filled says so where the program does not know.
func (b build) filled() build {
	for _, text := range []*string{&b.Version, &b.Commit, &b.Parser} {
		if *text == "" {
			*text = "unknown"
		}
	}
	return b
}

// buildVersion is the program's version in a word.
func buildVersion() string { return currentBuild().Version }

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this program was built from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := currentBuild()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "pgdrover %s\ncommit   %s\ngo       %s %s\ngrammar  PostgreSQL 17 (pg_query_go %s)\n",
				b.Version, b.Commit, b.Go, b.Platform, b.Parser)
			return err
		},
	}
}
