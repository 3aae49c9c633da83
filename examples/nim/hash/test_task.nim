import std/[strutils, unittest]
import sha512, task

func hex(digest: Digest): string =
  for it in digest: result &= it.toHex.toLowerAscii

test "every fifth operation fails":
  for n in 0'u64 ..< 10: check operation(n) == (if n mod 5 == 4: "FAIL" else: "SUCCESS")

test "the standard's example":
  var hasher = initSha512()
  hasher.update("abc")
  check hasher.finish.hex ==
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" &
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

test "4,000 updates":
  check digest(7).hex ==
    "28ffbdd584b2122ba0d308fcd54a2a6eb7685c9662d495f5d33ad9b3738e816c" &
    "72ab7ec407eb227e37dbf3c4be68c8be31a71ffb78c36b783f0c493f55a00ce5"
