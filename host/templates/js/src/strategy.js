// Prefers the targets whose label `region` is the one in the config. They take turns, and so do the others after them.
//
// The contract is wit/strategy.wit; names with hyphens there are camelCase here. Its errors are thrown as strings:
// anything else that is thrown is a fault, after which the host starts the strategy anew.

const REASONS = ['unspecified', 'in the region', 'nobody of the region can be chosen now'];
const IN_REGION = 1;
const NOBODY = 2;

/** By the index of a target: whether it is in the region. */
let inRegion = [];

/** The config under `strategies.{{name}}.config`, checked; throws a sentence for the operator. */
function parse(config) {
  let value;
  try {
    value = JSON.parse(config);
  } catch (error) {
    throw `config: ${error.message}`;
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw 'config: expected an object';
  const unknown = Object.keys(value).find((key) => key !== 'region');
  if (unknown !== undefined) throw `config: unknown field \`${unknown}\`, expected \`region\``;
  if (typeof value.region !== 'string') throw 'config: `region` must be given, as text';
  return value;
}

/** Each comes first once in as many requests as there are targets here. */
function takingTurns(targets, seq) {
  const turn = seq % targets.length;
  return [...targets.slice(turn), ...targets.slice(0, turn)];
}

export const router = {
  init({ targets, config }) {
    const { region } = parse(config);
    const isHere = ([key, value]) => key === 'region' && value === region;
    inRegion = targets.map((target) => target.labels.some(isHere));
    if (!inRegion.includes(true)) throw `config.region: no target has the label region: ${region}`;
  },

  // At most 15 ms, the collection of garbage included: no work here that `init` can do.
  route(request, candidates) {
    const targets = candidates.map((candidate) => candidate.target);
    const here = targets.filter((target) => inRegion[target]);
    const others = targets.filter((target) => !inRegion[target]);
    const order = [...takingTurns(here, request.seq), ...takingTurns(others, request.seq)];
    // `reasons` may say why for each of the order, and `excluded` names those that must never be tried.
    return { order, reason: here.length > 0 ? IN_REGION : NOBODY, reasons: [], excluded: [] };
  },
};

export const meta = {
  describe: () => ({
    name: '{{name}}',
    version: '0.1.0',
    description: 'Prefers the targets of a region; the others take turns after them.',
    reasons: REASONS,
    // With true, `feedback.observe` is told how attempts ended.
    observes: false,
  }),
};

export const feedback = {
  observe() {},
};
