// A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`.

fun operation(n: ULong): String {
    // Nobody needs the digest, so without a look at it the compiler could leave out the work.
    check(digest(n).any { it != 0.toByte() })
    return if (n % 5u == 4uL) "FAIL" else "SUCCESS"
}

fun digest(n: ULong): ByteArray {
    val text = "TEXT $n".encodeToByteArray()
    val hasher = Sha512()
    repeat(4_000) { hasher.update(text) }
    return hasher.finish()
}
