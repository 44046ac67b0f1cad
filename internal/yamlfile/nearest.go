package yamlfile

import (
	"fmt"
	"strings"
)

// DidYouMean returns ": did you mean "x"?" for the candidate nearest to a
// word, or other if none is near.
func DidYouMean(word string, among []string, other string) string {
	if near := Nearest(word, among); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return other
}

// Nearest returns the candidate that a word was most likely meant to be, or
// "" if none is near: at most a third of its letters may be wrong, missing, too
// many or swapped.
func Nearest(word string, among []string) string {
	best, bestDistance := "", len(word)/3+1
	for _, candidate := range among {
		d := distance(strings.ToLower(word), strings.ToLower(candidate))
		if d <= min(bestDistance, (len(candidate)+2)/3) && (best == "" || d < bestDistance) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
