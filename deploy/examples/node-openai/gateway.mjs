// SPDX-License-Identifier: Apache-2.0
// A gateway of some forty lines: browsers ask it, it asks the node by the `openai` library and streams the answer's text on. Who asks is this
// gateway's to find out; here the field x-user says it. A user has one session of his own, and the token never leaves this process.
import { createServer } from 'node:http';
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: process.env.TERABITS_URL ?? 'http://127.0.0.1:7717/v1',
  apiKey: process.env.TERABITS_TOKEN,
});
const BODY_MOST = 1 << 20;

async function bodyOf(request) {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) {
    text += piece;
    if (text.length > BODY_MOST) throw Object.assign(new Error('the message is too long'), { status: 413 });
  }
  return text;
}

async function answer(request, response) {
  const user = request.headers['x-user'];
  if (request.method !== 'POST' || request.url !== '/chat') throw Object.assign(new Error('there is POST /chat alone'), { status: 404 });
  if (!user) throw Object.assign(new Error('x-user is missing'), { status: 401 });
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const stream = await client.chat.completions.create(
    { model: process.env.AGENT ?? 'main', user, messages: [{ role: 'user', content: await bodyOf(request) }], stream: true },
    { signal: gone.signal },
  );
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  for await (const chunk of stream) response.write(chunk.choices[0]?.delta?.content ?? '');
  response.end();
}

const server = createServer((request, response) =>
  answer(request, response).catch((error) => {
    if (response.headersSent) response.destroy(error);
    else response.writeHead(error.status ?? 502, { 'content-type': 'text/plain' }).end(`${error.message}\n`);
  }),
);
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
