// SPDX-License-Identifier: Apache-2.0
// ai with @ai-sdk/openai: its chat and its default model, of both of its present versions.
import { createOpenAI } from '@ai-sdk/openai';
import * as ai6 from 'ai';
import * as ai7 from 'ai7';
import { assert, check, fails, lastAsked } from './harness.mjs';

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL });
const models = { chat: () => openai.chat('main'), responses: () => openai('main') };

for (const [version, ai] of Object.entries({ ai6, ai7 }))
  for (const [name, model] of Object.entries(models)) {
    check(`${version} ${name}: generateText`, async () => {
      const got = await ai.generateText({ model: model(), prompt: '[plain] Hello there', maxRetries: 0 });
      assert.equal(got.text, 'Hello there');
      assert.equal(got.finishReason, 'stop');
      assert.ok(got.usage.inputTokens > 0 && got.usage.outputTokens > 0);
    });

    check(`${version} ${name}: streamText`, async () => {
      const stream = ai.streamText({ model: model(), prompt: '[plain][chunks 3][pause 5] one two three', maxRetries: 0 });
      let text = '', pieces = 0;
      for await (const piece of stream.textStream) {
        text += piece;
        pieces++;
      }
      assert.equal(text, 'one two three');
      assert.ok(pieces > 1, `${pieces}`);
      assert.equal(await stream.finishReason, 'stop');
      assert.ok((await stream.usage).totalTokens > 0);
    });

    check(`${version} ${name}: turns before`, async () => {
      await ai.generateText({ model: model(), maxRetries: 0, messages: [{ role: 'user', content: 'one' }, { role: 'assistant', content: 'two' },
        { role: 'user', content: '[plain] three' }] });
      const said = (await lastAsked()).messages.filter((m) => m.role !== 'system').map((m) => m.content);
      assert.deepEqual(said, ['one', 'two', '[plain] three']);
    });

    check(`${version} ${name}: an error`, async () => {
      const error = await fails(ai.generateText({ model: name === 'chat' ? openai.chat('nobody') : openai('nobody'), prompt: 'x', maxRetries: 0 }), Error);
      assert.equal(error.statusCode, 404);
      assert.match(error.message, /does not exist/);
    });
  }
