## A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`.

import std/volatile
import gorgon, sha512

func digest*(n: uint64): Digest =
  let text = "TEXT " & $n
  var hasher = initSha512()
  for _ in 1 .. 4000: hasher.update(text)
  hasher.finish

proc hash(n: uint64) =
  # Nobody reads the digest. Without a volatile store, the C compiler could leave out the work.
  var first: byte
  volatileStore(addr first, digest(n)[0])
  if n mod 5 == 4: raise newException(ValueError, "every fifth operation fails")

proc operation*(n: uint64): string =
  try:
    hash(n)
    "SUCCESS"
  except ValueError: "FAIL"

exportOperation(operation)
