//! Requests by wasi:http. What is imported here is as wit/deps has it, in words of the component model's canonical ABI:
//! a handle is a number, a string or list its address and length, an option or variant a number and what belongs to it;
//! what does not fit into one number comes back in memory.

const std = @import("std");
const arena = @import("gorgon.zig").arena;

pub const Header = struct { name: []const u8, value: []const u8 };

pub const Request = struct {
    method: []const u8 = "GET",
    url: []const u8,
    headers: []const Header = &.{},
    body: ?[]const u8 = null,
};

pub const Response = struct {
    /// 0 where there is no answer; the body says why.
    status: u16,
    /// Kept until the next operation.
    body: []const u8,
};

/// Sends a request and waits for the answer.
pub fn send(request: Request) Response {
    const outgoing = outgoingRequest(request) orelse
        return noAnswer("this cannot be sent: look at its method, URL and headers");
    var sink: Made = undefined;
    if (request.body != null) types.@"[method]outgoing-request.body"(outgoing, &sink);
    var future: Answer = undefined;
    handler.handle(outgoing, 0, 0, &future);
    if (future.is_error != 0) {
        if (request.body != null) types.@"[resource-drop]outgoing-body"(sink.handle);
        return refused(future.of.failure);
    }
    defer types.@"[resource-drop]future-incoming-response"(future.of.handle);
    if (request.body) |body| writeBody(sink.handle, body);

    const answered = types.@"[method]future-incoming-response.subscribe"(future.of.handle);
    poll.@"[method]pollable.block"(answered);
    poll.@"[resource-drop]pollable"(answered);
    var got: Got = undefined;
    types.@"[method]future-incoming-response.get"(future.of.handle, &got);
    return if (got.answer.is_error != 0) refused(got.answer.of.failure) else readResponse(got.answer.of.handle);
}

fn noAnswer(why: []const u8) Response {
    return .{ .status = 0, .body = why };
}

fn refused(failure: Failure) Response {
    const has_text = failure.which == internal_error and failure.has_text != 0;
    return noAnswer(if (has_text) failure.text[0..failure.len] else failures[failure.which]);
}

/// Null where something of it is not allowed.
fn outgoingRequest(request: Request) ?Handle {
    const fields = types.@"[constructor]fields"();
    const has_headers = addHeaders(fields, request);
    const outgoing = types.@"[constructor]outgoing-request"(fields);
    const method = request.method;
    const is_right = has_headers and setAddress(outgoing, request.url) and
        types.@"[method]outgoing-request.set-method"(outgoing, method_other, method.ptr, method.len) == 0;
    if (is_right) return outgoing;
    types.@"[resource-drop]outgoing-request"(outgoing);
    return null;
}

fn addHeaders(fields: Handle, request: Request) bool {
    for (request.headers) |header| if (!addHeader(fields, header.name, header.value)) return false;
    const body = request.body orelse return true;
    var length: [20]u8 = undefined;
    return addHeader(fields, "content-length", std.fmt.bufPrint(&length, "{d}", .{body.len}) catch unreachable);
}

fn addHeader(fields: Handle, name: []const u8, value: []const u8) bool {
    var added: Made = undefined;
    types.@"[method]fields.append"(fields, name.ptr, name.len, value.ptr, value.len, &added);
    return added.is_error == 0;
}

/// Takes a URL to pieces.
fn setAddress(outgoing: Handle, url: []const u8) bool {
    const scheme, const rest = std.mem.cut(u8, url, "://") orelse return false;
    const is_tls = std.mem.eql(u8, scheme, "https");
    if (!is_tls and !std.mem.eql(u8, scheme, "http")) return false;
    const at = std.mem.findScalar(u8, rest, '/') orelse rest.len;
    const host = rest[0..at];
    const path = if (at == rest.len) "/" else std.mem.sliceTo(rest[at..], '#');
    return types.@"[method]outgoing-request.set-scheme"(outgoing, 1, @intFromBool(is_tls), "", 0) == 0 and
        types.@"[method]outgoing-request.set-authority"(outgoing, 1, host.ptr, host.len) == 0 and
        types.@"[method]outgoing-request.set-path-with-query"(outgoing, 1, path.ptr, path.len) == 0;
}

fn writeBody(body: Handle, text: []const u8) void {
    var stream: Made = undefined;
    types.@"[method]outgoing-body.write"(body, &stream);
    var left = text;
    while (left.len > 0) {
        // It takes no more at once.
        const most = @min(left.len, 4096);
        var written: Chunk = undefined;
        streams.@"[method]output-stream.blocking-write-and-flush"(stream.handle, left.ptr, most, &written);
        if (written.is_error != 0) {
            // A server may answer before it has read everything; then its answer says more.
            _ = written.drop();
            break;
        }
        left = left[most..];
    }
    streams.@"[resource-drop]output-stream"(stream.handle);
    var finished: Answer = undefined;
    types.@"[static]outgoing-body.finish"(body, 0, 0, &finished);
}

fn readResponse(response: Handle) Response {
    defer types.@"[resource-drop]incoming-response"(response);
    var body: Made = undefined;
    types.@"[method]incoming-response.consume"(response, &body);
    defer types.@"[resource-drop]incoming-body"(body.handle);
    var stream: Made = undefined;
    types.@"[method]incoming-body.stream"(body.handle, &stream);
    defer streams.@"[resource-drop]input-stream"(stream.handle);
    var read: std.ArrayList(u8) = .empty;
    while (true) {
        var chunk: Chunk = undefined;
        streams.@"[method]input-stream.blocking-read"(stream.handle, 65536, &chunk);
        if (chunk.is_error == 0) {
            read.appendSlice(arena, chunk.of.bytes.ptr[0..chunk.of.bytes.len]) catch @panic("no memory");
        } else if (chunk.drop()) {
            return .{ .status = types.@"[method]incoming-response.status"(response), .body = read.items };
        } else {
            return noAnswer("the connection broke within the body");
        }
    }
}

const Handle = i32;

/// `result<handle>`, and `result<_, header-error>`, which is smaller.
const Made = extern struct { is_error: u8, handle: Handle };

/// The error code of wasi:http/types: its case, and for the last one its text.
const Failure = extern struct {
    which: u8 align(8),
    has_text: u8 align(8),
    text: [*]const u8,
    len: usize,
    rest: [12]u8,
};

/// `result<handle, error-code>`
const Answer = extern struct { is_error: u8, of: extern union { handle: Handle, failure: Failure } };

/// `option<result<result<incoming-response, error-code>>>`
const Got = extern struct { is_there: u8 align(8), is_taken: u8 align(8), answer: Answer };

/// `result<list<u8>, stream-error>`, where the error is that of an operation, or the end; and the same without a list.
const Chunk = extern struct {
    is_error: u8,
    of: extern union {
        bytes: extern struct { ptr: [*]const u8, len: usize },
        failure: extern struct { is_end: u8, handle: Handle },
    },

    /// Whether the stream has ended as it should.
    fn drop(chunk: Chunk) bool {
        const is_end = chunk.of.failure.is_end != 0;
        if (!is_end) io_error.@"[resource-drop]error"(chunk.of.failure.handle);
        return is_end;
    }
};

// The cases of the variants `method` and `error-code` that have a text.
const method_other = 9;
const internal_error = 38;

const failures = [_][]const u8{
    "DNS timeout",                   "DNS error",                   "destination not found",
    "destination unavailable",       "destination IP prohibited",   "destination IP unroutable",
    "connection refused",            "connection terminated",       "connection timeout",
    "connection read timeout",       "connection write timeout",    "connection limit reached",
    "TLS protocol error",            "TLS certificate error",       "TLS alert received",
    "not granted (--allow)",         "request length required",     "request body size",
    "request method invalid",        "request URI invalid",         "request URI too long",
    "request header section size",   "request header size",         "request trailer section size",
    "request trailer size",          "response incomplete",         "response header section size",
    "response header size",          "response body size",          "response trailer section size",
    "response trailer size",         "response transfer coding",    "response content coding",
    "response timeout",              "upgrade failed",              "HTTP protocol error",
    "loop detected",                 "configuration error",         "internal error",
};

const types = struct {
    extern "wasi:http/types@0.2.12" fn @"[constructor]fields"() Handle;
    extern "wasi:http/types@0.2.12" fn @"[method]fields.append"(
        fields: Handle,
        name: [*]const u8,
        name_len: usize,
        value: [*]const u8,
        value_len: usize,
        result: *Made,
    ) void;
    extern "wasi:http/types@0.2.12" fn @"[constructor]outgoing-request"(fields: Handle) Handle;
    extern "wasi:http/types@0.2.12" fn @"[resource-drop]outgoing-request"(request: Handle) void;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-request.set-method"(
        request: Handle,
        which: i32,
        other: [*]const u8,
        other_len: usize,
    ) i32;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-request.set-scheme"(
        request: Handle,
        some: i32,
        which: i32,
        other: [*]const u8,
        other_len: usize,
    ) i32;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-request.set-authority"(
        request: Handle,
        some: i32,
        authority: [*]const u8,
        len: usize,
    ) i32;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-request.set-path-with-query"(
        request: Handle,
        some: i32,
        path: [*]const u8,
        len: usize,
    ) i32;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-request.body"(request: Handle, result: *Made) void;
    extern "wasi:http/types@0.2.12" fn @"[method]outgoing-body.write"(body: Handle, result: *Made) void;
    extern "wasi:http/types@0.2.12" fn @"[resource-drop]outgoing-body"(body: Handle) void;
    extern "wasi:http/types@0.2.12" fn @"[static]outgoing-body.finish"(
        body: Handle,
        some: i32,
        trailers: Handle,
        result: *Answer,
    ) void;
    extern "wasi:http/types@0.2.12" fn @"[method]future-incoming-response.subscribe"(future: Handle) Handle;
    extern "wasi:http/types@0.2.12" fn @"[method]future-incoming-response.get"(future: Handle, result: *Got) void;
    extern "wasi:http/types@0.2.12" fn @"[resource-drop]future-incoming-response"(future: Handle) void;
    extern "wasi:http/types@0.2.12" fn @"[method]incoming-response.status"(response: Handle) u16;
    extern "wasi:http/types@0.2.12" fn @"[method]incoming-response.consume"(response: Handle, result: *Made) void;
    extern "wasi:http/types@0.2.12" fn @"[resource-drop]incoming-response"(response: Handle) void;
    extern "wasi:http/types@0.2.12" fn @"[method]incoming-body.stream"(body: Handle, result: *Made) void;
    extern "wasi:http/types@0.2.12" fn @"[resource-drop]incoming-body"(body: Handle) void;
};

const handler = struct {
    extern "wasi:http/outgoing-handler@0.2.12" fn handle(
        request: Handle,
        some: i32,
        options: Handle,
        result: *Answer,
    ) void;
};

const poll = struct {
    extern "wasi:io/poll@0.2.12" fn @"[method]pollable.block"(pollable: Handle) void;
    extern "wasi:io/poll@0.2.12" fn @"[resource-drop]pollable"(pollable: Handle) void;
};

const streams = struct {
    extern "wasi:io/streams@0.2.12" fn @"[method]output-stream.blocking-write-and-flush"(
        stream: Handle,
        bytes: [*]const u8,
        len: usize,
        result: *Chunk,
    ) void;
    extern "wasi:io/streams@0.2.12" fn @"[resource-drop]output-stream"(stream: Handle) void;
    extern "wasi:io/streams@0.2.12" fn @"[method]input-stream.blocking-read"(
        stream: Handle,
        most: u64,
        result: *Chunk,
    ) void;
    extern "wasi:io/streams@0.2.12" fn @"[resource-drop]input-stream"(stream: Handle) void;
};

const io_error = struct {
    extern "wasi:io/error@0.2.12" fn @"[resource-drop]error"(failure: Handle) void;
};
