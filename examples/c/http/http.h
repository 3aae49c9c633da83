/* Requests: `http_send` waits for the answer. http.c sends them by wasi:http; a unit test brings an `http_send` of its
   own. */

#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>

struct http_request {
  const char *method, *url;
  /* NULL where nothing is sent along. */
  const char *body;
  /* Names and values; a name that is NULL ends them. */
  const char *headers[8][2];
};

struct http_response {
  /* 0 where there is no answer; the body says why. */
  int status;
  /* Kept until the next request; a 0 follows its last byte. */
  const char *body;
  size_t length;
};

struct http_response http_send(struct http_request request);

#endif
