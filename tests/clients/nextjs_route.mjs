// SPDX-License-Identifier: Apache-2.0
// deploy/examples/nextjs, its handlers called as Next.js calls them: a Request in, a Response out.
import { pathToFileURL } from 'node:url';

import { assert, check, native } from './harness.mjs';

const { GET, POST } = await import(pathToFileURL(process.env.TB_ROUTE));
const at = 'http://app.example/api/agent-runtime';

function post(body, headers = { 'x-user': 'ada' }, signal = undefined) {
  return POST(new Request(at, { method: 'POST', headers, signal, body: JSON.stringify(body) }));
}

/** The events of a stream: {id, data}. */
async function* eventsOf(response) {
  let text = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const fields = Object.fromEntries(text.slice(0, end).split('\n').map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]));
      if (fields.data) yield { id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}

async function all(response) {
  const out = [];
  for await (const event of eventsOf(response)) out.push(event);
  return out;
}

const textOf = (events) => events.map((e) => (e.data.type === 'assistant' ? (e.data.content ?? '') : '')).join('');

check('a message and its events', async () => {
  const response = await post({ agentId: 'main', message: 'hello from the web', sessionKey: 'tab' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const events = await all(response);
  assert.equal(textOf(events), 'echo: hello from the web');
  assert.equal(events.at(-1).data.phase, 'end');
  const run = await native('GET', `/v1/runs/${response.headers.get('x-run-id')}`);
  assert.equal(run.sessionKey, 'web:ada:tab');
});

check('a browser that leaves comes back', async () => {
  const away = new AbortController();
  const response = await post({ agentId: 'main', message: '[pause 60] one two three four five six' }, undefined, away.signal);
  const run = response.headers.get('x-run-id');
  const seen = [];
  try {
    for await (const event of eventsOf(response)) {
      seen.push(event);
      if (seen.length === 4) away.abort();
    }
  } catch (error) {
    assert.equal(error.name, 'AbortError');
  }
  const again = await GET(new Request(`${at}?run=${run}`, { headers: { 'x-user': 'ada', 'last-event-id': seen.at(-1).id } }));
  const rest = await all(again);
  assert.equal(textOf(seen) + textOf(rest), 'echo: one two three four five six');
});

check('what is refused', async () => {
  assert.equal((await post({ agentId: 'main', message: 'x' }, {})).status, 401);
  assert.equal((await post({ message: 'x' })).status, 400);
  assert.equal((await post({ agentId: 'nobody', message: 'x' })).status, 404);
  const response = await post({ agentId: 'main', message: 'mine' });
  const run = response.headers.get('x-run-id');
  await all(response);
  const ask = (query, user) => GET(new Request(at + query, { headers: user && { 'x-user': user } }));
  assert.equal((await ask(`?run=${run}`, 'eve')).status, 404);
  assert.equal((await ask(`?run=${run}`)).status, 401);
  assert.equal((await ask('?run=../agents', 'ada')).status, 400);
  assert.equal((await ask(`?run=${run}`, 'ada')).status, 200);
});
