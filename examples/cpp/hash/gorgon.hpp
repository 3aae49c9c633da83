/* What a task in C++ has of Gorgon: its operation as an export, spans, failing. It is what the component model's
   canonical ABI makes of the interface `gorgon:task`.

   Natively, where unit tests run, spans are only counted and the last failure is kept in `gorgon::failure`. */

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#ifdef __wasm__

#define GORGON_IMPORT(name) __attribute__((import_module("gorgon:task/current@0.1.0"), import_name(name)))

extern "C" {
GORGON_IMPORT("[static]span.start") std::int32_t gorgon_import_start(const char *name, std::size_t length);
GORGON_IMPORT("[resource-drop]span") void gorgon_import_drop(std::int32_t span);
GORGON_IMPORT("fail") void gorgon_import_fail(const char *reason, std::size_t length);
}

namespace gorgon {

/* A named part of the operation: Gorgon times it until the scope ends, be it by an exception. */
class Span {
  std::int32_t span;

public:
  explicit Span(std::string_view name) : span(gorgon_import_start(name.data(), name.size())) {}
  Span(const Span &) = delete;
  Span &operator=(const Span &) = delete;
  ~Span() { gorgon_import_drop(span); }
};

/* Marks the running operation as failed. */
inline void fail(std::string_view reason) { gorgon_import_fail(reason.data(), reason.size()); }

} // namespace gorgon

/* Makes `std::string function(std::uint64_t n)` the task's operation. An exception that leaves it fails the operation:
   `trap: uncaught exception`. */
#define GORGON_OPERATION(function)                                                                                     \
  extern "C" __attribute__((export_name("operation"))) const void *gorgon_export_operation(std::uint64_t n) {          \
    /* Gorgon reads the text after the call. */                                                                        \
    static std::string text;                                                                                           \
    static struct {                                                                                                    \
      const char *text;                                                                                                \
      std::size_t length;                                                                                              \
    } result;                                                                                                          \
    text = function(n);                                                                                                \
    result = {text.data(), text.size()};                                                                               \
    return &result;                                                                                                    \
  }                                                                                                                    \
  /* By which the host hands over strings and lists. */                                                                \
  extern "C" __attribute__((export_name("cabi_realloc"))) void *gorgon_export_realloc(                                 \
      void *old, std::size_t, std::size_t, std::size_t size) {                                                         \
    void *block = std::realloc(old, size);                                                                             \
    if (!block) std::abort();                                                                                          \
    return block;                                                                                                      \
  }

#else

namespace gorgon {

inline std::string failure;
inline int open_spans;

class Span {
public:
  explicit Span(std::string_view) { open_spans++; }
  Span(const Span &) = delete;
  Span &operator=(const Span &) = delete;
  ~Span() { open_spans--; }
};

inline void fail(std::string_view reason) { failure = reason; }

} // namespace gorgon

#define GORGON_OPERATION(function)

#endif
