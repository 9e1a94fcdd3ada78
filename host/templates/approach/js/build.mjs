// Makes a component of src/.

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { component } = await componentize({
  sourcePath: here('src/component.js'),
  witPath: here('wit'),
  worldName: 'approach-full',
  // An approach that imports HTTP is refused by Pointsman: it asks the model through the host, and nobody else.
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(here('{{name}}.wasm'), component);
console.log(`{{name}}.wasm: ${(component.length / 1e6).toFixed(1)} MB`);
