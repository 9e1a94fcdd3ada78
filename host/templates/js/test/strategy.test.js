// Runs the strategy natively, as plain JavaScript: plays fixtures/, and checks that it refuses a wrong config.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { meta, router } from '../src/strategy.js';

const fixtures = new URL('../fixtures/', import.meta.url);

/** A target as the host describes it, from a name or from what a fixture says of it. */
function target(given) {
  const { name, labels = {}, ...more } = typeof given === 'string' ? { name: given } : given;
  const usual = { kind: 'openai', weight: 1, fallbackOnly: false, maxConcurrent: 0, models: [], context: 0 };
  return { name, provider: name, model: '', ...usual, ...camelCase(more), labels: Object.entries(labels) };
}

/** A request as the host describes it. Numbers of 64 bits are BigInts. */
function request(given) {
  const usual = { seq: 0, entropy: 0, nowMs: 0n, tier: 'primary', attempts: 0, model: 'model', streaming: false };
  const { nowMs = 0, affinity = 0, attributes = {}, ...more } = camelCase(given ?? {});
  const unknown = { route: 'default', client: '', bodyBytes: 0, promptTokens: 0, maxTokens: 0, prompt: '' };
  const large = { nowMs: BigInt(nowMs), affinity: BigInt(affinity) };
  return { ...usual, ...unknown, ...more, ...large, attributes: Object.entries(attributes) };
}

function camelCase(fields) {
  const name = (field) => field.replace(/[-_](.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(fields).map(([field, value]) => [name(field), value]));
}

for (const file of readdirSync(fixtures).filter((file) => file.endsWith('.json'))) {
  const fixture = { steps: [], ...JSON.parse(readFileSync(new URL(file, fixtures), 'utf8')) };
  test(fixture.name, (t) => {
    const targets = fixture.providers.map(target);
    const names = targets.map(({ name }) => name);
    const config = JSON.stringify(fixture.config ?? {});
    const init = () => router.init({ route: 'default', targets, attributes: [], prompt: false, config });
    if (fixture.expect_rejected !== undefined) {
      assert.throws(init, (error) => error.includes(fixture.expect_rejected));
      return;
    }
    init();
    for (const [number, step] of fixture.steps.entries()) {
      // Steps with shares and the like.
      if (step.expect?.order === undefined || step.repeat !== undefined) {
        t.diagnostic(`step ${number} is played by \`pointsman strategy test\` only`);
        continue;
      }
      const candidates = (step.candidates ?? names).map((given) => {
        const { provider, ...measured } = typeof given === 'string' ? { provider: given } : given;
        const idle = { inFlight: 0, latencyUs: 0, failurePermille: 0, requestsLeft: 1000, tokensLeft: 1000 };
        return { ...idle, ...camelCase(measured), target: names.indexOf(provider) };
      });
      const { order, reason } = router.route(request(step.request), candidates);
      assert.deepEqual(order.map((index) => names[index]), step.expect.order);
      if (step.expect.reason === undefined) continue;
      assert.equal(meta.describe().reasons[reason], step.expect.reason);
    }
  });
}

test('a wrong config is explained', () => {
  const targets = [target({ name: 'a', labels: { region: 'eu' } })];
  const error = (config) => {
    try {
      router.init({ route: 'default', targets, attributes: [], prompt: false, config });
    } catch (thrown) {
      // The contract's own error: a string.
      assert.equal(typeof thrown, 'string');
      return thrown;
    }
    assert.fail(`${config} was accepted`);
  };
  assert.equal(error('{"region": "mars"}'), 'config.region: no target has the label region: mars');
  assert.match(error('{}'), /^config: `region` must be given/);
  assert.match(error('{"regoin": "eu"}'), /^config: unknown field `regoin`/);
  assert.match(error('nonsense'), /^config: /);
});
