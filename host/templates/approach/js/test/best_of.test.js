// Runs the algorithm natively, as plain JavaScript. What is in fixtures/ is played to the component by
// `pointsman approach test`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failed, read, run } from '../src/best_of.js';

const choice = (text, toolCalls = 0) => ({ text, toolCalls });

/** What comes of these candidates, if the comparison says this; and what was asked. */
function answer(candidates, compared) {
  const asked = [];
  const ask = (step, { then }) => {
    asked.push([step, then]);
    if (step === 'candidates') return candidates;
    if (compared === undefined) throw new Failed();
    return [choice(compared)];
  };
  return [run({ answers: 3 }, ask), asked];
}

test('the answer that the model picks is returned', () => {
  const candidates = [choice('5'), choice('<think>2, 3, 4</think>4'), choice('')];
  const [best, asked] = answer(candidates, 'I compare.\n**BEST: 2**');
  assert.equal(best, candidates[1]);
  assert.deepEqual(asked.map(([step]) => step), ['candidates', 'pick']);
  assert.match(asked[1][1], /1\. 5\n\n2\. 4\n\n/);
});

test('without a comparison the first is returned', () => {
  const candidates = [choice('a'), choice('b')];
  for (const compared of [undefined, '', 'BEST: 3', 'BEST: none']) {
    assert.equal(answer(candidates, compared)[0], candidates[0], compared);
  }
});

test('what calls tools is the answer, and one alone is not compared', () => {
  const called = choice('', 1);
  assert.equal(answer([choice('a'), called], 'BEST: 1')[0], called);
  assert.equal(answer([choice('a'), choice(' ')], '')[1].length, 1);
});

test('a wrong option is explained', () => {
  assert.deepEqual(read('{}'), { answers: 3 });
  const refusal = (config) => {
    try {
      read(config);
    } catch (sentence) {
      // The contract's own error: a string.
      assert.equal(typeof sentence, 'string');
      return sentence;
    }
    assert.fail(`${config} was accepted`);
  };
  assert.equal(refusal('{"answers": 1}'), 'answers: expected a whole number from 2 to 8');
  assert.match(refusal('{"answers": "3"}'), /^answers: expected/);
  assert.match(refusal('{"anwsers": 3}'), /^unknown option `anwsers`/);
});
