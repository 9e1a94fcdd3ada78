"""Runs the policy natively: what is in fixtures/, and how it refuses a config."""

import json
import unittest
from dataclasses import dataclass, field
from pathlib import Path

from region_first import REASONS, ConfigError, RegionFirst

FIXTURES = Path(__file__).parent.parent / "fixtures"


# The types that componentize-py generates from wit/strategy.wit, with defaults for a test.
@dataclass
class Target:
    name: str
    provider: str = ""
    model: str = ""
    kind: str = "openai"
    weight: float = 1.0
    fallback_only: bool = False
    max_concurrent: int = 0
    models: list = field(default_factory=list)
    context: int = 0
    price: object = None
    labels: list = field(default_factory=list)


@dataclass
class Request:
    seq: int = 0
    entropy: int = 0
    now_ms: int = 0
    tier: str = "primary"
    attempts: int = 0
    route: str = "default"
    client: str = ""
    model: str = "model"
    streaming: bool = False
    body_bytes: int = 0
    prompt_tokens: int = 0
    max_tokens: int = 0
    affinity: int = 0
    attributes: list = field(default_factory=list)
    prompt: str = ""


@dataclass
class Candidate:
    target: int
    in_flight: int = 0
    latency_us: int = 0
    failure_permille: int = 0
    requests_left: int = 1000
    tokens_left: int = 1000


def target(given):
    given = {"name": given} if isinstance(given, str) else dict(given)
    given["labels"] = list(given.get("labels", {}).items())
    return Target(**{"provider": given["name"], **given})


def request(given):
    return Request(**{**given, "attributes": list(given.get("attributes", {}).items())})


def candidate(given, names):
    given = {"provider": given} if isinstance(given, str) else dict(given)
    given["target"] = names.index(given.pop("provider"))
    return Candidate(**given)


class RegionFirstTest(unittest.TestCase):
    def test_fixtures(self):
        for file in sorted(FIXTURES.glob("*.json")):
            fixture = json.loads(file.read_text(encoding="utf-8"))
            targets = [target(given) for given in fixture["providers"]]
            names = [target.name for target in targets]
            config = json.dumps(fixture.get("config", {}))
            if "expect_rejected" in fixture:
                with self.subTest(file.name), self.assertRaises(ConfigError) as refused:
                    RegionFirst(targets, config)
                self.assertIn(fixture["expect_rejected"], str(refused.exception))
                continue
            strategy = RegionFirst(targets, config)
            for number, step in enumerate(fixture["steps"]):
                with self.subTest(file.name, step=number):
                    if "order" not in step.get("expect", {}) or "repeat" in step:
                        self.skipTest("played by `pointsman strategy test` only")  # shares and the like
                    candidates = [candidate(given, names) for given in step.get("candidates", names)]
                    order, reason = strategy.route(request(step.get("request", {})), candidates)
                    self.assertEqual([names[index] for index in order], step["expect"]["order"])
                    if "reason" in step["expect"]:
                        self.assertEqual(REASONS[reason], step["expect"]["reason"])

    def test_a_wrong_config_is_explained(self):
        targets = [target({"name": "a", "labels": {"region": "eu"}})]
        for config, expected in [
            ('{"region": "mars"}', "config.region: no target has the label region: mars"),
            ("{}", "config: `region` must be given"),
            ('{"regoin": "eu"}', "config: unknown field `regoin`"),
            ("nonsense", "config: "),
        ]:
            with self.subTest(config), self.assertRaises(ConfigError) as refused:
                RegionFirst(targets, config)
            self.assertTrue(str(refused.exception).startswith(expected), refused.exception)


if __name__ == "__main__":
    unittest.main()
