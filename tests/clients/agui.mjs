// SPDX-License-Identifier: Apache-2.0
// @ag-ui/client's HttpAgent: its own verifier refuses a stream whose events are out of order.
import { randomUUID } from 'node:crypto';
import { HttpAgent } from '@ag-ui/client';
import { assert, base, check, native, token, waitFor } from './harness.mjs';

function agent(path = '/v1/agents/main/agui', threadId = randomUUID()) {
  const made = new HttpAgent({ url: base + path, threadId, headers: { Authorization: `Bearer ${token}` } });
  made.seen = [];
  return made;
}

/** A user's message, and the run that answers it: its events. */
async function say(a, text, parameters = {}) {
  const seen = [];
  if (text !== null) a.addMessage({ id: randomUUID(), role: 'user', content: text });
  await a.runAgent(parameters, { onEvent: ({ event }) => void seen.push(event) });
  assert.equal(seen[0].type, 'RUN_STARTED');
  assert.equal(seen.at(-1).type, 'RUN_FINISHED');
  return seen;
}

const types = (events) => events.map((e) => e.type).filter((t, i, all) => t !== all[i - 1]);
const texts = (a) => a.messages.filter((m) => m.role === 'assistant').map((m) => m.content);

check('a text, and the thread goes on', async () => {
  const a = agent();
  const seen = await say(a, 'the first');
  assert.deepEqual(types(seen), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_FINISHED']);
  assert.equal(seen[0].threadId, a.threadId);
  assert.equal(seen.at(-1).outcome.type, 'success');
  assert.ok(seen.at(-1).usage[0].inputTokens > 0);
  await say(a, 'the second');
  assert.equal(a.messages.length, 4);
  assert.ok(texts(a)[1].includes('the second'));
  const session = await native('GET', `/v1/agents/main/sessions/${encodeURIComponent('agui:' + a.threadId)}`);
  assert.equal(session.messages, 4);
});

check('the agent where none is named', async () => {
  await say(agent('/v1/agui'), 'hello');
});

check('tools of the runtime come with their results', async () => {
  const a = agent('/v1/agents/free/agui');
  const seen = await say(a, '[say 20][tool memory_store {"text":"kept"}] go');
  const call = seen.find((e) => e.type === 'TOOL_CALL_START');
  const result = seen.find((e) => e.type === 'TOOL_CALL_RESULT');
  assert.equal(call.toolCallName, 'memory_store');
  assert.equal(result.toolCallId, call.toolCallId);
  assert.equal(seen.filter((e) => e.type === 'TOOL_CALL_ARGS').map((e) => e.delta).join(''), '{"text":"kept"}');
  assert.ok(a.messages.some((m) => m.role === 'tool' && m.toolCallId === call.toolCallId));
  assert.equal(seen.at(-1).outcome.pendingToolCallIds, undefined);
});

check('a message that is begun anew has another id', async () => {
  const a = agent();
  const seen = await say(a, `[chunks 6][pause 20][reset 3 1] ${randomUUID()} all of these words`);
  const reset = seen.find((e) => e.type === 'CUSTOM' && e.name === 'message_reset');
  assert.ok(reset, JSON.stringify(seen));
  const ids = seen.filter((e) => e.type === 'TEXT_MESSAGE_START').map((e) => e.messageId);
  assert.equal(new Set(ids).size, 2);
  assert.equal(reset.value.messageId, ids[0]);
  assert.ok(texts(a).at(-1).includes('all of these words'));
});

check('a run that fails ends with its error', async () => {
  const a = agent();
  a.addMessage({ id: randomUUID(), role: 'user', content: '[status 400] no' });
  const seen = [];
  await assert.rejects(a.runAgent({}, { onEvent: ({ event }) => void seen.push(event) }).then(() => {
    if (seen.at(-1).type === 'RUN_ERROR') throw new Error(seen.at(-1).message);
  }));
  assert.equal(seen.at(-1).type, 'RUN_ERROR');
  assert.ok(seen.at(-1).code);
});

check('the same request again is the same run', async () => {
  const body = { threadId: randomUUID(), runId: randomUUID(), state: {}, messages: [{ id: '1', role: 'user', content: 'once' }], tools: [],
    context: [{ description: 'the page', value: 'page seven' }], forwardedProps: {} };
  const post = async () => {
    const r = await fetch(`${base}/v1/agents/main/agui`, { method: 'POST', body: JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'text/event-stream' } });
    assert.equal(r.status, 200);
    return [r.headers.get('x-run-id'), (await r.text()).split('\n\n').filter((l) => l.startsWith('data:')).map((l) => JSON.parse(l.slice(5)))];
  };
  const [first, events] = await post();
  const [again, replayed] = await post();
  assert.equal(again, first);
  assert.deepEqual(types(replayed), types(events));
  body.messages[0].content = 'twice';
  const other = await fetch(`${base}/v1/agents/main/agui`, { method: 'POST', body: JSON.stringify(body),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } });
  assert.equal(other.status, 422);
  const run = await native('GET', `/v1/runs/${first}`);
  assert.equal(run.status, 'completed');
});

check('a client that leaves does not end its run', async () => {
  const a = agent();
  a.addMessage({ id: randomUUID(), role: 'user', content: '[chunks 8][pause 100] a long one' });
  let run;
  await a.runAgent({}, { onEvent: ({ event }) => {
    if (event.type === 'RUN_STARTED') run = event.metadata.runId;
    if (event.type === 'TEXT_MESSAGE_CONTENT') a.abortRun();
  } }).catch(() => {});
  assert.equal((await native('GET', `/v1/runs/${run}/wait`)).status, 'ok');
});

check('unless it asked for that', async () => {
  const a = agent();
  a.addMessage({ id: randomUUID(), role: 'user', content: '[chunks 100][pause 100] a long one' });
  let run;
  await a.runAgent({ forwardedProps: { cancelOnDisconnect: true } }, { onEvent: ({ event }) => {
    if (event.type === 'RUN_STARTED') run = event.metadata.runId;
    if (event.type === 'TEXT_MESSAGE_CONTENT') a.abortRun();
  } }).catch(() => {});
  assert.equal((await native('GET', `/v1/runs/${run}/wait`)).status, 'cancelled');
});

check('what a person is asked is told and the stream stays', async () => {
  const a = agent('/v1/agents/asks/agui');
  const seen = [];
  a.addMessage({ id: randomUUID(), role: 'user', content: '[tool memory_store {"text":"asked"}] go' });
  const done = a.runAgent({}, { onEvent: ({ event }) => void seen.push(event) });
  const asked = await waitFor(() => seen.find((e) => e.type === 'CUSTOM' && e.name === 'approval'));
  assert.equal(asked.value.approval.state, 'pending');
  await native('POST', `/v1/approvals/${asked.value.approval.id}`, { decision: 'approve' });
  await done;
  assert.ok(seen.some((e) => e.type === 'TOOL_CALL_RESULT'));
  assert.equal(seen.at(-1).type, 'RUN_FINISHED');
});

check("a tool of the client's own", async () => {
  const a = agent();
  const tools = [{ name: 'get_location', description: 'where the user is', parameters: { type: 'object', properties: { exact: { type: 'boolean' } } } }];
  const seen = await say(a, '[tool get_location {"exact":true}] where am I', { tools });
  const call = seen.find((e) => e.type === 'TOOL_CALL_START');
  assert.equal(call.toolCallName, 'get_location');
  assert.ok(!seen.some((e) => e.type === 'TOOL_CALL_RESULT'));
  assert.deepEqual(seen.at(-1).outcome.pendingToolCallIds, [call.toolCallId]);
  a.addMessage({ id: randomUUID(), role: 'tool', toolCallId: call.toolCallId, content: '{"city":"Ghent"}' });
  await say(a, null, { tools });
  const session = encodeURIComponent('agui:' + a.threadId);
  const history = await native('GET', `/v1/agents/main/sessions/${session}/messages`);
  const result = history.messages.find((m) => m.role === 'tool').content.blocks[0];
  assert.ok(result.text.includes('Ghent'));
});
