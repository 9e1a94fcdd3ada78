// The contract's interfaces, around the algorithm in best_of.js. The contract is wit/approach.wit; names with hyphens there
// are camelCase here.

import { chat } from 'pointsman:approach/llm@0.1.0';
import { ABOUT, Failed, OPTIONS, read, run } from './best_of.js';

/** What the contract's errors are thrown as; anything else that is thrown is a fault, and an error for the client. */
const unsuitable = (config) => {
  try {
    return read(config);
  } catch (sentence) {
    throw { tag: 'unsuitable', val: String(sentence) };
  }
};

export const runner = {
  run(request) {
    const options = unsuitable(request.config);
    const conversation = request.messages.map((_, index) => ({ tag: 'original', val: index }));
    const ask = (step, { n = 1, temperature, then }) => {
      // What the client gets is asked in its manner: with its tools, its format, its limits. Other questions without.
      const manner = then === undefined ? 'answer' : 'aside';
      const more = then === undefined ? [] : [{ tag: 'said', val: { role: 'user', text: then } }];
      try {
        return chat({ messages: [...conversation, ...more], manner, n, temperature, extra: '{}', step }).choices;
      } catch (error) {
        throw Object.assign(new Failed(error.payload.message), { id: error.payload.id });
      }
    };
    try {
      return [{ tag: 'choice', val: run(options, ask).id }];
    } catch (error) {
      // The client gets what it would have got without an approach.
      if (error instanceof Failed) throw { tag: 'failed', val: error.id };
      throw error;
    }
  },
};

export const meta = {
  describe: () => ({
    name: '{{name}}',
    version: '0.1.0',
    description: ABOUT,
    options: Object.entries(OPTIONS).map(([name, about]) => ({ name, about })),
    many: false,
    tools: true,
  }),
  check: (config) => void read(config),
};
