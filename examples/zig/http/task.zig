//! A flow: create an object, read it by the id that came back, delete it.

const std = @import("std");
const gorgon = @import("gorgon.zig");
const http = @import("http.zig");

const base = "http://127.0.0.1:8080";

comptime {
    gorgon.operation(flow);
}

fn flow(n: u64) ![]const u8 {
    return order(http.send, n);
}

/// `send` is `http.send`; a unit test brings one of its own.
fn order(comptime send: fn (http.Request) http.Response, n: u64) ![]const u8 {
    const object = try gorgon.arena.print("{{\"name\": \"object {d}\"}}", .{n});

    const created = timed("POST /objects", send, .{ .method = "POST", .url = base ++ "/objects", .body = object });
    if (created.status != 201) return failed("POST /objects", created);
    const url = try gorgon.arena.print(base ++ "/objects/{d}", .{try idIn(created.body)});

    const read = timed("GET /objects/{id}", send, .{ .url = url });
    if (!std.mem.eql(u8, read.body, object)) gorgon.fail("another object was read");

    const deleted = timed("DELETE /objects/{id}", send, .{ .method = "DELETE", .url = url });
    return if (deleted.status == 204) "done" else failed("DELETE /objects/{id}", deleted);
}

/// A request, timed as a span of its own.
fn timed(name: []const u8, comptime send: fn (http.Request) http.Response, request: http.Request) http.Response {
    const span: gorgon.Span = .start(name);
    defer span.end();
    return send(request);
}

fn idIn(body: []const u8) !u64 {
    const Created = struct { id: u64 };
    return (try std.json.parseFromSliceLeaky(Created, gorgon.arena, body, .{})).id;
}

/// The result of an operation that goes no further.
fn failed(name: []const u8, response: http.Response) ![]const u8 {
    const status = try gorgon.arena.print("{d}", .{response.status});
    const has_answer = response.status != 0;
    gorgon.fail(try gorgon.arena.print("{s}: {s}", .{ name, if (has_answer) status else response.body }));
    return if (has_answer) status else "no answer";
}

/// A server that keeps one object, of this name whatever it was created by.
fn Server(comptime stored: []const u8) type {
    return struct {
        var last: http.Request = undefined;

        fn send(request: http.Request) http.Response {
            last = request;
            if (std.mem.eql(u8, request.method, "POST")) return .{ .status = 201, .body = "{\"id\": 7}\n" };
            if (std.mem.eql(u8, request.method, "GET")) return .{ .status = 200, .body = stored };
            return .{ .status = 204, .body = "" };
        }
    };
}

test "a flow reads what it created" {
    const server = Server("{\"name\": \"object 3\"}");
    gorgon.failure = null;
    try std.testing.expectEqualStrings("done", try order(server.send, 3));
    try std.testing.expectEqualStrings("DELETE", server.last.method);
    try std.testing.expectEqualStrings(base ++ "/objects/7", server.last.url);
    try std.testing.expectEqual(null, gorgon.failure);
}

test "another object fails the operation" {
    const server = Server("{\"name\": \"another\"}");
    try std.testing.expectEqualStrings("done", try order(server.send, 3));
    try std.testing.expectEqualStrings("another object was read", gorgon.failure.?);
}
