// SPDX-License-Identifier: Apache-2.0
// @modelcontextprotocol/client in each of its modes.
import { randomUUID } from 'node:crypto';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { assert, base, check, native, token } from './harness.mjs';

async function connect(mode, given = token) {
  const client = new Client({ name: 'test', version: '1.0' }, mode ? { versionNegotiation: { mode } } : {});
  const transport = new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { requestInit: { headers: { authorization: `Bearer ${given}` } } });
  await client.connect(transport);
  return client;
}

const names = async (client) => (await client.listTools()).tools.map((t) => t.name).sort();
const text = (result) => result.content.map((c) => c.text).join('');

for (const [word, mode, version] of [['with a handshake', undefined, '2025-11-25'], ['by itself', 'auto', '2026-07-28'],
  ['pinned', { pin: '2026-07-28' }, '2026-07-28']])
  check(`a client connects ${word}`, async () => {
    const client = await connect(mode);
    assert.equal(client.getNegotiatedProtocolVersion(), version);
    assert.equal(client.getServerVersion().name, 'terabits');
    const tools = (await client.listTools()).tools;
    for (const t of tools) {
      assert.equal(t.inputSchema.$schema, 'https://json-schema.org/draft/2020-12/schema');
      assert.equal(t.inputSchema.additionalProperties, false);
      assert.equal(t.outputSchema.type, 'object');
      assert.equal(typeof t.annotations.readOnlyHint, 'boolean');
    }
    const sent = await client.callTool({ name: 'sessions_send', arguments: { message: `hello ${word}`, sessionKey: `mcp ${randomUUID()}` } });
    assert.ok(!sent.isError, text(sent));
    assert.equal(sent.structuredContent.status, 'completed');
    assert.ok(sent.structuredContent.result.text.includes(`hello ${word}`));
    assert.deepEqual(JSON.parse(text(sent)), sent.structuredContent);
    const run = await client.callTool({ name: 'run_get', arguments: { runId: sent.structuredContent.runId } });
    assert.deepEqual(run.structuredContent, sent.structuredContent);
    await client.close();
  });

check('sessions are listed and read', async () => {
  const client = await connect('auto');
  const sessionKey = `read ${randomUUID()}`;
  const long = 'w'.repeat(9000);
  await client.callTool({ name: 'sessions_send', arguments: { message: long, sessionKey } });
  await client.callTool({ name: 'sessions_send', arguments: { message: '[tool memory_store {"text":"x"}] go', sessionKey, agent: 'free' } });
  const { sessions } = (await client.callTool({ name: 'sessions_list', arguments: { agent: 'main', limit: 200 } })).structuredContent;
  const session = sessions.find((s) => s.sessionKey === sessionKey);
  assert.ok(session);
  const history = (await client.callTool({ name: 'sessions_history', arguments: { sessionId: session.sessionId } })).structuredContent;
  assert.deepEqual(history.messages.map((m) => m.role), ['assistant', 'user']);
  assert.equal(history.messages[1].content[0].text.length, 4000);
  assert.equal(history.messages[1].content[0].bytes, 9000);
  const byKey = async (more) => (await client.callTool({ name: 'sessions_history', arguments: { sessionKey, agent: 'free', ...more } })).structuredContent;
  assert.ok(!JSON.stringify(await byKey({})).includes('tool_call'));
  assert.ok(JSON.stringify(await byKey({ includeTools: true })).includes('tool_call'));
  const page = await byKey({ limit: 1 });
  assert.equal(page.messages.length, 1);
  assert.ok((await byKey({ limit: 1, before: page.next })).messages.every((m) => m.seq < page.messages[0].seq));
  await client.close();
});

check('a long run outlives its wait', async () => {
  const client = await connect('auto');
  const sent = await client.callTool({ name: 'sessions_send', arguments: { message: '[delay 1500] slow', sessionKey: randomUUID(), timeoutSeconds: 1 } });
  assert.ok(['running', 'queued'].includes(sent.structuredContent.status), text(sent));
  const { runId } = sent.structuredContent;
  const end = await client.callTool({ name: 'run_wait', arguments: { runId } });
  assert.equal(end.structuredContent.status, 'completed');
  assert.ok(end.structuredContent.result.text.includes('slow'));
  await client.close();
});

check('a run is cancelled', async () => {
  const client = await connect('auto');
  const sent = await client.callTool({ name: 'sessions_send', arguments: { message: '[delay 60000] never', sessionKey: randomUUID(), timeoutSeconds: 0 } });
  const { runId } = sent.structuredContent;
  const cancelled = await client.callTool({ name: 'run_cancel', arguments: { runId } });
  assert.ok(['cancelling', 'cancelled'].includes(cancelled.structuredContent.status), text(cancelled));
  assert.equal((await client.callTool({ name: 'run_wait', arguments: { runId } })).structuredContent.status, 'cancelled');
  await client.close();
});

check('what goes wrong is told to the model', async () => {
  const client = await connect('auto');
  for (const [name, args, words] of [['run_get', { runId: randomUUID() }, 'not_found: there is no such run'],
    ['run_wait', { runId: randomUUID() }, 'not_found: there is no such run'], ['run_cancel', { runId: randomUUID() }, 'not_found: there is no such run'],
    ['sessions_send', { message: 'x', agent: 'nobody' }, 'not_found: there is no such agent'],
    ['sessions_send', { message: 'x', sessionKey: 'cron:x' }, 'bad_request: sessionKey must not begin'],
    ['sessions_send', {}, 'bad_request: message is missing'], ['sessions_list', { limit: 0 }, 'bad_request: limit must be an integer from 1 to 200'],
    ['sessions_list', { colour: 'red' }, 'bad_request: there is no argument "colour"'],
    ['sessions_history', { sessionId: randomUUID() }, 'not_found: there is no such session']]) {
    const result = await client.callTool({ name, arguments: args });
    assert.ok(result.isError && text(result).startsWith(words), `${name}: ${text(result)}`);
  }
  await assert.rejects(client.callTool({ name: 'no_such_tool', arguments: {} }), /unknown tool/);
  await client.close();
});

check("an agent's memory", async () => {
  const client = await connect('auto');
  const call = async (name, args) => {
    const result = await client.callTool({ name, arguments: { agent: 'free', path: 'notes/mcp.md', ...args } });
    return result.isError ? text(result) : result.structuredContent;
  };
  assert.ok((await call('memory_get', {})).startsWith('not_found'));
  const first = await call('memory_store', { text: '# Herons\nThe heron stands in the reeds.' });
  assert.equal(first.path, 'notes/mcp.md');
  await Promise.all(Array.from({ length: 4 }, (_, i) => call('memory_store', { text: `line ${i}` })));
  const whole = await call('memory_get', {});
  assert.equal(whole.version, first.version + 4);
  assert.equal(whole.text.split('\n').length, 6);
  const part = await call('memory_get', { from: 2, lines: 1 });
  assert.deepEqual([part.text, part.next], ['The heron stands in the reeds.\n', 3]);
  const found = await client.callTool({ name: 'memory_search', arguments: { agent: 'free', query: 'heron' } });
  assert.equal(found.structuredContent.results[0].path, 'notes/mcp.md');
  await call('memory_store', { text: 'anew', mode: 'replace', tags: ['x'] });
  assert.equal((await call('memory_get', {})).text, 'anew');
  assert.ok((await call('memory_store', { text: 'x', path: '../x' })).startsWith('bad_request: path'));
  const other = await connect('auto', process.env.TB_OTHER);
  assert.ok(text(await other.callTool({ name: 'memory_get', arguments: { agent: 'free' } })).startsWith('not_found'));
  await other.close();
  await client.close();
});

check("a token's scopes are the tools'", async () => {
  const reader = await connect('auto', process.env.TB_READER);
  assert.ok(!(await names(reader)).some((n) => ['sessions_send', 'run_cancel', 'memory_store'].includes(n)));
  await assert.rejects(reader.callTool({ name: 'sessions_send', arguments: { message: 'x' } }), /unknown tool/);
  await reader.close();
});

check('another tenant sees nothing', async () => {
  const client = await connect('auto');
  const other = await connect('auto', process.env.TB_OTHER);
  const sessionKey = `mine ${randomUUID()}`;
  const sent = (await client.callTool({ name: 'sessions_send', arguments: { message: 'secret', sessionKey } })).structuredContent;
  assert.deepEqual((await other.callTool({ name: 'sessions_list', arguments: {} })).structuredContent.sessions, []);
  const { sessionId } = await native('GET', `/v1/agents/main/sessions/${encodeURIComponent(sessionKey)}`);
  for (const [name, args] of [['run_get', { runId: sent.runId }], ['run_wait', { runId: sent.runId }], ['run_cancel', { runId: sent.runId }],
    ['sessions_history', { sessionId }]])
    assert.ok(text(await other.callTool({ name, arguments: args })).startsWith('not_found'), name);
  await client.close();
  await other.close();
});
