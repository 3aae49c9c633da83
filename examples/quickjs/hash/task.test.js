import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checksum, operation } from './task.js';

test('every fifth operation fails', () => {
  const results = [0, 1, 2, 3, 4, 9].map(operation);
  assert.deepEqual(results, ['SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'FAIL', 'FAIL']);
});

test('the checksum is that of the text', () => {
  const bytes = Buffer.from('TEXT 7'.repeat(4000));
  assert.equal(checksum(7), bytes.reduce((sum, byte) => Math.imul(sum ^ byte, 16777619), 2166136261) >>> 0);
});
