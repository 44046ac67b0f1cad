# Prints checks by drivers from expected.txt and the results of scripts/drivers, which are tab-separated: target, driver,
# check, ok or FAIL or skip, why. Exits 1 when a check failed through PgDrover that was not expected to, or did not that was.

FILENAME ~ /expected.txt$/ {
	if ($0 !~ /^#/ && split($0, word, " ") >= 2) known[word[1] " " word[2]] = 1
	next
}

{
	if (!($2 in seen)) seen[$2] = ++drivers
	if (!($3 in row)) { row[$3] = ++checks; check[checks] = $3 }
	result[$1, $2, $3] = $4
}

function cell(driver, name, through, straight) {
	through = result["pgdrover", driver, name]
	straight = result["postgres", driver, name]
	if (through == "") return " "
	if (through == "FAIL") return straight == "FAIL" ? "B" : ((driver " " name) in known ? "x" : "P")
	if (straight == "FAIL") return "D"
	return through == "skip" ? "-" : "+"
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
			if (mark != "x" && result["pgdrover", column[c], check[r]] != "FAIL" && (column[c] " " check[r]) in known)
				stale = stale "\n" column[c] " " check[r] " is listed in expected.txt and did not fail: remove the line"
		}
		print ""
	}
	printf "\n+ passes both ways: %d   - the driver cannot: %d   P fails through PgDrover only: %d   B fails both ways: %d   D fails straight to PostgreSQL only: %d   x expected: %d\n",
		count["+"], count["-"], count["P"], count["B"], count["D"], count["x"]
	if (stale != "") print substr(stale, 2)
	exit (count["P"] + count["B"] + count["D"] > 0 || stale != "")
}
