// A flow: create an object, read it by the id that came back, delete it.

import { Span, fail } from 'gorgon:task/current@0.1.0';

const BASE = 'http://127.0.0.1:8080';

interface Stored {
  id: number;
  name: string;
}

export async function operation(n: bigint): Promise<string> {
  const name = `object ${n}`;

  const created = await send('/objects', 'POST', '/objects', { body: JSON.stringify({ name }) });
  if (!created.ok) {
    fail(`POST /objects answered ${created.status}`);
    return String(created.status);
  }
  const path = `/objects/${((await created.json()) as Stored).id}`;

  const read = (await (await send(path, 'GET', '/objects/{id}')).json()) as Stored;
  if (read.name !== name) fail(`another object was read: ${JSON.stringify(read)}`);

  await send(path, 'DELETE', '/objects/{id}');
  return 'done';
}

// A request, timed as a span that is named for all requests of its kind.
async function send(path: string, method: string, kind: string, more: RequestInit = {}): Promise<Response> {
  const span = Span.start(`${method} ${kind}`);
  try {
    return await fetch(BASE + path, { method, ...more });
  } finally {
    span.end();
  }
}
