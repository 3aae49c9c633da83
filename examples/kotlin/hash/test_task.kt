import java.security.MessageDigest

fun main() {
    for (n in 0uL..<10uL) check(operation(n) == if (n % 5u == 4uL) "FAIL" else "SUCCESS")

    val whole = "TEXT 7".repeat(4_000).encodeToByteArray()
    check(digest(7u).contentEquals(MessageDigest.getInstance("SHA-512").digest(whole)))

    println("2 passed, 0 failed")
}
