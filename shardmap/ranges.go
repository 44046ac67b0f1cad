package shardmap

import (
	"fmt"
	"strconv"
	"strings"
)

// rangesLine is how many partitions a line of the lock speaks of, so that a
// partition that moves changes the lines around it only.
const rangesLine = 256

// formatRanges writes ascending partitions as "0-1365,2000", split into the
// pieces that stand on lines of their own.
func formatRanges(partitions []int) []string {
	var lines []string
	var line []byte
	for i := 0; i < len(partitions); {
		from, to := partitions[i], partitions[i]
		for i++; i < len(partitions) && partitions[i] == to+1; i++ {
			to++
		}
		if len(line) > 0 {
			line = append(line, ',')
		}
		line = strconv.AppendInt(line, int64(from), 10)
		if to > from {
			line = strconv.AppendInt(append(line, '-'), int64(to), 10)
		}
		if i == len(partitions) || partitions[i]/rangesLine != from/rangesLine {
			lines = append(lines, string(line))
			line = line[:0]
		}
	}
	return lines
}

// parseRanges reads what formatRanges writes, with blanks anywhere between. All
// partitions are below count; a range may be written once only, in any order.
func parseRanges(text string, count int) ([]int, error) {
	var partitions []int
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		first, last, isRange := strings.Cut(item, "-")
		from, err := strconv.ParseUint(first, 10, 31)
		to := from
		if err == nil && isRange {
			to, err = strconv.ParseUint(last, 10, 31)
		}
		switch {
		case err != nil || from > to:
			return nil, fmt.Errorf("%q is no partition and no range of them", item)
		case to >= uint64(count):
			return nil, fmt.Errorf("%q is beyond the last partition, %d", item, count-1)
		}
		for p := from; p <= to; p++ {
			partitions = append(partitions, int(p))
		}
		if len(partitions) > count {
			return nil, fmt.Errorf("%q names a partition a second time", item)
		}
	}
	return partitions, nil
}
