"""Runs the algorithm natively. What is in fixtures/ is played to the component by `pointsman approach test`."""

import unittest
from types import SimpleNamespace

import best_of


def choice(text, tool_calls=0):
    return SimpleNamespace(text=text, tool_calls=tool_calls)


def answer(candidates, compared):
    """What comes of these candidates, if the comparison says this."""
    asked = []

    def ask(step, n=1, temperature=None, then=None):
        asked.append((step, n, then))
        if step == "candidates":
            return candidates
        if compared is None:
            raise best_of.Failed(7)
        return [choice(compared)]

    return best_of.run({"answers": 3}, ask), asked


class BestOfTest(unittest.TestCase):
    def test_the_answer_that_the_model_picks_is_returned(self):
        candidates = [choice("5"), choice("<think>2, 3, 4</think>4"), choice("")]
        best, asked = answer(candidates, "I compare.\n**BEST: 2**")
        self.assertIs(best, candidates[1])
        self.assertEqual([step for step, _, _ in asked], ["candidates", "pick"])
        self.assertIn("1. 5\n\n2. 4\n\n", asked[1][2])

    def test_without_a_comparison_the_first_is_returned(self):
        candidates = [choice("a"), choice("b")]
        for compared in (None, "", "BEST: 3", "BEST: none"):
            self.assertIs(answer(candidates, compared)[0], candidates[0], compared)

    def test_what_calls_tools_is_the_answer_and_one_alone_is_not_compared(self):
        called = choice("", tool_calls=1)
        self.assertIs(answer([choice("a"), called], "BEST: 1")[0], called)
        self.assertEqual(len(answer([choice("a"), choice(" ")], "")[1]), 1)

    def test_a_wrong_option_is_explained(self):
        self.assertEqual(best_of.read("{}"), {"answers": 3})
        for config, expected in [
            ('{"answers": 1}', "answers: expected a whole number from 2 to 8"),
            ('{"answers": true}', "answers: expected"),
            ('{"anwsers": 3}', "unknown option `anwsers`"),
        ]:
            with self.subTest(config), self.assertRaises(ValueError) as refused:
                best_of.read(config)
            self.assertTrue(str(refused.exception).startswith(expected), refused.exception)


if __name__ == "__main__":
    unittest.main()
