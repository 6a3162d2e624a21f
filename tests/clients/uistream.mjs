// SPDX-License-Identifier: Apache-2.0
// The AI SDK's chat, as useChat runs it: DefaultChatTransport below, the messages above. Both major versions.
import { randomUUID } from 'node:crypto';
import * as ai6 from 'ai';
import * as ai7 from 'ai7';
import { assert, base, check, native, token, waitFor } from './harness.mjs';

const headers = { Authorization: `Bearer ${token}` };

class State {
  status = 'ready';
  error = undefined;
  messages = [];
  pushMessage = (m) => void this.messages.push(m);
  popMessage = () => void this.messages.pop();
  replaceMessage = (i, m) => void (this.messages[i] = m);
  snapshot = (x) => structuredClone(x);
}

function chat(ai, { agent = 'main', id = randomUUID(), body, ...rest } = {}) {
  class Chat extends ai.AbstractChat {}
  const api = agent ? `${base}/v1/agents/${agent}/ui` : `${base}/v1/ui`;
  const state = new State();
  const errors = [];
  const made = new Chat({ id, state, transport: new ai.DefaultChatTransport({ api, headers, body }), onError: (e) => void errors.push(e), ...rest });
  made.errors = errors;
  return made;
}

const textOf = (m) => m.parts.filter((p) => p.type === 'text').map((p) => p.text).join('');
const kinds = (m) => m.parts.map((p) => p.type);
const last = (c) => c.messages.at(-1);
const settled = (c) => waitFor(() => c.status === 'ready' || c.status === 'error');

async function history(agent, c) {
  const key = encodeURIComponent(`ui:${c.id}`);
  return (await native('GET', `/v1/agents/${agent}/sessions/${key}/messages?limit=200`)).messages.reverse();
}

for (const [version, ai] of [['6', ai6], ['7', ai7]]) {
  check(`${version}: a text, and the chat goes on`, async () => {
    const c = chat(ai);
    await c.sendMessage({ text: 'the first' });
    assert.deepEqual(c.errors, []);
    assert.deepEqual(kinds(last(c)), ['step-start', 'text']);
    assert.ok(textOf(last(c)).includes('the first'));
    assert.ok(last(c).metadata.runId && last(c).metadata.usage.inputTokens > 0);
    await c.sendMessage({ text: 'the second' });
    assert.equal(c.messages.length, 4);
    assert.ok(textOf(last(c)).includes('the second'));
    assert.deepEqual((await history('main', c)).map((m) => m.role), ['user', 'assistant', 'user', 'assistant']);
  });

  check(`${version}: the last answer anew`, async () => {
    const c = chat(ai);
    await c.sendMessage({ text: 'again please' });
    const before = last(c).id;
    await c.regenerate();
    assert.deepEqual(c.errors, []);
    assert.equal(c.messages.length, 2);
    assert.notEqual(last(c).id, before);
    assert.ok(textOf(last(c)).includes('again please'));
  });

  check(`${version}: tools of the runtime`, async () => {
    const c = chat(ai, { agent: 'free' });
    await c.sendMessage({ text: '[say 20][tool memory_store {"text":"kept"}] go' });
    assert.deepEqual(c.errors, []);
    assert.deepEqual(kinds(last(c)), ['step-start', 'text', 'dynamic-tool', 'step-start', 'text']);
    const part = last(c).parts[2];
    assert.deepEqual([part.toolName, part.state, part.input, part.providerExecuted], ['memory_store', 'output-available', { text: 'kept' }, true]);
  });

  check(`${version}: a person approves, and the same message goes on`, async () => {
    const c = chat(ai, { agent: 'asks', sendAutomaticallyWhen: ai.lastAssistantMessageIsCompleteWithApprovalResponses });
    await c.sendMessage({ text: '[tool memory_store {"text":"a"}][tool memory_store {"text":"b"}] go' });
    assert.deepEqual(c.errors, []);
    assert.equal(c.status, 'ready');
    const id = last(c).id;
    const asked = last(c).parts.filter((p) => p.type === 'dynamic-tool');
    assert.deepEqual(asked.map((p) => p.state), ['approval-requested', 'approval-requested']);
    await c.addToolApprovalResponse({ id: asked[0].approval.id, approved: true });
    await c.addToolApprovalResponse({ id: asked[1].approval.id, approved: false, reason: 'not that one' });
    await waitFor(() => last(c).parts.some((p) => p.type === 'text') && c.status === 'ready');
    assert.deepEqual(c.errors, []);
    assert.equal(c.messages.length, 2);
    assert.equal(last(c).id, id);
    assert.deepEqual(last(c).parts.filter((p) => p.type === 'dynamic-tool').map((p) => p.state), ['output-available', 'output-denied']);
    const results = (await history('asks', c)).filter((m) => m.role === 'tool').map((m) => m.content.blocks[0]);
    assert.deepEqual(results.map((b) => b.isError), [false, true]);
    assert.ok(results[1].text.includes('not that one'));
  });

  check(`${version}: a tool of the client's own`, async () => {
    const tools = [{ name: 'get_location', description: 'where the user is', parameters: { type: 'object' } }];
    const c = chat(ai, { body: { tools }, sendAutomaticallyWhen: ai.lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall }) => void (toolCall.dynamic || c.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { city: 'Ghent' } })) });
    await c.sendMessage({ text: '[tool get_location {"exact":true}] where am I' });
    await waitFor(() => last(c).parts.some((p) => p.type === 'text') && c.status === 'ready');
    assert.deepEqual(c.errors, []);
    assert.equal(c.messages.length, 2);
    const part = last(c).parts.find((p) => p.type === 'tool-get_location');
    assert.deepEqual([part.state, part.input, part.output], ['output-available', { exact: true }, { city: 'Ghent' }]);
    assert.ok((await history('main', c)).find((m) => m.role === 'tool').content.blocks[0].text.includes('Ghent'));
  });

  check(`${version}: a run that fails`, async () => {
    const c = chat(ai);
    await c.sendMessage({ text: '[status 400] no' });
    assert.equal(c.status, 'error');
    assert.equal(c.errors.length, 1);
  });
}

check('a run that is under way is resumed', async () => {
  const c = chat(ai6);
  const sent = c.sendMessage({ text: '[chunks 10][pause 150] one two three four five' });
  await waitFor(() => c.messages.length === 2 && textOf(last(c)));
  const other = chat(ai6, { id: c.id });
  other.messages = structuredClone(c.messages.slice(0, 1));
  await Promise.all([other.resumeStream(), sent]);
  assert.deepEqual(other.errors, []);
  assert.equal(textOf(last(other)), textOf(last(c)));
  assert.equal(last(other).id, last(c).id);
  const none = await new ai6.DefaultChatTransport({ api: `${base}/v1/agents/main/ui`, headers }).reconnectToStream({ chatId: c.id });
  assert.equal(none, null);
});

check('what was resumed while a person is asked ends, too', async () => {
  const c = chat(ai6, { agent: 'asks' });
  await c.sendMessage({ text: '[tool memory_store {"text":"a"}] go' });
  const other = chat(ai6, { id: c.id, agent: 'asks', sendAutomaticallyWhen: ai6.lastAssistantMessageIsCompleteWithApprovalResponses });
  other.messages = structuredClone(c.messages.slice(0, 1));
  await other.resumeStream();
  assert.equal(other.status, 'ready');
  const [asked] = last(other).parts.filter((p) => p.state === 'approval-requested');
  await other.addToolApprovalResponse({ id: asked.approval.id, approved: true });
  await waitFor(() => last(other).parts.some((p) => p.type === 'text') && other.status === 'ready');
  assert.deepEqual(other.errors, []);
});

check('an approval of another chat is none of this one', async () => {
  const c = chat(ai6, { agent: 'asks' });
  await c.sendMessage({ text: '[tool memory_store {"text":"a"}] go' });
  const asked = last(c).parts.find((p) => p.state === 'approval-requested');
  const part = { ...asked, state: 'approval-responded', approval: { id: asked.approval.id, approved: true } };
  const post = (agent, id) => fetch(`${base}/v1/agents/${agent}/ui`, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ id, messages: [c.messages[0], { ...last(c), parts: [part] }], trigger: 'submit-message' }) });
  assert.equal((await post('asks', randomUUID())).status, 404);
  assert.equal((await post('main', c.id)).status, 404);
  const run = await native('GET', `/v1/runs/${last(c).metadata.runId}`);
  assert.equal(run.status, 'waiting');
  await native('POST', `/v1/runs/${last(c).metadata.runId}/cancel`, {});
});

check('a text that is begun anew', async () => {
  const c = chat(ai6);
  await c.sendMessage({ text: `[chunks 6][pause 20][reset 3 1] ${randomUUID()} all of these words` });
  const reset = last(c).parts.find((p) => p.type === 'data-reset');
  assert.ok(reset, JSON.stringify(last(c)));
  assert.ok(last(c).parts.at(-1).text.includes('all of these words'));
});

check('the agent where none is named, its headers, and images', async () => {
  const c = chat(ai6, { agent: null });
  await c.sendMessage({ text: 'what is this', files: [{ type: 'file', mediaType: 'image/png', filename: 'x.png',
    url: 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==' }] });
  assert.deepEqual(c.errors, []);
  const agents = await native('GET', `/v1/sessions`);
  assert.ok(agents.sessions.some((s) => s.sessionKey === `ui:${c.id}`));
  const r = await fetch(`${base}/v1/ui`, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ id: randomUUID(), messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }] }) });
  assert.equal(r.headers.get('x-vercel-ai-ui-message-stream'), 'v1');
  assert.equal(r.headers.get('x-accel-buffering'), 'no');
  const body = await r.text();
  assert.ok(body.endsWith('data: [DONE]\n\n'));
});
