// Asks for several answers, and has the model pick the best.
//
// Imports nothing that only a component has, so that it is tested natively. component.js puts the contract around it.

export const ABOUT = 'Asks for several answers, and has the model pick the best.';
export const OPTIONS = { answers: 'How many answers are asked for, 2 to 8.' };

/** Thrown by `ask` when the model does not answer. */
export class Failed extends Error {}

/** The choice that the client gets. `ask` asks the model, `then` after the client's conversation. */
export function run({ answers }, ask) {
  const candidates = ask('candidates', { n: answers, temperature: 1 });
  const callsTools = candidates.find((choice) => choice.toolCalls > 0);
  if (callsTools) return callsTools;
  const usable = candidates.filter((choice) => visible(choice.text) !== '');
  if (usable.length < 2) return usable[0] ?? candidates[0];
  const list = usable.map((choice, index) => `${index + 1}. ${visible(choice.text)}`).join('\n\n');
  const then = `Which of these answers is the best?\n\n${list}\n\n${PICK}`;
  try {
    const [compared] = ask('pick', { then });
    const [best] = [...compared.text.matchAll(/best\W{0,9}([1-9])/gi)].slice(-1);
    return usable[best?.[1] - 1] ?? usable[0];
  } catch (error) {
    // No comparison: there is an answer all the same.
    if (error instanceof Failed) return usable[0];
    throw error;
  }
}

const PICK = 'Compare them, and end with a line `BEST: ` and the number of the best one.';

/** A text without what a reasoning model thought aloud. */
const visible = (text) => text.replace(/<think>.*?(<\/think>|$)/gs, '').trim();

/** The options, under `approaches.{{name}}.config` and of clients; throws a sentence for whoever wrote them. */
export function read(config) {
  const { answers = 3, ...unknown } = JSON.parse(config);
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw `unknown option \`${name}\`, expected \`answers\``;
  if (!Number.isInteger(answers) || answers < 2 || answers > 8) throw 'answers: expected a whole number from 2 to 8';
  return { answers };
}
