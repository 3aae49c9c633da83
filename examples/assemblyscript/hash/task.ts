// A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`.

import { Sha512 } from './sha512';

export function digest(n: u64): Uint8Array {
  const text = Uint8Array.wrap(String.UTF8.encode(`TEXT ${n}`));
  const hasher = new Sha512();
  for (let i = 0; i < 4000; i++) hasher.update(text);
  return hasher.finish();
}

export function operation(n: u64): string {
  digest(n);
  return n % 5 == 4 ? 'FAIL' : 'SUCCESS';
}
