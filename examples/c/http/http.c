/* Requests by wasi:http. What is imported here is as wit/deps has it, in words of the component model's canonical ABI:
   a handle is a number, a string or list its address and length, an option or variant a number and what belongs to it;
   what does not fit into one number comes back in memory. */

#include "http.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t handle;

/* `result<handle>`, and `result<_, header-error>`, which is smaller. */
struct made {
  uint8_t is_error;
  handle handle;
};

/* The error code of wasi:http/types: its case, and for the last one its text. */
struct error_code {
  _Alignas(8) uint8_t which;
  _Alignas(8) uint8_t has_text;
  char *text;
  size_t length;
  uint8_t rest[12];
};

/* `result<handle, error-code>` */
struct answer {
  uint8_t is_error;
  union {
    handle handle;
    struct error_code error;
  };
};

/* `option<result<result<incoming-response, error-code>>>` */
struct got {
  _Alignas(8) uint8_t is_there;
  _Alignas(8) uint8_t is_taken;
  struct answer answer;
};

/* `result<list<u8>, stream-error>`, where the error is that of an operation, or the end; and the same without a list. */
struct chunk {
  uint8_t is_error;
  union {
    struct {
      char *bytes;
      size_t length;
    };
    struct {
      uint8_t is_end;
      handle error;
    };
  };
};

#define IMPORT(interface, name) __attribute__((import_module("wasi:" interface "@0.2.12"), import_name(name))) extern
#define TYPES(name) IMPORT("http/types", name)

TYPES("[constructor]fields") handle fields_new(void);
TYPES("[method]fields.append")
void fields_append(handle, const char *, size_t, const char *, size_t, struct made *);
TYPES("[constructor]outgoing-request") handle outgoing_new(handle fields);
TYPES("[resource-drop]outgoing-request") void outgoing_drop(handle);
TYPES("[method]outgoing-request.set-method") int set_method(handle, int which, const char *, size_t);
TYPES("[method]outgoing-request.set-scheme") int set_scheme(handle, int some, int which, const char *, size_t);
TYPES("[method]outgoing-request.set-authority") int set_authority(handle, int some, const char *, size_t);
TYPES("[method]outgoing-request.set-path-with-query") int set_path(handle, int some, const char *, size_t);
TYPES("[method]outgoing-request.body") void outgoing_body(handle, struct made *);
TYPES("[method]outgoing-body.write") void body_write(handle, struct made *);
TYPES("[resource-drop]outgoing-body") void outgoing_body_drop(handle);
TYPES("[static]outgoing-body.finish") void body_finish(handle, int some, handle trailers, struct answer *);
IMPORT("http/outgoing-handler", "handle") void handler_handle(handle request, int some, handle options, struct answer *);
TYPES("[method]future-incoming-response.subscribe") handle future_subscribe(handle);
TYPES("[method]future-incoming-response.get") void future_get(handle, struct got *);
TYPES("[resource-drop]future-incoming-response") void future_drop(handle);
TYPES("[method]incoming-response.status") int response_status(handle);
TYPES("[method]incoming-response.consume") void response_consume(handle, struct made *);
TYPES("[resource-drop]incoming-response") void response_drop(handle);
TYPES("[method]incoming-body.stream") void body_stream(handle, struct made *);
TYPES("[resource-drop]incoming-body") void body_drop(handle);
IMPORT("io/poll", "[method]pollable.block") void pollable_block(handle);
IMPORT("io/poll", "[resource-drop]pollable") void pollable_drop(handle);
IMPORT("io/streams", "[method]output-stream.blocking-write-and-flush")
void output_write(handle, const char *, size_t, struct chunk *);
IMPORT("io/streams", "[resource-drop]output-stream") void output_drop(handle);
IMPORT("io/streams", "[method]input-stream.blocking-read") void input_read(handle, uint64_t most, struct chunk *);
IMPORT("io/streams", "[resource-drop]input-stream") void input_drop(handle);
IMPORT("io/error", "[resource-drop]error") void error_drop(handle);

/* The cases of the variants `method` and `error-code` that have a text. */
enum { METHOD_OTHER = 9, INTERNAL_ERROR = 38 };

static const char *const ERRORS[] = {
    "DNS timeout", "DNS error", "destination not found", "destination unavailable", "destination IP prohibited",
    "destination IP unroutable", "connection refused", "connection terminated", "connection timeout",
    "connection read timeout", "connection write timeout", "connection limit reached", "TLS protocol error",
    "TLS certificate error", "TLS alert received", "not granted (--allow)", "request length required",
    "request body size", "request method invalid", "request URI invalid", "request URI too long",
    "request header section size", "request header size", "request trailer section size", "request trailer size",
    "response incomplete", "response header section size", "response header size", "response body size",
    "response trailer section size", "response trailer size", "response transfer coding", "response content coding",
    "response timeout", "upgrade failed", "HTTP protocol error", "loop detected", "configuration error",
    "internal error",
};

/* What `blocking-write-and-flush` takes at once, and what is read at once. */
enum { WRITE = 4096, READ = 65536 };

/* The last response's body, or why there is none. */
static char *kept;

static struct http_response no_answer(const char *why) {
  free(kept);
  kept = strdup(why);
  return (struct http_response){0, kept, strlen(kept)};
}

static struct http_response refused(struct error_code error) {
  if (error.which != INTERNAL_ERROR || !error.has_text) return no_answer(ERRORS[error.which]);
  free(kept);
  kept = realloc(error.text, error.length + 1);
  kept[error.length] = 0;
  return (struct http_response){0, kept, error.length};
}

static bool add_header(handle fields, const char *name, const char *value) {
  struct made added;
  fields_append(fields, name, strlen(name), value, strlen(value), &added);
  return !added.is_error;
}

static bool add_headers(handle fields, const struct http_request *request) {
  for (size_t i = 0; i < 8 && request->headers[i][0]; i++)
    if (!add_header(fields, request->headers[i][0], request->headers[i][1])) return false;
  if (!request->body) return true;
  char length[24];
  snprintf(length, sizeof length, "%zu", strlen(request->body));
  return add_header(fields, "content-length", length);
}

/* Takes a URL to pieces. */
static bool address(handle outgoing, const char *url) {
  bool is_tls = strncmp(url, "https://", 8) == 0;
  if (!is_tls && strncmp(url, "http://", 7) != 0) return false;
  const char *host = url + (is_tls ? 8 : 7);
  size_t length = strcspn(host, "/");
  const char *path = host[length] ? host + length : "/";
  return !set_scheme(outgoing, 1, is_tls, NULL, 0) && !set_authority(outgoing, 1, host, length) &&
         !set_path(outgoing, 1, path, strcspn(path, "#"));
}

static void write_body(handle body, const char *text) {
  struct made stream;
  body_write(body, &stream);
  for (size_t left = strlen(text), most = 0; left > 0; text += most, left -= most) {
    most = left < WRITE ? left : WRITE;
    struct chunk written;
    output_write(stream.handle, text, most, &written);
    if (!written.is_error) continue;
    /* A server may answer before it has read everything; then its answer says more. */
    if (!written.is_end) error_drop(written.error);
    break;
  }
  output_drop(stream.handle);
  struct answer finished;
  body_finish(body, 0, 0, &finished);
}

static struct http_response read_response(handle response) {
  struct http_response read = {response_status(response), NULL, 0};
  struct made body, stream;
  response_consume(response, &body);
  body_stream(body.handle, &stream);
  struct chunk chunk;
  free(kept);
  kept = calloc(1, 1);
  for (input_read(stream.handle, READ, &chunk); !chunk.is_error; input_read(stream.handle, READ, &chunk)) {
    kept = realloc(kept, read.length + chunk.length + 1);
    memcpy(kept + read.length, chunk.bytes, chunk.length);
    read.length += chunk.length;
    kept[read.length] = 0;
    free(chunk.bytes);
  }
  bool is_whole = chunk.is_end;
  if (!is_whole) error_drop(chunk.error);
  input_drop(stream.handle);
  body_drop(body.handle);
  response_drop(response);
  read.body = kept;
  return is_whole ? read : no_answer("the connection broke within the body");
}

struct http_response http_send(struct http_request request) {
  handle fields = fields_new();
  bool is_right = add_headers(fields, &request);
  handle outgoing = outgoing_new(fields);
  if (!is_right || set_method(outgoing, METHOD_OTHER, request.method, strlen(request.method)) ||
      !address(outgoing, request.url)) {
    outgoing_drop(outgoing);
    return no_answer("this cannot be sent: look at its method, URL and headers");
  }

  struct made body = {0};
  if (request.body) outgoing_body(outgoing, &body);
  struct answer future;
  handler_handle(outgoing, 0, 0, &future);
  if (future.is_error) {
    if (request.body) outgoing_body_drop(body.handle);
    return refused(future.error);
  }
  if (request.body) write_body(body.handle, request.body);

  handle answered = future_subscribe(future.handle);
  pollable_block(answered);
  pollable_drop(answered);
  struct got got;
  future_get(future.handle, &got);
  future_drop(future.handle);
  return got.answer.is_error ? refused(got.answer.error) : read_response(got.answer.handle);
}
