#include <assert.h>

#include "task.c"

int main(void) {
  for (uint64_t n = 0; n < 10; n++) assert(strcmp(hash(n), n % 5 == 4 ? "FAIL" : "SUCCESS") == 0);

  /* The standard's own example. */
  uint8_t out[64];
  struct sha512 hasher = sha512_new();
  sha512_update(&hasher, "abc", 3);
  sha512_finish(&hasher, out);
  assert(memcmp(out, "\xdd\xaf\x35\xa1\x93\x61\x7a\xba\xcc\x41\x73\x49\xae\x20\x41\x31", 16) == 0);

  /* A text after which the length has no room in the same block. */
  char text[115];
  memset(text, 'a', sizeof text);
  hasher = sha512_new();
  sha512_update(&hasher, text, sizeof text);
  sha512_finish(&hasher, out);
  assert(memcmp(out, "\xea\xa3\x0f\x93\x76\x07\x43\xac\x7d\x0a\x6c\xb8\xed\x5e\xf3\xb3", 16) == 0);

  assert(gorgon_failure == NULL);
  puts("3 passed, 0 failed");
}
