/* A flow: create an object, read it by the id that came back, delete it. */

#include <stdio.h>

#include "gorgon.h"
#include "http.h"

#define BASE "http://127.0.0.1:8080"

/* A request, timed as a span of its own. */
static struct http_response timed(const char *name, struct http_request request) {
  gorgon_span span = gorgon_span_start(name);
  struct http_response response = http_send(request);
  gorgon_span_end(span);
  return response;
}

/* The result of an operation that goes no further. */
static const char *failed(const char *name, struct http_response response) {
  static char reason[256], status[16];
  snprintf(status, sizeof status, "%d", response.status);
  snprintf(reason, sizeof reason, "%s: %s", name, response.status ? status : response.body);
  gorgon_fail(reason);
  return response.status ? status : "no answer";
}

static const char *flow(uint64_t n) {
  char object[64], url[64];
  unsigned long long id;
  snprintf(object, sizeof object, "{\"name\": \"object %llu\"}", (unsigned long long)n);

  struct http_response created =
      timed("POST /objects", (struct http_request){.method = "POST", .url = BASE "/objects", .body = object});
  if (created.status != 201 || sscanf(created.body, "{\"id\": %llu", &id) != 1) return failed("POST /objects", created);
  snprintf(url, sizeof url, BASE "/objects/%llu", id);

  struct http_response read = timed("GET /objects/{id}", (struct http_request){.method = "GET", .url = url});
  if (strcmp(read.body, object) != 0) gorgon_fail("another object was read");

  struct http_response deleted = timed("DELETE /objects/{id}", (struct http_request){.method = "DELETE", .url = url});
  return deleted.status == 204 ? "done" : failed("DELETE /objects/{id}", deleted);
}

GORGON_OPERATION(flow)
