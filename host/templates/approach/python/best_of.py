"""Asks for several answers, and has the model pick the best.

Plain Python: no import of what componentize-py generates, so that it is tested natively. app.py puts the contract around it.
"""

import json
import re

ABOUT = "Asks for several answers, and has the model pick the best."
OPTIONS = {"answers": "How many answers are asked for, 2 to 8."}
PICK = "Which of these answers is the best?\n\n{}\n\nCompare them, and end with a line `BEST: ` and the number of the best one."


class Failed(Exception):
    """The model did not answer."""


def run(options, ask):
    """The choice that the client gets. `ask` asks the model, `then` after the client's conversation; it may raise Failed."""
    candidates = ask("candidates", n=options["answers"], temperature=1.0)
    calls_tools = [choice for choice in candidates if choice.tool_calls > 0]
    usable = [choice for choice in candidates if visible(choice.text)] or candidates
    if calls_tools or len(usable) == 1:
        return (calls_tools or usable)[0]
    answers = "\n\n".join(f"{number}. {visible(choice.text)}" for number, choice in enumerate(usable, 1))
    try:
        compared = ask("pick", then=PICK.format(answers))
        best = int(re.findall(r"best\W{0,9}([1-9])", compared[0].text, re.IGNORECASE)[-1])
        return usable[best - 1]
    except (Failed, IndexError):
        # No comparison, or none that can be read: there is an answer all the same.
        return usable[0]


def visible(text):
    """A text without what a reasoning model thought aloud."""
    return re.sub(r"<think>.*?(</think>|$)", "", text, flags=re.DOTALL).strip()


def read(config):
    """The options, under `approaches.{{name}}.config` and of clients; raises ValueError with a sentence for who wrote them."""
    options = {"answers": 3, **json.loads(config)}
    for name in options.keys() - OPTIONS.keys():
        raise ValueError(f"unknown option `{name}`, expected `answers`")
    if type(options["answers"]) is not int or not 2 <= options["answers"] <= 8:
        raise ValueError("answers: expected a whole number from 2 to 8")
    return options
