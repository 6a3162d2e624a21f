// SPDX-License-Identifier: Apache-2.0
// What the programs here share: check("what", async () => {...}) runs them one after the other, a line each; the first argument of
// the command line chooses those whose name has it. The exit status says whether all went well.
import assert from 'node:assert/strict';

export { assert };
export const base = process.env.TB_BASE;
export const token = process.env.TB_TOKEN;
const only = process.argv[2] ?? '';
const checks = [];

export function check(name, body) {
  if (name.includes(only)) checks.push([name, body]);
}

/** The first truthy value of what(); fails after `seconds`. */
export async function waitFor(what, seconds = 20) {
  for (const end = Date.now() + seconds * 1000; ; await new Promise((r) => setTimeout(r, 20))) {
    const value = await what();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
  }
}

/** A call of the native API: its decoded answer. */
export async function native(method, path, body) {
  const r = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const text = await r.text();
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** What the fake model was asked last. */
export async function lastAsked() {
  return (await fetch(`${process.env.TB_FAKE}/last`)).json();
}

/** Whether the promise fails with an error of that class and these members. */
export async function fails(promise, kind, members = {}) {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (e) => e,
  );
  assert.ok(error instanceof kind, `${kind.name} expected: ${error?.stack ?? error}`);
  for (const [name, value] of Object.entries(members)) assert.deepEqual(error[name], value, `${name} of ${error.message}`);
  return error;
}

process.on('beforeExit', async () => {
  if (!checks.length) return;
  for (const [name, body] of checks.splice(0)) {
    const began = Date.now();
    try {
      await body();
      console.log(`ok ${name} ${Date.now() - began} ms`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAILED ${name}: ${error?.stack ?? error}`);
    }
  }
});
