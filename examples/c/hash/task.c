/* A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`. */

#include <stdio.h>

#include "gorgon.h"
#include "sha512.h"

static void digest(uint64_t n, uint8_t out[64]) {
  char text[32];
  int length = snprintf(text, sizeof text, "TEXT %llu", (unsigned long long)n);
  struct sha512 hasher = sha512_new();
  for (int i = 0; i < 4000; i++) sha512_update(&hasher, text, (size_t)length);
  sha512_finish(&hasher, out);
}

static const char *hash(uint64_t n) {
  uint8_t out[64];
  digest(n, out);
  /* Or the compiler could leave out the work: nobody reads the digest. */
  __asm__ volatile("" : : "r"(out) : "memory");
  return n % 5 == 4 ? "FAIL" : "SUCCESS";
}

GORGON_OPERATION(hash)
