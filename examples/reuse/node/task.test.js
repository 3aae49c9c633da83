// The very file that `gorgon run` multiplies, as a system test.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { failures } from './current.js';
import { operation } from './generated/task.js';

beforeEach(() => failures.splice(0));

for (let n = 0n; n < 10n; n++) {
  test(`operation ${n}`, () => {
    assert.equal(operation(n), n % 5n === 4n ? 'FAIL' : 'SUCCESS');
    assert.deepEqual(failures, []);
  });
}
