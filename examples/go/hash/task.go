// A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`.
package main

import (
	"crypto/sha512"
	"fmt"
	"runtime"
)

func operation(n uint64) string {
	// Kept alive, or the compiler could leave out the work: nobody reads the digest.
	runtime.KeepAlive(digest(n))
	if n%5 == 4 {
		return "FAIL"
	}
	return "SUCCESS"
}

func digest(n uint64) []byte {
	text := fmt.Appendf(nil, "TEXT %d", n)
	hasher := sha512.New()
	for range 4000 {
		hasher.Write(text)
	}
	return hasher.Sum(nil)
}
