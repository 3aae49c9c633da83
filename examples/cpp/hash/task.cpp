/* A task that only computes: SHA-512 over 4,000 updates, and an exception that every fifth operation throws, which is
   its result `FAIL`. */

#include <cstdint>
#include <stdexcept>
#include <string>

#include "gorgon.hpp"
#include "sha512.hpp"

static void check(std::uint64_t n, const std::string &digest) {
  if (n % 5 == 4) throw std::runtime_error("operation " + std::to_string(n) + " refuses " + digest);
}

/* The text and the digest lie on the heap: an exception that passes gives both back. */
static void work(std::uint64_t n) {
  const std::string text = "TEXT " + std::to_string(n);
  Sha512 hasher;
  for (int i = 0; i < 4000; i++) hasher.update(text);
  const std::string digest = hasher.finish();
  /* Or the compiler could leave out the work: most operations do not read the digest. */
  __asm__ volatile("" : : "r"(digest.data()) : "memory");
  check(n, digest);
}

static std::string hash(std::uint64_t n) {
  try {
    work(n);
    return "SUCCESS";
  } catch (const std::exception &) {
    return "FAIL";
  }
}

GORGON_OPERATION(hash)
