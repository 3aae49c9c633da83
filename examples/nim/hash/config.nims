# The unit tests run with the same flags as the task.
switch("mm", "orc")
switch("exceptions", "goto")
switch("threads", "off")
switch("define", "release")
switch("define", "useMalloc")
# By default, all projects that have a `task.nim` share a folder.
switch("nimcache", thisDir() & "/nimcache/" & hostCPU)

when defined(wasm32):
  # wasi-libc has most of what Nim uses of POSIX, except for signals and for the locks of files, which `echo` takes.
  switch("os", "linux")
  switch("define", "noSignalHandler")
  switch("passC", "-target wasm32-wasi '-Dflockfile(file)=' '-Dfunlockfile(file)='")
  switch("cc", "clang")
  switch("clang.exe", thisDir() & "/zigcc")
  switch("clang.linkerexe", thisDir() & "/zigcc")
  # A reactor has functions to call instead of a `main`.
  switch("noMain", "on")
  switch("passL", "-target wasm32-wasi -mexec-model=reactor -s")
  switch("out", "core.wasm")
