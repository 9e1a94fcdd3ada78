// Makes a component of src/strategy.js.

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { component } = await componentize({
  sourcePath: here('src/strategy.js'),
  witPath: here('wit'),
  worldName: 'strategy-full',
  // A strategy that imports HTTP is refused by Pointsman. Clocks, randomness and output are there but inert: time and dice
  // are in the request.
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(here('{{name}}.wasm'), component);
console.log(`{{name}}.wasm: ${(component.length / 1e6).toFixed(1)} MB`);
