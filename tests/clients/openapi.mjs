// SPDX-License-Identifier: Apache-2.0
// The document at /openapi.json is an OpenAPI 3.1 document, and its references lead somewhere.
import { Validator } from '@seriousme/openapi-schema-validator';
import { assert, base, check } from './harness.mjs';

check('the document is valid', async () => {
  const document = await (await fetch(base + '/openapi.json')).json();
  const validator = new Validator();
  const verdict = await validator.validate(structuredClone(document));
  assert.ok(verdict.valid, JSON.stringify(verdict.errors, null, 1)?.slice(0, 3000));
  assert.equal(validator.version, '3.1');
  validator.resolveRefs();
});

check('each operation has a name of its own', async () => {
  const { paths } = await (await fetch(base + '/openapi.json')).json();
  const ids = Object.values(paths).flatMap((path) => Object.values(path).map((operation) => operation.operationId));
  assert.ok(ids.length > 80);
  assert.equal(new Set(ids).size, ids.length);
});

check('a document that is none is told', async () => {
  const verdict = await new Validator().validate({ openapi: '3.1.0', info: { title: 'x' }, paths: {} });
  assert.ok(!verdict.valid);
});
