//! What a task in Zig has of Gorgon: its operation as an export, spans, failing. The interface is in wit/task.wit; this
//! is what the component model's canonical ABI makes of it.
//!
//! Natively, where unit tests run, spans do nothing and the last failure is kept in `failure`.

const std = @import("std");
const is_wasm = @import("builtin").target.cpu.arch.isWasm();

var memory: std.heap.ArenaAllocator = .init(if (is_wasm) std.heap.wasm_allocator else std.heap.page_allocator);

/// What is allocated by this lives until the next operation; nobody frees it.
pub const arena = memory.allocator();

/// Makes `function` the task's operation, from a number to `[]const u8` or an error union with that. An error fails the
/// operation and is its result.
pub fn operation(comptime function: anytype) void {
    const exported = struct {
        /// A string as it is returned.
        const Text = extern struct { ptr: [*]const u8, len: usize };

        var result: Text = undefined;

        fn call(n: u64) callconv(.c) *const Text {
            _ = memory.reset(.retain_capacity);
            const returned: anyerror![]const u8 = function(n);
            const text = returned catch |err| failed: {
                fail(@errorName(err));
                break :failed @errorName(err);
            };
            result = .{ .ptr = text.ptr, .len = text.len };
            return &result;
        }

        /// By which the host hands over strings and lists.
        fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
            const block = arena.rawAlloc(len, .fromByteUnits(alignment), @returnAddress()) orelse @panic("no memory");
            if (old) |bytes| @memcpy(block[0..@min(old_len, len)], bytes);
            return block;
        }
    };
    if (is_wasm) {
        @export(&exported.call, .{ .name = "operation" });
        @export(&exported.realloc, .{ .name = "cabi_realloc" });
    }
}

/// A named part of the operation. Gorgon times it until it is ended.
pub const Span = struct {
    handle: i32,

    pub fn start(name: []const u8) Span {
        return .{ .handle = if (is_wasm) imports.@"[static]span.start"(name.ptr, name.len) else 0 };
    }

    pub fn end(span: Span) void {
        if (is_wasm) imports.@"[resource-drop]span"(span.handle);
    }
};

/// Marks the running operation as failed.
pub fn fail(reason: []const u8) void {
    if (is_wasm) imports.fail(reason.ptr, reason.len) else failure = reason;
}

pub var failure: ?[]const u8 = null;

const imports = struct {
    extern "gorgon:task/current@0.1.0" fn @"[static]span.start"(name: [*]const u8, len: usize) i32;
    extern "gorgon:task/current@0.1.0" fn @"[resource-drop]span"(span: i32) void;
    extern "gorgon:task/current@0.1.0" fn fail(reason: [*]const u8, len: usize) void;
};
