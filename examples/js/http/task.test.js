import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { failures } from './current.js';
const { operation } = await import('./task.js');

// A server that keeps one object, of this name whatever it was created by.
function serve(name) {
  const requests = [];
  globalThis.fetch = async (url, { method }) => {
    requests.push(`${method} ${new URL(url).pathname}`);
    return Response.json({ id: 7, name });
  };
  return requests;
}

beforeEach(() => failures.splice(0));

test('a flow deletes what it created', async () => {
  const requests = serve('object 3');
  assert.equal(await operation(3n), 'done');
  assert.deepEqual(requests, ['POST /objects', 'GET /objects/7', 'DELETE /objects/7']);
  assert.deepEqual(failures, []);
});

test('another object fails the operation', async () => {
  serve('another');
  await operation(3n);
  assert.equal(failures.length, 1);
});
