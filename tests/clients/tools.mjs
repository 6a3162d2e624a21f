// SPDX-License-Identifier: Apache-2.0
// Tools of the client's, through each library: the model asks for them, the client carries them out, the model reads what came of it.
import { createOpenAI } from '@ai-sdk/openai';
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from '@openai/agents';
import * as ai6 from 'ai';
import * as ai7 from 'ai7';
import OpenAI from 'openai';
import { z } from 'zod';
import { assert, check, fails, lastAsked } from './harness.mjs';

setTracingDisabled(true);
const client = new OpenAI({ maxRetries: 0 });
const schema = { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } }, required: ['a', 'b'] };
const add = { type: 'function', function: { name: 'add', description: 'adds numbers', parameters: schema } };
const flat = { type: 'function', name: 'add', description: 'adds numbers', parameters: schema, strict: false };
const question = (extra = '') => ({ role: 'user', content: `[tool add {"a":2,"b":3}]${extra} x` });

// ---- openai, chat

check('chat: a round trip without a session', async () => {
  const messages = [question()];
  const first = await client.chat.completions.create({ model: 'main', messages, tools: [add] });
  const { message, finish_reason } = first.choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, null);
  assert.equal(message.tool_calls[0].function.name, 'add');
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { a: 2, b: 3 });
  assert.ok((await lastAsked()).tools.some((t) => t.function.name === 'add' && t.function.parameters.required[0] === 'a'));
  messages.push(message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sum 5' });
  const second = await client.chat.completions.create({ model: 'main', messages, tools: [add] });
  assert.match(second.choices[0].message.content, /^done: .*sum 5/s);
  const asked = (await lastAsked()).messages.filter((m) => m.role !== 'system');
  assert.deepEqual(asked.map((m) => m.role), ['user', 'assistant', 'tool']);
  assert.equal(asked[2].tool_call_id, message.tool_calls[0].id);
});

check('chat: a round trip in a session, streaming', async () => {
  const user = `tools-${Date.now()}`;
  const messages = [question('[say 4]')];
  const runner = client.chat.completions.stream({ model: 'main', user, messages, tools: [add], stream_options: { include_usage: true } });
  const first = await runner.finalChatCompletion();
  assert.equal(first.choices[0].finish_reason, 'tool_calls');
  assert.ok(first.usage.total_tokens > 0);
  const { message } = first.choices[0];
  assert.equal(message.content.length, 4);
  messages.push(message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sum 5' });
  const second = await client.chat.completions.stream({ model: 'main', user, messages, tools: [add] }).finalContent();
  assert.match(second, /^done: .*sum 5/s);
});

check('chat: many calls at once, and their results', async () => {
  const messages = [{ role: 'user', content: '[tool add {"a":1,"b":1}][tool add {"a":2,"b":2}] x' }];
  const { message } = (await client.chat.completions.create({ model: 'main', messages, tools: [add] })).choices[0];
  assert.equal(message.tool_calls.length, 2);
  assert.notEqual(message.tool_calls[0].id, message.tool_calls[1].id);
  messages.push(message, ...message.tool_calls.map((c, i) => ({ role: 'tool', tool_call_id: c.id, content: `r${i}` })));
  const second = await client.chat.completions.create({ model: 'main', messages, tools: [add] });
  assert.match(second.choices[0].message.content, /^done: /);
});

check('chat: long arguments come whole', async () => {
  const text = 'y'.repeat(20000);
  const { message } = (await client.chat.completions.create({
    model: 'main', messages: [{ role: 'user', content: `[tool add {"a":"${text}"}] x` }], tools: [add] })).choices[0];
  assert.equal(JSON.parse(message.tool_calls[0].function.arguments).a, text);
});

check('chat: the choice of a tool reaches the model', async () => {
  await client.chat.completions.create({ model: 'main', messages: [{ role: 'user', content: '[plain] x' }], tools: [add], tool_choice: 'none' });
  assert.equal((await lastAsked()).tool_choice, 'none');
  await client.chat.completions.create({ model: 'main', messages: [question()], tools: [add], tool_choice: { type: 'function', function: { name: 'add' } } });
  assert.equal((await lastAsked()).tool_choice.function.name, 'add');
});

check('chat: a result of no call', async () => {
  await fails(client.chat.completions.create({ model: 'main', messages: [{ role: 'user', content: 'x' }, { role: 'tool', tool_call_id: 'none', content: 'r' }] }),
    OpenAI.BadRequestError, { param: 'messages[1]' });
  await fails(client.chat.completions.create({ model: 'main', user: `stray-${Date.now()}`, messages: [{ role: 'tool', tool_call_id: 'none', content: 'r' }] }),
    OpenAI.BadRequestError, { code: 'bad_request' });
});

check('chat: a name that the runtime has', async () => {
  await fails(client.chat.completions.create({ model: 'main', messages: [question()], tools: [{ type: 'function', function: { name: 'memory_get', parameters: schema } }] }),
    OpenAI.BadRequestError);
});

// ---- openai, responses

check('responses: a round trip by previous_response_id', async () => {
  const first = await client.responses.stream({ model: 'main', input: [question()], tools: [flat] }).finalResponse();
  const call = first.output.find((i) => i.type === 'function_call');
  assert.equal(call.name, 'add');
  assert.deepEqual(JSON.parse(call.arguments), { a: 2, b: 3 });
  const second = await client.responses.create({
    model: 'main', previous_response_id: first.id, tools: [flat], input: [{ type: 'function_call_output', call_id: call.call_id, output: 'sum 5' }] });
  assert.match(second.output_text, /^done: .*sum 5/s);
  const read = await client.responses.retrieve(first.id);
  assert.deepEqual(read.output.map((i) => i.type), first.output.map((i) => i.type));
});

check('responses: a round trip with all items, without a session', async () => {
  const input = [question()];
  const first = await client.responses.create({ model: 'main', input, tools: [flat], store: false });
  input.push(...first.output, { type: 'function_call_output', call_id: first.output[0].call_id, output: 'sum 5' });
  const second = await client.responses.create({ model: 'main', input, tools: [flat], store: false });
  assert.match(second.output_text, /^done: .*sum 5/s);
});

// ---- @openai/agents

for (const [name, useResponses] of Object.entries({ chat: false, responses: true })) {
  const runner = new Runner({
    modelProvider: new OpenAIProvider({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL, useResponses }),
    tracingDisabled: true,
  });

  check(`agents, ${name}: a tool, streaming`, async () => {
    const given = [];
    const add = tool({
      name: 'add', description: 'adds', parameters: z.object({ a: z.number(), b: z.number() }),
      execute: async (input) => {
        given.push(input);
        return `sum ${input.a + input.b}`;
      },
    });
    const agent = new Agent({ name: 'Adder', model: 'main', tools: [add] });
    const result = await runner.run(agent, '[tool add {"a":2,"b":3}] x', { stream: true });
    for await (const _ of result);
    await result.completed;
    assert.deepEqual(given, [{ a: 2, b: 3 }]);
    assert.match(result.finalOutput, /^done: .*sum 5/s);
  });
}

// ---- ai

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL });
const models = { chat: () => openai.chat('main'), responses: () => openai('main') };

for (const [version, ai] of Object.entries({ ai6, ai7 }))
  for (const [name, model] of Object.entries(models)) {
    check(`${version} ${name}: a tool`, async () => {
      const given = [];
      const add = ai.tool({
        description: 'adds', inputSchema: z.object({ a: z.number(), b: z.number() }),
        execute: async (input) => {
          given.push(input);
          return { sum: input.a + input.b };
        },
      });
      const got = await ai.generateText({ model: model(), prompt: '[tool add {"a":2,"b":3}] x', tools: { add }, stopWhen: ai.stepCountIs?.(3) ?? ai.isStepCount(3), maxRetries: 0 });
      assert.deepEqual(given, [{ a: 2, b: 3 }]);
      assert.equal(got.steps.length, 2);
      assert.match(got.text, /^done: .*"sum":5/s);
    });
  }
