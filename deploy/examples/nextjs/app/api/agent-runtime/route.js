// SPDX-License-Identifier: Apache-2.0
// app/api/agent-runtime: a message becomes a run of the node, and its events go to the browser as they come.
// POST {agentId, message, sessionKey}: places it, answers its events (server-sent; x-run-id names the run).
// GET ?run=ID: the same from the event behind Last-Event-ID on, which an EventSource sends by itself when its connection broke.
const node = () => process.env.TERABITS_URL ?? 'http://127.0.0.1:7717';

/** Whose request it is, as your application's session says. Here: a field. */
function userOf(request) {
  return request.headers.get('x-user');
}

function refuse(status, message) {
  return Response.json({ error: message }, { status });
}

/** The node's answer for the browser: its events, or why there are none, without anything else of it. */
async function passOn(asked) {
  const answer = await asked.catch(() => null);
  if (!answer) return refuse(502, 'the agent runtime does not answer');
  if (!answer.ok) {
    const { error } = await answer.json().catch(() => ({}));
    return refuse(answer.status === 401 ? 500 : answer.status, error?.message ?? 'the agent runtime refused');
  }
  if (answer.status === 204) return new Response(null, { status: 204 }); // an EventSource that has had all comes back no more
  return new Response(answer.body, {
    headers: {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      ...(answer.headers.get('x-run-id') && { 'x-run-id': answer.headers.get('x-run-id') }),
    },
  });
}

export async function POST(request) {
  const user = userOf(request);
  const { agentId, message, sessionKey } = await request.json().catch(() => ({}));
  if (!user) return refuse(401, 'who are you?');
  if (typeof agentId !== 'string' || typeof message !== 'string') return refuse(400, 'agentId and message are needed');
  return passOn(
    fetch(`${node()}/v1/agents/${encodeURIComponent(agentId)}/runs`, {
      method: 'POST',
      signal: request.signal,
      headers: {
        authorization: `Bearer ${process.env.TERABITS_TOKEN}`,
        'content-type': 'application/json',
        'idempotency-key': request.headers.get('idempotency-key') ?? crypto.randomUUID(),
      },
      // A key of this user's own: no browser names somebody else's session.
      body: JSON.stringify({ message, user, stream: true, sessionKey: `web:${encodeURIComponent(user)}:${sessionKey ?? 'main'}` }),
    }),
  );
}

export async function GET(request) {
  const run = new URL(request.url).searchParams.get('run') ?? '';
  const headers = { authorization: `Bearer ${process.env.TERABITS_TOKEN}` };
  const last = request.headers.get('last-event-id');
  if (!userOf(request)) return refuse(401, 'who are you?');
  if (!/^[0-9a-f-]{36}$/.test(run)) return refuse(400, 'run must be the id of a run');
  const asked = await fetch(`${node()}/v1/runs/${run}`, { headers }).catch(() => null);
  const { sessionKey = '' } = asked?.ok ? await asked.json() : {};
  if (!sessionKey.startsWith(`web:${encodeURIComponent(userOf(request))}:`)) return refuse(404, 'there is no such run');
  if (last) headers['last-event-id'] = last;
  return passOn(fetch(`${node()}/v1/runs/${run}/events`, { headers, signal: request.signal }));
}
