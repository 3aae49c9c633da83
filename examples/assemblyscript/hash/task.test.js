import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

// The task with JavaScript around it, which `npm test` builds first.
import { digest, operation } from './build/task.js';

test('every fifth operation fails', () => {
  const results = [0n, 1n, 2n, 3n, 4n, 9n].map(operation);
  assert.deepEqual(results, ['SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'FAIL', 'FAIL']);
});

test('updates hash what they spell together', () => {
  const hasher = createHash('sha512');
  for (let i = 0; i < 4000; i++) hasher.update('TEXT 7');
  assert.deepEqual(Buffer.from(digest(7n)), hasher.digest());
});
