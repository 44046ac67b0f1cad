# Prints checks by drivers from expected.txt and the results of scripts/drivers, which are tab-separated: target, driver,
# check, ok or FAIL or skip, why. Exits 1 when a check failed that was not expected to, or an expected failure did not come.

FILENAME ~ /expected.txt$/ {
	if ($0 !~ /^#/ && split($0, word, " ") >= 4) {
		known[++lines] = $0
		driver[lines] = word[1]; about[lines] = word[2]; says[lines] = word[3]
	}
	next
}

{
	seen[$2] = 1
	if (!($3 in row)) { row[$3] = ++checks; check[checks] = $3 }
	result[$1, $2, $3] = $4
	why[$1, $2, $3] = $5
}

# expected reports whether a failure through PgDrover is listed, and notes the line.
function expected(who, name, i, found) {
	for (i = 1; i <= lines; i++) {
		if ((driver[i] == "*" || driver[i] == who) && about[i] == name && why["pgdrover", who, name] ~ says[i]) found = matched[i] = 1
	}
	return found
}

function cell(who, name, through, straight) {
	through = result["pgdrover", who, name]
	straight = result["postgres", who, name]
	if (through == "") return " "
	if (through == "FAIL") return straight == "FAIL" ? "B" : (expected(who, name) ? "x" : "P")
	if (straight == "FAIL") return "D"
	return through == "skip" ? "-" : "+"
}

# stale reports whether a line of expected.txt is about drivers and checks that were run, and nothing failed so.
function stale(i, c) {
	if (i in matched || !(about[i] in row)) return 0
	for (c = 1; c <= columns; c++) if (driver[i] == "*" || driver[i] == column[c]) return 1
	return 0
}

END {
	n = split(order, names, " ")
	for (i = 1; i <= n; i++) if (names[i] in seen) { column[++columns] = names[i]; if (length(names[i]) > tall) tall = length(names[i]) }
	for (line = 1; line <= tall; line++) {
		printf "%-14s", ""
		for (c = 1; c <= columns; c++) printf " %s", substr(sprintf("%" tall "s", column[c]), line, 1)
		print ""
	}
	for (r = 1; r <= checks; r++) {
		printf "%-14s", check[r]
		for (c = 1; c <= columns; c++) {
			mark = cell(column[c], check[r])
			count[mark]++
			printf " %s", mark
		}
		print ""
	}
	printf "\n+ passes both ways: %d   - the driver cannot: %d   P fails through PgDrover only: %d   B fails both ways: %d   D fails straight to PostgreSQL only: %d   x expected: %d\n",
		count["+"], count["-"], count["P"], count["B"], count["D"], count["x"]
	# With one shard, or with some drivers only, a line for all of them need not be met.
	for (i = 1; i <= lines; i++) if (whole && stale(i)) { old++; print "expected.txt: no failure matched: " known[i] }
	exit (count["P"] + count["B"] + count["D"] > 0 || old > 0)
}
