#!/usr/bin/env node
// Starts the program of the package for this platform, which npm has installed beside this one as an optional dependency.

'use strict';

const { spawn } = require('node:child_process');
const { constants } = require('node:os');
const { optionalDependencies = {} } = require('../package.json');

const fail = (text) => {
  process.stderr.write(`pointsman: ${text}\n`);
  process.exit(1);
};

const find = () => {
  if (process.env.POINTSMAN_BINARY) return process.env.POINTSMAN_BINARY;
  const platform = `${process.platform}-${process.arch}`;
  const name = `@pointsman/${platform}`;
  const known = Object.keys(optionalDependencies);
  if (!known.includes(name)) {
    const platforms = known.map((each) => each.slice('@pointsman/'.length)).join(', ');
    fail(
      `there is no package for ${platform}, only for ${platforms}. Build it from its sources ` +
        '(cargo build --release -p pointsman) and name the program in POINTSMAN_BINARY.',
    );
  }
  try {
    return require.resolve(`${name}/bin/pointsman`);
  } catch {
    return fail(
      `the package ${name} is not installed. It is an optional dependency, which npm leaves out with --omit=optional or ` +
        '--no-optional, or where node_modules was copied from another platform. Install again without these, here: ' +
        `npm install ${name}@${optionalDependencies[name]}`,
    );
  }
};

const program = find();
const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });
child.on('error', (error) => fail(`${program} does not start: ${error.message}`));
// Ctrl-C reaches the program too, as it is of the same process group: handling it here only keeps this process alive until
// the program has ended. What is sent to this process alone is passed on.
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
process.on('SIGINT', () => {
  if (!process.stdin.isTTY) child.kill('SIGINT');
});
child.on('exit', (code, signal) => process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : code));
