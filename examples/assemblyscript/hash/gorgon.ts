// Exports the task's operation as the component model's canonical ABI requires, and gives each trap its reason.

import { operation as run } from './task';

// The text that the last operation returned. The host reads the text after the call, so this variable keeps it from the
// collector until the next call. The collector moves nothing.
let returned = new ArrayBuffer(0);

// The address and the length of that text.
const place = memory.data(8);

export function operation(n: u64): usize {
  // A surrogate without its other half becomes U+FFFD, because the host accepts only valid UTF-8.
  returned = String.UTF8.encode(run(n), false, String.UTF8.ErrorMode.REPLACE);
  store<usize>(place, changetype<usize>(returned));
  store<usize>(place, returned.byteLength, sizeof<usize>());
  return place;
}

// @ts-ignore: TypeScript has no such decorator.
@external('wasi:cli/stderr@0.2.0', 'get-stderr')
declare function getStderr(): i32;

// @ts-ignore: TypeScript has no such decorator.
@external('wasi:io/streams@0.2.0', '[method]output-stream.blocking-write-and-flush')
declare function write(stream: i32, text: usize, length: usize, result: usize): void;

// With `--use abort=gorgon/abort`, the compiler calls this for each `throw` and for each assertion that fails. Gorgon
// takes the last line on stderr for the reason of a trap.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const text = String.UTF8.encode(`${message ? message : 'abort'} (${file ? file : '?'}:${line}:${column})\n`);
  // The stream accepts at most 4,096 bytes at a time. Its answer has 12 bytes, and nobody reads them.
  write(getStderr(), changetype<usize>(text), min(text.byteLength, 4096), memory.data(12));
  unreachable();
}
