// SPDX-License-Identifier: Apache-2.0
// Each library that package.json names can be loaded, and is the version that it names.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { assert, check } from './harness.mjs';

const { dependencies } = createRequire(import.meta.url)('./package.json');

for (const [name, wanted] of Object.entries(dependencies))
  check(name, async () => {
    const { version } = JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url)));
    assert.equal(version, wanted.split('@').at(-1));
    assert.ok(Object.keys(await import(name)).length);
  });
