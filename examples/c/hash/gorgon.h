/* What a task in C has of Gorgon: its operation as an export, spans, failing. The interface is in wit/task.wit; this
   is what the component model's canonical ABI makes of it.

   Natively, where unit tests run, spans do nothing and the last failure is kept in `gorgon_failure`. */

#ifndef GORGON_H
#define GORGON_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t gorgon_span;

#ifdef __wasm__

#define GORGON_IMPORT(name) __attribute__((import_module("gorgon:task/current@0.1.0"), import_name(name)))

GORGON_IMPORT("[static]span.start") gorgon_span gorgon_import_start(const char *name, size_t length);
GORGON_IMPORT("[resource-drop]span") void gorgon_import_drop(gorgon_span span);
GORGON_IMPORT("fail") void gorgon_import_fail(const char *reason, size_t length);

/* Starts a named part of the operation; Gorgon times it until it is ended. */
static inline gorgon_span gorgon_span_start(const char *name) { return gorgon_import_start(name, strlen(name)); }
static inline void gorgon_span_end(gorgon_span span) { gorgon_import_drop(span); }

/* Marks the running operation as failed. */
static inline void gorgon_fail(const char *reason) { gorgon_import_fail(reason, strlen(reason)); }

/* Makes `const char *function(uint64_t n)` the task's operation. What it returns must outlive the call. */
#define GORGON_OPERATION(function)                                                                                     \
  __attribute__((export_name("operation"))) const void *gorgon_export_operation(uint64_t n) {                         \
    static struct {                                                                                                    \
      const char *text;                                                                                                \
      size_t length;                                                                                                   \
    } result;                                                                                                          \
    result.text = function(n);                                                                                         \
    result.length = strlen(result.text);                                                                               \
    return &result;                                                                                                    \
  }                                                                                                                    \
  /* By which the host hands over strings and lists. */                                                                \
  __attribute__((export_name("cabi_realloc"))) void *gorgon_export_realloc(void *old, size_t old_size, size_t align,   \
                                                                           size_t size) {                              \
    (void)old_size, (void)align;                                                                                       \
    void *block = realloc(old, size);                                                                                  \
    if (!block) abort();                                                                                               \
    return block;                                                                                                      \
  }

#else

static const char *gorgon_failure __attribute__((unused));

static inline gorgon_span gorgon_span_start(const char *name) { return (void)name, 0; }
static inline void gorgon_span_end(gorgon_span span) { (void)span; }
static inline void gorgon_fail(const char *reason) { gorgon_failure = reason; }
#define GORGON_OPERATION(function) const char *gorgon_export_operation(uint64_t n) { return function(n); }

#endif
#endif
