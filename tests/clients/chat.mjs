// SPDX-License-Identifier: Apache-2.0
// openai's chat completions.
import OpenAI from 'openai';
import { assert, check, fails, lastAsked, native } from './harness.mjs';

const client = new OpenAI({ maxRetries: 0 });
const user = (content) => ({ role: 'user', content });
const ask = (content, more = {}) => client.chat.completions.create({ model: 'main', messages: [user(content)], ...more });

async function collect(stream) {
  const got = { text: '', reasons: [], usage: null, chunks: 0 };
  for await (const chunk of stream) {
    got.chunks++;
    got.id = chunk.id;
    got.text += chunk.choices[0]?.delta.content ?? '';
    if (chunk.choices[0]?.finish_reason) got.reasons.push(chunk.choices[0].finish_reason);
    if (chunk.usage) got.usage = chunk.usage;
  }
  return got;
}

check('a plain answer', async () => {
  const { data, response } = await ask('[plain] Hello there').withResponse();
  assert.equal(data.choices[0].message.content, 'Hello there');
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.equal(data.object, 'chat.completion');
  assert.equal(data.model, 'main');
  const run = response.headers.get('x-run-id');
  assert.equal(data.id, `chatcmpl-${run}`);
  const row = await native('GET', `/v1/runs/${run}`);
  assert.deepEqual(
    [data.usage.prompt_tokens, data.usage.completion_tokens, data.usage.total_tokens],
    [row.usage.inputTokens, row.usage.outputTokens, row.usage.inputTokens + row.usage.outputTokens],
  );
  assert.ok(data.usage.prompt_tokens > 0);
});

check('a stream', async () => {
  const got = await collect(await ask('[plain][chunks 5][pause 5] one two three four five', { stream: true }));
  assert.equal(got.text, 'one two three four five');
  assert.deepEqual(got.reasons, ['stop']);
  assert.equal(got.usage, null);
  assert.ok(got.chunks > 3, `${got.chunks} chunks`);
});

check('usage in a stream', async () => {
  const got = await collect(await ask('[plain] x', { stream: true, stream_options: { include_usage: true } }));
  const row = await native('GET', `/v1/runs/${got.id.slice('chatcmpl-'.length)}`);
  assert.equal(got.usage.prompt_tokens, row.usage.inputTokens);
  assert.equal(got.usage.completion_tokens, row.usage.outputTokens);
});

check('the helper for streams', async () => {
  const runner = client.chat.completions.stream({ model: 'agent/main', messages: [user('[plain] Hi!')] });
  assert.equal(await runner.finalContent(), 'Hi!');
});

check('an answer that a limit cuts', async () => {
  const got = await ask('[size 4000] x', { max_completion_tokens: 20 });
  const asked = await lastAsked();
  assert.equal(asked.max_completion_tokens, 20);
  assert.ok(['stop', 'length'].includes(got.choices[0].finish_reason));
});

check('parameters reach the model', async () => {
  await client.chat.completions.create({
    model: 'default',
    messages: [{ role: 'system', content: 'Be brief.' }, { role: 'developer', content: 'Be kind.' }, user('[plain] x')],
    temperature: 0.5, top_p: 0.9, max_tokens: 77, stop: 'END', reasoning_effort: 'low', seed: 1, store: false, parallel_tool_calls: true,
    response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' } } },
  });
  const asked = await lastAsked();
  assert.equal(asked.temperature, 0.5);
  assert.equal(asked.top_p, 0.9);
  assert.equal(asked.max_completion_tokens, 77);
  assert.deepEqual(asked.stop, ['END']);
  assert.equal(asked.reasoning_effort, 'low');
  assert.deepEqual(asked.response_format.json_schema.schema, { type: 'object' });
  assert.match(asked.messages[0].content, /Be brief\.\n\nBe kind\./);
});

check('images', async () => {
  await client.chat.completions.create({
    model: 'main',
    messages: [{ role: 'user', content: [{ type: 'text', text: '[plain] see' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }] }],
  });
  const asked = await lastAsked();
  assert.equal(asked.messages.at(-1).content[1].image_url.url, 'data:image/png;base64,iVBORw0KGgo=');
});

check('earlier messages are turns of a call without a session', async () => {
  const got = await client.chat.completions.create({
    model: 'main',
    messages: [user('one'), { role: 'assistant', content: 'two' }, user('three'), { role: 'assistant', content: 'four' }, user('[plain] five')],
  });
  assert.equal(got.choices[0].message.content, 'five');
  const asked = await lastAsked();
  assert.deepEqual(
    asked.messages.filter((m) => m.role !== 'system').map((m) => [m.role, m.content]),
    [['user', 'one'], ['assistant', 'two'], ['user', 'three'], ['assistant', 'four'], ['user', '[plain] five']],
  );
});

check('calls without a session know nothing of each other', async () => {
  await ask('[plain] first');
  await ask('[plain] second');
  assert.equal((await lastAsked()).messages.filter((m) => m.role !== 'system').length, 1);
});

check('user names a session that goes on', async () => {
  const name = `u-${Date.now()}`;
  await ask('[plain] first', { user: name });
  // the list that a client sends again: what the session has is not read twice
  await client.chat.completions.create({
    model: 'main', user: name,
    messages: [user('[plain] first'), { role: 'assistant', content: 'first' }, user('[plain] second')],
  });
  assert.deepEqual(
    (await lastAsked()).messages.filter((m) => m.role !== 'system').map((m) => m.content),
    ['[plain] first', 'first', '[plain] second'],
  );
  const session = await native('GET', `/v1/agents/main/sessions/${encodeURIComponent(`openai:${name}`)}`);
  assert.equal(session.sessionKey ?? session.key, `openai:${name}`);
});

check('a header names the session', async () => {
  for (const header of ['x-terabits-session-key', 'x-openclaw-session-key']) {
    const key = `k-${header}-${Date.now()}`;
    const one = (text) => client.chat.completions.create({ model: 'main', messages: [user(text)] }, { headers: { [header]: key } });
    await one('[plain] first');
    await one('[plain] second');
    assert.equal((await lastAsked()).messages.filter((m) => m.role !== 'system').length, 3);
  }
  await fails(
    client.chat.completions.create({ model: 'main', messages: [user('x')] }, { headers: { 'x-openclaw-session-key': 'subagent:x' } }),
    OpenAI.BadRequestError, { param: 'x-openclaw-session-key' },
  );
});

check('the agent by a header, another model by a header', async () => {
  const got = await client.chat.completions.create({ model: 'gpt-4o', messages: [user('[plain] x')] },
    { headers: { 'x-openclaw-agent-id': 'main', 'x-terabits-model': 'openai/other' } });
  assert.equal(got.choices[0].message.content, 'x');
  assert.equal((await lastAsked()).model, 'other');
});

check('a request again under its key is the same run', async () => {
  const idempotencyKey = `key-${Date.now()}`;
  const once = () => client.chat.completions.create(
    { model: 'main', messages: [user('a'), { role: 'assistant', content: 'b' }, user('[plain] c')] }, { idempotencyKey, headers: { 'idempotency-key': idempotencyKey } });
  const first = await once();
  const again = await once();
  assert.equal(again.id, first.id);
  assert.equal(again.choices[0].message.content, 'c');
});

check('a client that leaves leaves its run alone', async () => {
  const text = `[delay 300][plain] later ${Date.now()}`;
  const stream = await ask(text, { stream: true });
  let id;
  for await (const chunk of stream) {
    id = chunk.id.slice('chatcmpl-'.length);
    stream.controller.abort();
    break;
  }
  const done = await native('GET', `/v1/runs/${id}/wait?timeoutMs=20000`);
  assert.equal(done.status, 'ok');
});

check('a client that leaves ends its run when it said so', async () => {
  const stream = await client.chat.completions.create(
    { model: 'main', stream: true, messages: [user('[delay 60000][plain] never')] },
    { headers: { 'x-terabits-cancel-on-disconnect': 'true' } },
  );
  let id;
  for await (const chunk of stream) {
    id = chunk.id.slice('chatcmpl-'.length);
    stream.controller.abort();
    break;
  }
  const done = await native('GET', `/v1/runs/${id}/wait?timeoutMs=20000`);
  assert.equal(done.status, 'cancelled');
});

check('errors are of the classes that the client knows', async () => {
  await fails(new OpenAI({ apiKey: 'tbt_no', maxRetries: 0 }).chat.completions.create({ model: 'main', messages: [user('x')] }),
    OpenAI.AuthenticationError, { status: 401 });
  await fails(ask('x', { model: 'nobody' }), OpenAI.NotFoundError, { code: 'model_not_found', param: 'model' });
  await fails(ask('x', { n: 2 }), OpenAI.BadRequestError, { param: 'n', type: 'invalid_request' });
  await fails(ask('x', { wishes: 1 }), OpenAI.BadRequestError, { param: 'wishes' });
  await fails(ask('x', { temperature: 7 }), OpenAI.BadRequestError, { param: 'temperature' });
  await fails(client.chat.completions.create({ model: 'main', messages: [] }), OpenAI.BadRequestError, { param: 'messages[0]' });
});

check('a run that fails is an error, and is not asked for again', async () => {
  const patient = new OpenAI({ maxRetries: 2 });
  const text = `[status 400 9] ${Date.now()}`;
  const error = await fails(patient.chat.completions.create({ model: 'main', messages: [user(text)] }), OpenAI.BadRequestError,
    { code: 'model_bad_request' });
  assert.equal(error.headers.get('x-should-retry'), 'false');
  const stream = await ask(`[status 400 9] stream ${Date.now()}`, { stream: true });
  await fails(collect(stream), OpenAI.APIError, { code: 'model_bad_request' });
});

check('the runtime makes its own calls itself', async () => {
  const got = await collect(await ask('[say 5][tool memory_get {"path":"x"}] x', { stream: true }));
  assert.deepEqual(got.reasons, ['stop']);
  assert.match(got.text, /\n\ndone: /);
});

check('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('default') && ids.includes('main'), ids.join());
  assert.equal((await client.models.retrieve('main')).object, 'model');
  assert.equal((await client.models.retrieve('default')).id, 'default');
  assert.equal((await client.models.retrieve('agent/main')).id, 'agent/main');
  await fails(client.models.retrieve('nobody'), OpenAI.NotFoundError);
});
