// A task that only computes: SHA-512 over 4,000 times the same text, and a result that every fifth operation gives as
// `FAIL`.

export async function digest(n: bigint): Promise<Uint8Array> {
  const text = new TextEncoder().encode(`TEXT ${n}`.repeat(4000));
  return new Uint8Array(await crypto.subtle.digest('SHA-512', text));
}

export async function operation(n: bigint): Promise<string> {
  await digest(n);
  return n % 5n === 4n ? 'FAIL' : 'SUCCESS';
}
