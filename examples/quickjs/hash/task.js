// A task that only computes: a checksum of 4,000 times the same text, and a result that every fifth operation gives as
// `FAIL`.

export function checksum(n) {
  const text = `TEXT ${n}`.repeat(4000);
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return sum >>> 0;
}

// `n` is a Number in QuickJS, and a BigInt in StarlingMonkey: this holds for both.
export function operation(n) {
  checksum(n);
  return Number(n) % 5 === 4 ? 'FAIL' : 'SUCCESS';
}
