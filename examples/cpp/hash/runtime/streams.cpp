/* The rest of the C++ library: streams, and what prints or reads by them. A task that uses none is linked without. */

#define _LIBCPP_BUILDING_LIBRARY

#include <libcxx/src/chrono.cpp>
#include <libcxx/src/ios.cpp>
#include <libcxx/src/ios.instantiations.cpp>
#include <libcxx/src/iostream.cpp>
#include <libcxx/src/locale.cpp>
#include <libcxx/src/ostream.cpp>
#include <libcxx/src/print.cpp>
#include <libcxx/src/random.cpp>
#include <libcxx/src/regex.cpp>
#include <libcxx/src/strstream.cpp>
#include <libcxx/src/system_error.cpp>
