package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const plotFolder = "benchmarks" // beside the page

// write writes the page and its plots, and returns the page's path.
func (r *run) write() (string, error) {
	page, plots := r.page()
	folder := filepath.Join(r.options.out, plotFolder)
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		return "", fmt.Errorf("write the page: %w", err)
	}
	path := filepath.Join(r.options.out, "benchmarks.md")
	err := os.WriteFile(path, []byte(page), 0o644)
	for name, plot := range plots {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), []byte(plot), 0o644))
	}
	if err != nil {
		return "", fmt.Errorf("write the page: %w", err)
	}
	return path, nil
}

// page is the page, and its plots by file name.
func (r *run) page() (text string, plots map[string]string) {
	var page strings.Builder
	plots = map[string]string{}
	page.WriteString(r.preface())
	rows := r.rows()
	for _, found := range r.results {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n", found.load.title, found.load.about)
		for _, m := range found.load.plots {
			c := found.chart(rows, m)
			if len(c.groups) == 0 {
				continue
			}
			name := found.load.name + "-" + fileWord(m) + ".svg"
			plots[name] = c.svg()
			fmt.Fprintf(&page, "\n![%s](%s/%s)\n", c.title, plotFolder, name)
		}
		for _, t := range found.trials {
			if len(t.samples) == 0 {
				continue
			}
			held := ""
			if t.rate > 0 {
				held = fmt.Sprintf(", at %s transactions/s", figure(t.rate, 0))
			}
			fmt.Fprintf(&page, "\n**%s%s**\n\n%s", t.trial.name, held, t.table(rows, found.load.columns))
		}
		page.WriteString(listed(found.notes))
	}
	page.WriteString(r.configuration())
	return page.String(), plots
}

// preface says what was measured where, and how to read it.
func (r *run) preface() string {
	var text strings.Builder
	fmt.Fprintf(&text, `# Benchmarks

Written by `+"`make bench`"+` on %s. What a machine shows on a day is its own: read ratios, and run it on yours.

`, r.began.UTC().Format(time.DateOnly))
	fmt.Fprintf(&text, "* Machine: %s. Clients, proxies and PostgreSQL share it.\n", machine())
	fmt.Fprintf(&text, "* PostgreSQL %s, started for this run on loopback: %s. Load by %s, with two threads unless a load says otherwise.\n",
		r.stage.cluster.Version, settingsText(serverSettings()), r.stage.pgbench.version)
	fmt.Fprintf(&text, "* %s tenants of %s rows each. Every pool has %d backends; what each target was told besides is at the end.\n",
		figure(float64(r.options.tenants), 0), figure(rowsOfTenant, 0), backends)
	fmt.Fprintf(&text, `* Within a trial the targets take turns: first each once, then each again; measurements: %d of %d s. A figure is the median of its rounds, and a ratio the median of the ratios
  within a round. A second before each measurement is not counted.
* CPU is user and system time of the processes from /proc, in seconds for 1,000 transactions, that of PostgreSQL apart. It is what other work on the machine disturbs least.
* Percentiles are of pgbench's log of every transaction.

`, r.options.rounds, r.options.seconds)
	text.WriteString("| target | version |\n|---|---|\n")
	for _, f := range r.targets {
		version := f.printed
		if version == "" {
			version = r.stage.cluster.Version
		}
		fmt.Fprintf(&text, "| %s | %s |\n", f.title, version)
	}
	text.WriteString(listed(r.missing))
	fmt.Fprintf(&text, "\n```\nmake bench                             # all of this\nmake bench BENCH=\"select connect\"      # some of it, into bin/bench\nmake bench-quick                       # five minutes, into bin/bench\n```\n")
	return text.String()
}

// configuration is what each target ran with, without what differs from run to run.
func (r *run) configuration() string {
	var text strings.Builder
	text.WriteString("\n## Configuration\n")
	hide := strings.NewReplacer(r.stage.password(), "PASSWORD", r.stage.verifier, "VERIFIER", r.stage.dir, "DIR")
	for _, f := range r.targets {
		ran, ok := r.servers[f.name]
		if !ok || len(ran.shown) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n%s:\n", f.title)
		for _, name := range ran.shown {
			fmt.Fprintf(&text, "\n```\n# %s\n%s```\n", name, hide.Replace(ran.files[name]))
		}
	}
	return text.String()
}

// rows are the targets that were measured, each with the colour that it has in every run.
func (r *run) rows() []row {
	palette := colours()
	var rows []row
	for i, t := range targets() {
		if slices.ContainsFunc(r.targets, func(f foundTarget) bool { return f.name == t.name }) {
			rows = append(rows, row{t.name, t.title, palette[i%len(palette)]})
		}
	}
	return rows
}

func settingsText(settings map[string]string) string {
	pairs := []string{"fsync off"}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		pairs = append(pairs, name+" "+settings[name])
	}
	return strings.Join(pairs, ", ")
}

// listed is lines as a list, with a blank line before it.
func listed(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n* " + strings.Join(lines, "\n* ") + "\n"
}

// fileWord is a metric in a file's name.
func fileWord(m metric) string {
	return strings.Trim(strings.Join(strings.FieldsFunc(strings.ToLower(string(m)), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}), "-"), "-")
}
