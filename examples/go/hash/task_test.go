package main

import (
	"bytes"
	"crypto/sha512"
	"testing"
)

func TestEveryFifthOperationFails(t *testing.T) {
	for n := range uint64(10) {
		want := "SUCCESS"
		if n%5 == 4 {
			want = "FAIL"
		}
		if got := operation(n); got != want {
			t.Errorf("operation %d returned %q, not %q", n, got, want)
		}
	}
}

func TestUpdatesHashWhatTheySpellTogether(t *testing.T) {
	want := sha512.Sum512(bytes.Repeat([]byte("TEXT 7"), 4000))
	if !bytes.Equal(digest(7), want[:]) {
		t.Error("another digest")
	}
}
