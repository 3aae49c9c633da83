## Exports the operation of a task in Nim, as the component model's canonical ABI requires.
##
## Unit tests run natively, where nothing is exported.

type Operation* = proc (n: uint64): string {.nimcall.}

var exported: Operation

proc exportOperation*(operation: Operation) =
  ## Makes `operation` the task's operation.
  exported = operation

when defined(wasm32):
  type Text = object
    start: pointer
    length: csize_t

  # The host reads both after the call has returned, so they stay until the next call.
  var
    returned: string
    place: Text

  proc trap() {.importc: "__builtin_trap", nodecl, noreturn.}

  proc gorgonOperation(n: uint64): ptr Text
      {.exportc, codegenDecl: """__attribute__((export_name("operation"))) $# $#$#""".} =
    try:
      returned = exported(n)
    except:
      # The host does not see Nim's exceptions, and the next call would find this one still raised. Gorgon takes the
      # last line on stderr for the reason of the trap.
      let error = getCurrentException()
      stderr.writeLine(error.name, ": ", error.msg)
      trap()
    place = Text(start: returned.cstring, length: csize_t(returned.len))
    addr place

  # Runs the top-level code of all modules, such as `exportOperation`, before the first operation.
  {.emit: """
void NimMain(void);
__attribute__((constructor)) static void gorgonStart(void) { NimMain(); }
""".}
