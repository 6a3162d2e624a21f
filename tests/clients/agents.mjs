// SPDX-License-Identifier: Apache-2.0
// @openai/agents: runs of an agent of the client's, over both APIs.
import { Agent, OpenAIProvider, Runner, setTracingDisabled } from '@openai/agents';
import { assert, check, lastAsked } from './harness.mjs';

setTracingDisabled(true);

const apis = { chat: false, responses: true };
for (const [name, useResponses] of Object.entries(apis)) {
  const runner = new Runner({
    modelProvider: new OpenAIProvider({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL, useResponses }),
    tracingDisabled: true,
  });

  check(`${name}: a run`, async () => {
    const agent = new Agent({ name: 'Greeter', instructions: 'Greet.', model: 'main' });
    const result = await runner.run(agent, '[plain] Hello there');
    assert.equal(result.finalOutput, 'Hello there');
    assert.match((await lastAsked()).messages[0].content, /Greet\./);
  });

  check(`${name}: a stream`, async () => {
    const agent = new Agent({ name: 'Greeter', model: 'main' });
    const result = await runner.run(agent, '[plain][chunks 3][pause 5] one two three', { stream: true });
    let text = '';
    for await (const piece of result.toTextStream({ compatibleWithNodeStreams: false })) text += piece;
    await result.completed;
    assert.equal(text, 'one two three');
    assert.equal(result.finalOutput, 'one two three');
  });

  check(`${name}: a second turn has the first`, async () => {
    const agent = new Agent({ name: 'Greeter', model: 'main' });
    const first = await runner.run(agent, '[plain] first');
    await runner.run(agent, [...first.history, { role: 'user', content: '[plain] second' }]);
    const said = (await lastAsked()).messages.filter((m) => m.role !== 'system').map((m) => m.content);
    assert.deepEqual(said, ['[plain] first', 'first', '[plain] second']);
  });
}
