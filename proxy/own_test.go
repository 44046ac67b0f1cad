package proxy

import "testing"

// TestForeignEncodings has the names that PostgreSQL takes for an encoding, with what they say of a tenant's bytes.
func TestForeignEncodings(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "UTF8": false, "utf-8": false, "Unicode": false, "SQL_ASCII": false, "'utf8'": false,
		"LATIN1": true, "iso_8859_1": true, "WIN1252": true, "EUC_JP": true,
	} {
		if got := isForeign(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
