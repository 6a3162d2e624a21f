// SPDX-License-Identifier: Apache-2.0
// openai's and ai's embeddings: packed, as openai's client asks for them by itself, and as numbers.
import { createOpenAI } from '@ai-sdk/openai';
import * as ai6 from 'ai';
import * as ai7 from 'ai7';
import OpenAI from 'openai';
import { assert, check, fails } from './harness.mjs';

const client = new OpenAI({ maxRetries: 0 });
const length = (v) => Math.hypot(...v);

check('packed and as numbers it is the same', async () => {
  const input = ['the quick fox', 'a lazy dog', 'the quick dog'];
  const packed = await client.embeddings.create({ model: 'offline', input });
  const numbers = await client.embeddings.create({ model: 'offline', input, encoding_format: 'float' });
  assert.deepEqual(packed.data.map((d) => d.index), [0, 1, 2]);
  assert.ok(packed.usage.prompt_tokens > 0);
  for (const [i, { embedding }] of packed.data.entries()) {
    assert.equal(embedding.length, 512);
    assert.ok(Math.abs(length(embedding) - 1) < 1e-4, `${length(embedding)}`);
    embedding.forEach((x, k) => assert.ok(Math.abs(x - numbers.data[i].embedding[k]) < 1e-5));
  }
});

check("a provider's", async () => {
  const got = await client.embeddings.create({ model: 'openai/text-embedding-3-small', input: 'three' });
  assert.equal(got.data[0].embedding[0], 5);
});

check('errors are of the classes that the client knows', async () => {
  await fails(client.embeddings.create({ model: 'nobody/x', input: 'x' }), OpenAI.BadRequestError, { code: 'model_config' });
  await fails(client.embeddings.create({ model: 'offline', input: [] }), OpenAI.BadRequestError, { param: 'input' });
  await fails(client.embeddings.create({ model: 'openai/refused', input: '[status 429]' }), OpenAI.RateLimitError, { code: 'model_rate_limit' });
});

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL });
for (const [version, ai] of Object.entries({ ai6, ai7 }))
  check(`${version}: many`, async () => {
    const model = openai.embedding('offline');
    const { embeddings } = await ai.embedMany({ model, values: ['the quick fox', 'the quick fox', 'nothing of it'] });
    assert.ok(ai.cosineSimilarity(embeddings[0], embeddings[1]) > 0.999);
    assert.ok(ai.cosineSimilarity(embeddings[0], embeddings[2]) < 0.5);
  });
