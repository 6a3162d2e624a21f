// SPDX-License-Identifier: Apache-2.0
// openai's responses.
import OpenAI from 'openai';
import { assert, check, fails, lastAsked, native, waitFor } from './harness.mjs';

const client = new OpenAI({ maxRetries: 0 });
const create = (input, more = {}) => client.responses.create({ model: 'main', input, ...more });
const said = (asked) => asked.messages.filter((m) => m.role !== 'system').map((m) => m.content);

check('a plain response', async () => {
  const { data, response } = await create('[plain] Hello there', { instructions: 'Be brief.' }).withResponse();
  assert.equal(data.output_text, 'Hello there');
  assert.equal(data.status, 'completed');
  assert.equal(data.id, `resp_${response.headers.get('x-run-id')}`);
  assert.match((await lastAsked()).messages[0].content, /Be brief\./);
  const row = await native('GET', `/v1/runs/${data.id.slice(5)}`);
  assert.equal(data.usage.input_tokens, row.usage.inputTokens);
  assert.equal(data.usage.output_tokens, row.usage.outputTokens);
});

check('a stream, event by event', async () => {
  const types = [];
  let sequence = 0, text = '';
  for await (const event of await create('[plain][chunks 3][pause 5] one two three', { stream: true })) {
    assert.equal(event.sequence_number, sequence++);
    if (types.at(-1) !== event.type) types.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
    if (event.type === 'response.completed') assert.ok(event.response.usage.total_tokens > 0);
  }
  assert.equal(text, 'one two three');
  assert.deepEqual(types, ['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
    'response.output_text.delta', 'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed']);
});

check('the helper for streams', async () => {
  const final = await client.responses.stream({ model: 'agent/main', input: '[plain] Hi!' }).finalResponse();
  assert.equal(final.output_text, 'Hi!');
});

check('messages of several steps are items of their own', async () => {
  const final = await client.responses.stream({ model: 'main', input: '[say 5][tool memory_get {"path":"x"}] x' }).finalResponse();
  assert.equal(final.output.length, 2);
  assert.match(final.output[1].content[0].text, /^done: /);
});

check('a response goes on with another', async () => {
  const first = await create('[plain] first');
  const second = await create('[plain] second', { previous_response_id: first.id });
  assert.equal(second.previous_response_id, first.id);
  assert.deepEqual(said(await lastAsked()), ['[plain] first', 'first', '[plain] second']);
  const third = await create([{ role: 'user', content: [{ type: 'input_text', text: '[plain] third' }] }], { previous_response_id: second.id });
  assert.equal(third.output_text, 'third');
  assert.equal(said(await lastAsked()).length, 5);
});

check('a conversation goes on', async () => {
  const conversation = `c-${Date.now()}`;
  await create('[plain] first', { conversation });
  await create('[plain] second', { conversation: { id: conversation } });
  assert.deepEqual(said(await lastAsked()), ['[plain] first', 'first', '[plain] second']);
});

check('items of before are turns', async () => {
  await create([
    { role: 'developer', content: 'Be kind.' },
    { role: 'user', content: 'one' },
    { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'two', annotations: [] }] },
    { role: 'user', content: [{ type: 'input_text', text: '[plain] three' }] },
  ]);
  assert.deepEqual(said(await lastAsked()), ['one', 'two', '[plain] three']);
});

check('parameters reach the model', async () => {
  await create('[plain] x', { temperature: 0.5, max_output_tokens: 77, reasoning: { effort: 'low' }, store: false, truncation: 'auto',
    text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' } } }, include: ['reasoning.encrypted_content'] });
  const asked = await lastAsked();
  assert.deepEqual([asked.temperature, asked.max_completion_tokens, asked.reasoning_effort], [0.5, 77, 'low']);
  assert.deepEqual(asked.response_format.json_schema.schema, { type: 'object' });
});

check('a response is there to be read', async () => {
  const made = await create('[plain] keep me');
  const read = await client.responses.retrieve(made.id);
  assert.equal(read.output_text, 'keep me');
  assert.equal(read.status, 'completed');
  assert.deepEqual(read.usage, made.usage);
  assert.equal(read.output[0].id, made.output[0].id);
});

check('one in the background', async () => {
  const made = await create('[delay 200][plain] later', { background: true });
  assert.ok(['queued', 'in_progress'].includes(made.status), made.status);
  const done = await waitFor(async () => {
    const r = await client.responses.retrieve(made.id);
    return r.status === 'completed' && r;
  });
  assert.equal(done.output_text, 'later');
});

check('cancelling', async () => {
  const made = await create('[delay 60000][plain] never', { background: true });
  await client.responses.cancel(made.id);
  const done = await waitFor(async () => {
    const r = await client.responses.retrieve(made.id);
    return r.status === 'cancelled' && r;
  });
  assert.equal(done.id, made.id);
  const again = await client.responses.cancel(made.id);
  assert.equal(again.status, 'cancelled');
});

check('deleting', async () => {
  const made = await create('[plain] forget me');
  const next = await create('[plain] me too', { previous_response_id: made.id });
  await client.responses.delete(made.id);
  await fails(client.responses.retrieve(made.id), OpenAI.NotFoundError);
  await fails(client.responses.delete(made.id), OpenAI.NotFoundError);
  await fails(create('x', { previous_response_id: made.id }), OpenAI.NotFoundError, { param: 'previous_response_id' });
  assert.equal((await client.responses.retrieve(next.id)).output_text, 'me too');
  const third = await create('[plain] and me', { previous_response_id: next.id });
  await client.responses.delete(next.id);
  await client.responses.delete(third.id);
  const live = await create('[delay 60000][plain] never', { background: true });
  await fails(client.responses.delete(live.id), OpenAI.ConflictError, { param: 'response_id' });
  await client.responses.cancel(live.id);
  await waitFor(async () => (await client.responses.retrieve(live.id)).status === 'cancelled');
  await client.responses.delete(live.id);
});

check('a stream whose run fails', async () => {
  let last;
  for await (const event of await create(`[status 400 9] ${Date.now()}`, { stream: true })) last = event;
  assert.equal(last.type, 'response.failed');
  assert.equal(last.response.error.code, 'model_bad_request');
  await fails(create(`[status 400 9] whole ${Date.now()}`), OpenAI.BadRequestError, { code: 'model_bad_request' });
});

check('errors are of the classes that the client knows', async () => {
  const unknown = 'resp_01234567-89ab-7def-8123-456789abcdef';
  await fails(create('x', { previous_response_id: unknown }), OpenAI.NotFoundError, { param: 'previous_response_id' });
  await fails(create('x', { previous_response_id: 'resp_x' }), OpenAI.BadRequestError, { param: 'previous_response_id' });
  await fails(create('x', { tools: [{ type: 'web_search' }] }), OpenAI.BadRequestError, { param: 'tools[0]' });
  await fails(create('x', { max_tool_calls: 1 }), OpenAI.BadRequestError, { param: 'max_tool_calls' });
  await fails(client.responses.retrieve(unknown), OpenAI.NotFoundError);
  await fails(client.responses.cancel(unknown), OpenAI.NotFoundError);
  await fails(new OpenAI({ apiKey: 'tbt_no', maxRetries: 0 }).responses.create({ model: 'main', input: 'x' }), OpenAI.AuthenticationError);
});
