# Prints suites by ways from expected.txt and the results of scripts/suites, which are tab-separated: suite, way, ok or FAIL or skip,
# test; a line with way "version" has the suite's version in the place of the test. Then what passes straight and fails otherwise, with
# its reason. Exits 1 on a failure in session mode without a reason, and where fewer pass in transaction mode than through PgBouncer.

FILENAME ~ /expected.txt$/ {
	if ($0 !~ /^#/ && split($0, word, " ") >= 4) {
		why = $0
		sub(/^[^ ]+ +[^ ]+ +[^ ]+ +/, "", why)
		reason[word[1], word[2], word[3]] = why
	}
	next
}

$2 == "version" { suite[++suites] = $1; version[$1] = $4; next }

{
	if (!(($1, $4) in seen)) { seen[$1, $4] = 1; test[$1, ++tests[$1]] = $4 }
	result[$1, $2, $4] = $3
	ran[$1, $2] = 1
	count[$1, $2, $3]++
}

# lost prints the tests of a suite that pass straight and fail or are missing another way, and counts those that have no reason.
function lost(s, way, i, name, why, unknown) {
	if (!((s, way) in ran) || !((s, "straight") in ran)) return 0
	for (i = 1; i <= tests[s]; i++) {
		name = test[s, i]
		if (result[s, "straight", name] != "ok" || result[s, way, name] == "ok") continue
		why = (s, way, name) in reason ? reason[s, way, name] : reason[s, "*", name]
		if (why == "") unknown++
		printf "  %-12s %-11s %-32s %s\n", s, way, name, why == "" ? "NO REASON IS KNOWN" : why
	}
	return unknown
}

END {
	n = split(ways, way, " ")
	printf "%-16s", ""
	for (w = 1; w <= n; w++) printf " %-21s", way[w]
	print "\n" sprintf("%-16s", "suite") " passed/failed/skipped"
	for (i = 1; i <= suites; i++) {
		s = suite[i]
		printf "%-16s", s
		for (w = 1; w <= n; w++) printf " %-21s", count[s, way[w], "ok"] + 0 "/" count[s, way[w], "FAIL"] + 0 "/" count[s, way[w], "skip"] + 0
		print ""
	}
	print "\nPasses straight, and not through PgDrover:"
	for (i = 1; i <= suites; i++) {
		bad += lost(suite[i], "session")
		lost(suite[i], "transaction")
		s = suite[i]
		if (!((s, "pgbouncer") in ran) || !((s, "transaction") in ran)) continue
		if (count[s, "transaction", "ok"] + 0 < count[s, "pgbouncer", "ok"] + 0) fewer = fewer " " s
	}
	if (bad > 0) printf "\n%d tests fail in session mode, and expected.txt has no reason for it.\n", bad
	if (fewer != "") print "\nMore pass through PgBouncer than through PgDrover in transaction mode:" fewer
	exit (bad > 0 || fewer != "")
}
