// A task that only computes: SHA-512 over 4,000 times the same text, and a result that every fifth operation gives as
// `FAIL`.

export async function digest(n) {
  const text = new TextEncoder().encode(`TEXT ${n}`.repeat(4000));
  return new Uint8Array(await crypto.subtle.digest('SHA-512', text));
}

// `n` is a u64, which is a BigInt here.
export async function operation(n) {
  await digest(n);
  return n % 5n === 4n ? 'FAIL' : 'SUCCESS';
}
