// The template serves what the program does: every operation of the API, and every header for browsers.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { model } from './model';
import { Template } from './template';

const root = join(__dirname, '../../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

function sam(): any {
  const path = process.env.WILLCALL_SAM_TEMPLATE;
  if (!path) throw new Error('WILLCALL_SAM_TEMPLATE must name the transformed SAM template: run make infra-check');
  return model(new Template(JSON.parse(readFileSync(path, 'utf8'))), (code) => code.S3Key);
}

test('every operation that writes has a route of its own, to a function that writes', () => {
  const { routes } = sam();
  const paths: Record<string, object> = JSON.parse(read('docs/openapi.json')).paths;
  const writes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations)
      .filter((method) => ['post', 'put', 'patch', 'delete'].includes(method))
      .map((method) => [method.toUpperCase(), path] as const),
  );
  assert.ok(writes.length >= 5);
  for (const [method, path] of writes) {
    const leads = routes[`${method} ${path}`] ?? routes[`ANY ${path}`];
    assert.ok(['SubmitFunction', 'RecordsFunction'].includes(leads), `${method} ${path} leads to ${leads}`);
  }
});

test('results are served by the function that reads them', () => {
  const { routes } = sam();
  for (const path of Object.keys(JSON.parse(read('docs/openapi.json')).paths)) {
    if (/\/(download|result|manifest|pages\/\{\w+\})$/.test(path)) {
      assert.equal(routes[`ANY ${path}`], 'DownloadFunction', path);
    }
  }
});

test('browsers may send and read what the program lets them', () => {
  const [cors] = sam().cors;
  const source = read('shared/http/src/routes/mod.rs');
  for (const [list, given] of [
    ['exposed', cors.exposeheaders],
    ['allowed', cors.allowheaders],
  ] as const) {
    const body = new RegExp(`let ${list} = \\[([^\\]]*)\\]`).exec(source)?.[1];
    const names = [...(body ?? '').matchAll(/"([^"]+)"/g)].map(([, name]) => name);
    assert.ok(names.length > 5, `the list ${list} is not where it was`);
    assert.deepEqual(names.filter((name) => !given.includes(name)), [], `${list} of the program, not of the template`);
  }
});
