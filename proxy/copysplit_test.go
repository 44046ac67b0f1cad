package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/router"
)

// splitRows reads data that is cut into pieces, and writes what the splitter finds.
func splitRows(how *router.Splitting, data []byte, cuts func(rest int) int) string {
	sp := newSplitter(how)
	var out strings.Builder
	var row []byte
	for len(data) > 0 {
		b := bytes.Clone(data[:cuts(len(data))])
		data = data[len(b):]
		for len(b) > 0 {
			n, what := sp.next(b)
			row = append(row, b[:n]...)
			if b = b[n:]; what == part {
				continue
			}
			fmt.Fprintf(&out, "%d %q", what, row)
			if what != header && what != bad {
				fmt.Fprintf(&out, " %v %v %q", sp.found, sp.null, sp.value)
			}
			fmt.Fprintf(&out, " %d %d\n", sp.breaks, sp.returns)
			if row = row[:0]; what == bad || what == end {
				fmt.Fprintf(&out, "alone %v", sp.alone && what == end)
				return out.String()
			}
		}
	}
	sp.finish()
	if len(row) > 0 {
		fmt.Fprintf(&out, "rest %q %v", row, sp.found)
	}
	return out.String()
}

// splittings are formats that the fuzzer reads its data in.
func splittings() []*router.Splitting {
	text := router.CopyOptions{Delimiter: '\t', Null: `\N`}
	headed := text
	headed.Header = true
	csv := router.CopyOptions{Format: router.CopyCSV, Delimiter: ',', Quote: '"', Escape: '"'}
	other := router.CopyOptions{Format: router.CopyCSV, Delimiter: ';', Quote: '\'', Escape: '!', Null: "nil", Header: true}
	var list []*router.Splitting
	for _, o := range []router.CopyOptions{text, headed, csv, other, {Format: router.CopyBinary}} {
		for at := range 3 {
			list = append(list, &router.Splitting{CopyOptions: o, At: at})
		}
	}
	return list
}

// FuzzCopySplit cuts data into pieces in two ways: where rows end and what their tenants' fields say does not depend on it.
func FuzzCopySplit(f *testing.F) {
	for i, c := range copyCases {
		f.Add([]byte(c.data), uint8(i), uint64(i))
		f.Add([]byte(strings.Repeat(c.data, 3)), uint8(i*7), uint64(i))
	}
	hows := splittings()
	f.Fuzz(func(t *testing.T, data []byte, how uint8, seed uint64) {
		h := hows[int(how)%len(hows)]
		rng := rand.New(rand.NewPCG(seed, 1))
		want := splitRows(h, data, func(int) int { return 1 })
		for _, cuts := range []func(int) int{
			func(rest int) int { return rest },
			func(rest int) int { return min(rest, 1+rng.IntN(7)) },
			func(rest int) int { return min(rest, 1+rng.IntN(60)) },
		} {
			if got := splitRows(h, data, cuts); got != want {
				t.Fatalf("%+v %q:\n%s\nbyte by byte:\n%s", h.CopyOptions, data, got, want)
			}
		}
	})
}

func TestCopyLines(t *testing.T) {
	var c copyLines
	rng := rand.New(rand.NewPCG(1, 2))
	type line struct{ own, client int64 }
	var rows []line
	own, client := int64(0), int64(0)
	for range 600_000 {
		lines := int64(1)
		if rng.IntN(20) == 0 {
			lines += rng.Int64N(300)
		}
		own += lines
		client += lines + rng.Int64N(4)*rng.Int64N(200)
		c.add(lines, client)
		rows = append(rows, line{own, client})
	}
	known := 0
	for i, r := range rows {
		got, ok := c.find(r.own)
		if ok && got != r.client {
			t.Fatalf("row %d: line %d is %d, want %d", i, r.own, got, r.client)
		}
		if ok {
			known++
		} else if known > 0 {
			t.Fatalf("row %d of %d is not known, but one before", i, len(rows))
		}
		if i > 0 && ok && r.own-rows[i-1].own > 1 {
			if got, _ := c.find(r.own - 1); got != r.client-1 {
				t.Fatalf("row %d: a line within it is %d, want %d", i, got, r.client-1)
			}
		}
	}
	if known < 100_000 {
		t.Fatalf("%d rows are known", known)
	}
	if n := testing.AllocsPerRun(1000, func() { client++; c.add(1, client) }); n != 0 {
		t.Fatalf("%v allocations a row", n)
	}
}

// copyTestData are n rows of about 100 bytes in a format, with the tenant in the second column.
func copyTestData(format string, n int) (*router.Splitting, []byte) {
	var b bytes.Buffer
	how := &router.Splitting{At: 1}
	switch format {
	case "text":
		how.CopyOptions = router.CopyOptions{Delimiter: '\t', Null: `\N`}
		for i := range n {
			fmt.Fprintf(&b, "%d\t%d\tsome words of a note that somebody wrote\t%d.25\t\\N\t2024-01-01 10:00:00+00\tabcdefgh\n", i, i%997, i)
		}
	case "csv":
		how.CopyOptions = router.CopyOptions{Format: router.CopyCSV, Delimiter: ',', Quote: '"', Escape: '"'}
		for i := range n {
			fmt.Fprintf(&b, "%d,%d,some words of a note that somebody wrote,%d.25,,2024-01-01 10:00:00+00,abcdefghi\n", i, i%997, i)
		}
	case "quoted":
		how.CopyOptions = router.CopyOptions{Format: router.CopyCSV, Delimiter: ',', Quote: '"', Escape: '"'}
		for i := range n {
			fmt.Fprintf(&b, "%d,%d,\"some words of a note, that \"\"somebody\"\" wrote\",%d.25,,\"2024-01-01 10:00:00+00\",abcd\n", i, i%997, i)
		}
	case "binary":
		how.Format = router.CopyBinary
		rows := make([][]any, n)
		for i := range rows {
			rows[i] = []any{int32(i), int64(i % 997), "some words of a note that somebody wrote", "2024-01-01", nil, int64(i)}
		}
		b.WriteString(copyBinary(rows...))
	}
	return how, b.Bytes()
}

// splitAll reads data in pieces of 16 KB.
func splitAll(how *router.Splitting, data []byte) (rows int) {
	sp := newSplitter(how)
	for len(data) > 0 {
		b := data[:min(len(data), 16<<10)]
		data = data[len(b):]
		for len(b) > 0 {
			n, what := sp.next(b)
			b = b[n:]
			if what == row {
				rows++
			}
		}
	}
	return rows
}

func BenchmarkCopySplit(b *testing.B) {
	for _, format := range []string{"text", "csv", "quoted", "binary"} {
		how, data := copyTestData(format, 20_000)
		b.Run(format, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				splitAll(how, data)
			}
		})
	}
}

func TestCopySplitAllocatesNothing(t *testing.T) {
	for _, format := range []string{"text", "csv", "quoted", "binary"} {
		how, data := copyTestData(format, 20_000)
		if n := splitAll(how, data); n != 20_000 {
			t.Errorf("%s: %d rows", format, n)
		}
		if n := testing.AllocsPerRun(5, func() { splitAll(how, data) }); n > 8 {
			t.Errorf("%s: %v allocations for 20000 rows", format, n)
		}
	}
}
