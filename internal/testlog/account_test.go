package main

import (
	"errors"
	"strings"
	"testing"
)

const skipped = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"    a_test.go:5: no such thing here\n"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"--- SKIP: TestOne (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestOne"}
{"Action":"run","Package":"m/a","Test":"TestTwo"}
{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"=== RUN   TestTwo\n"}
{"Action":"pass","Package":"m/a","Test":"TestTwo"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
`

const failed = `{"Action":"run","Package":"m/b","Test":"TestOne"}
{"Action":"output","Package":"m/b","Test":"TestOne","Output":"    b_test.go:5: got 1, want 2\n"}
{"Action":"output","Package":"m/b","Test":"TestOne","Output":"--- FAIL: TestOne (0.00s)\n"}
{"Action":"fail","Package":"m/b","Test":"TestOne"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b\t0.1s\n"}
{"Action":"fail","Package":"m/b"}
`

const crashed = `{"Action":"run","Package":"m/c","Test":"TestOne"}
{"Action":"output","Package":"m/c","Test":"TestOne","Output":"panic: oh\n"}
{"Action":"output","Package":"m/c","Output":"FAIL\tm/c\t0.1s\n"}
{"Action":"fail","Package":"m/c"}
`

const unbuilt = `{"ImportPath":"m/d","Action":"build-output","Output":"d.go:3:1: syntax error\n"}
{"ImportPath":"m/d","Action":"build-fail"}
{"Action":"output","Package":"m/d","Output":"FAIL\tm/d [build failed]\n"}
{"Action":"fail","Package":"m/d","FailedBuild":"m/d"}
`

func TestAccount(t *testing.T) {
	exit := errors.New("exit status 1")
	for name, test := range map[string]struct {
		events, skips string
		waited        error
		want          string // the output
		wantErr       string // part of the error, none when empty
	}{
		"an expected skip": {
			events: skipped, skips: "a TestOne no such .*",
			want: "ok  \tm/a\t0.1s\nskipped: m/a TestOne: no such thing here\n1 passed, 0 failed, 1 skipped\n",
		},
		"a skip for another reason": {
			events: skipped, skips: "a TestOne because",
			want:    "ok  \tm/a\t0.1s\nskipped unexpectedly: m/a TestOne: no such thing here\n1 passed, 0 failed, 1 skipped\n",
			wantErr: "1 skipped unexpectedly",
		},
		"a failed test prints its output": {
			events: failed, waited: exit,
			want:    "    b_test.go:5: got 1, want 2\n--- FAIL: TestOne (0.00s)\nFAIL\tm/b\t0.1s\n0 passed, 1 failed, 0 skipped\n",
			wantErr: "failed: m/b",
		},
		"a test that never ended prints its output": {
			events: onlyTwo() + crashed, waited: exit,
			want:    "ok  \tm/a\t0.1s\nFAIL\tm/c\t0.1s\npanic: oh\n1 passed, 0 failed, 0 skipped\n",
			wantErr: "failed: m/c",
		},
		"a package that does not build": {
			events: unbuilt, waited: exit,
			want:    "d.go:3:1: syntax error\nFAIL\tm/d [build failed]\n0 passed, 0 failed, 0 skipped\n",
			wantErr: "failed: m/d",
		},
		"go test fails without a word": {
			events: onlyTwo(), waited: exit,
			want:    "ok  \tm/a\t0.1s\n1 passed, 0 failed, 0 skipped\n",
			wantErr: "go test: exit status 1",
		},
		"no test at all": {
			events: "", want: "0 passed, 0 failed, 0 skipped\n", wantErr: "no test ran",
		},
		"what is no event is printed": {
			events: "go: downloading\n" + onlyTwo(),
			want:   "go: downloading\nok  \tm/a\t0.1s\n1 passed, 0 failed, 0 skipped\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			expected, err := parseSkips(test.skips)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			a := newAccount(&out)
			if err := a.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			a.close(expected)
			if out.String() != test.want {
				t.Errorf("printed:\n%s\nwant:\n%s", out.String(), test.want)
			}
			err = a.verdict(expected, test.waited)
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("verdict %v, want %q", err, test.wantErr)
			}
		})
	}
}

// onlyTwo is a run of package m/a in which only TestTwo ran.
func onlyTwo() string {
	var kept strings.Builder
	for line := range strings.Lines(skipped) {
		if !strings.Contains(line, "TestOne") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestSkipsFile(t *testing.T) {
	if _, err := parseSkips(skipsText); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"a TestOne", "a TestOne ("} {
		if _, err := parseSkips(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
