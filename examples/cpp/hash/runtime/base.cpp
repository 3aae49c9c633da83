/* The C++ library but for its streams, of the sources that Zig has. It has no threads and no files. */

#define _LIBCPP_BUILDING_LIBRARY
#define LIBCXX_BUILDING_LIBCXXABI
#define _LIBCXXABI_HAS_NO_THREADS
/* `std::terminate` prints a type as the linker has it, which saves a decoder. */
#define LIBCXXABI_NON_DEMANGLING_TERMINATE
#define _LIBUNWIND_HIDE_SYMBOLS

/* First, because each sets how all that follow see its header. */
#include <libcxx/src/error_category.cpp>
#include <libcxx/src/memory.cpp>

#include <libcxx/src/algorithm.cpp>
#include <libcxx/src/any.cpp>
#include <libcxx/src/bind.cpp>
#include <libcxx/src/call_once.cpp>
#include <libcxx/src/charconv.cpp>
#include <libcxx/src/exception.cpp>
#include <libcxx/src/expected.cpp>
#include <libcxx/src/functional.cpp>
#include <libcxx/src/hash.cpp>
#include <libcxx/src/memory_resource.cpp>
#include <libcxx/src/new_handler.cpp>
#include <libcxx/src/new_helpers.cpp>
#include <libcxx/src/optional.cpp>
#include <libcxx/src/stdexcept.cpp>
#include <libcxx/src/string.cpp>
#include <libcxx/src/typeinfo.cpp>
#include <libcxx/src/valarray.cpp>
#include <libcxx/src/variant.cpp>
#include <libcxx/src/vector.cpp>
#include <libcxx/src/verbose_abort.cpp>

#include <libcxxabi/src/abort_message.cpp>
#include <libcxxabi/src/cxa_aux_runtime.cpp>
#include <libcxxabi/src/cxa_default_handlers.cpp>
#include <libcxxabi/src/cxa_exception.cpp>
#include <libcxxabi/src/cxa_exception_storage.cpp>
#include <libcxxabi/src/cxa_guard.cpp>
#include <libcxxabi/src/cxa_handlers.cpp>
#include <libcxxabi/src/cxa_personality.cpp>
#include <libcxxabi/src/cxa_vector.cpp>
#include <libcxxabi/src/cxa_virtual.cpp>
#include <libcxxabi/src/fallback_malloc.cpp>
#include <libcxxabi/src/private_typeinfo.cpp>
#include <libcxxabi/src/stdlib_exception.cpp>
#include <libcxxabi/src/stdlib_new_delete.cpp>
#include <libcxxabi/src/stdlib_stdexcept.cpp>
#include <libcxxabi/src/stdlib_typeinfo.cpp>

/* What it includes itself, but not as C. */
#include <libunwind/src/config.h>
#include <threads.h>
extern "C" {
#include <libunwind/src/Unwind-wasm.c>
}

/* What WebAssembly throws for C++: the address of an exception. */
__asm__(".tagtype __cpp_exception i32\n"
        ".globl __cpp_exception\n"
        "__cpp_exception:\n");
