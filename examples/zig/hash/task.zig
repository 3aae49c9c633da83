//! A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`.

const std = @import("std");
const gorgon = @import("gorgon.zig");
const Sha512 = std.crypto.hash.sha2.Sha512;

comptime {
    gorgon.operation(hash);
}

fn hash(n: u64) []const u8 {
    // Nobody reads the digest, so without this the compiler could leave out the work.
    std.mem.doNotOptimizeAway(digest(n));
    return if (n % 5 == 4) "FAIL" else "SUCCESS";
}

fn digest(n: u64) [Sha512.digest_length]u8 {
    var buffer: [32]u8 = undefined;
    const text = std.fmt.bufPrint(&buffer, "TEXT {d}", .{n}) catch unreachable;
    var hasher = Sha512.init(.{});
    for (0..4000) |_| hasher.update(text);
    return hasher.finalResult();
}

test "every fifth operation fails" {
    for (0..10) |n| {
        try std.testing.expectEqualStrings(if (n % 5 == 4) "FAIL" else "SUCCESS", hash(n));
    }
}
