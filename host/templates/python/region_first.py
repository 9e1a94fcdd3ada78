"""The policy, in plain Python: no import of what componentize-py generates, so that it is tested natively.

Prefers the targets whose label `region` is the one in the config. They take turns, and so do the others after them.
"""

import json

REASONS = ["unspecified", "in the region", "nobody of the region can be chosen now"]
IN_REGION, NOBODY = 1, 2


class ConfigError(Exception):
    """A sentence for the operator."""


class RegionFirst:
    """Targets, requests and candidates are as wit/strategy.wit has them, with _ for - in the names."""

    def __init__(self, targets, config):
        region = parse(config)
        # By the index of a target: whether it is in the region.
        self.in_region = [("region", region) in target.labels for target in targets]
        if not any(self.in_region):
            raise ConfigError(f"config.region: no target has the label region: {region}")

    def route(self, request, candidates):
        """The indices of the targets by preference, and why. At most 15 ms: no work here that `__init__` can do."""
        here = [candidate.target for candidate in candidates if self.in_region[candidate.target]]
        others = [candidate.target for candidate in candidates if not self.in_region[candidate.target]]
        order = taking_turns(here, request.seq) + taking_turns(others, request.seq)
        return order, IN_REGION if here else NOBODY


def taking_turns(targets, seq):
    """Each comes first once in as many requests as there are targets here."""
    turn = seq % max(len(targets), 1)
    return targets[turn:] + targets[:turn]


def parse(config):
    """The region, out of what the operator wrote under `strategies.{{name}}.config`."""
    try:
        value = json.loads(config)
    except ValueError as error:
        raise ConfigError(f"config: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError("config: expected an object")
    for key in value:
        if key != "region":
            raise ConfigError(f"config: unknown field `{key}`, expected `region`")
    if not isinstance(value.get("region"), str):
        raise ConfigError("config: `region` must be given, as text")
    return value["region"]
