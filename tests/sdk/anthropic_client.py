"""The official Anthropic client as its users write it. Each function is one test of `anthropic.rs` or `streams.rs`, which calls it by name."""

import asyncio
import json
import os
import sys

import anthropic
from anthropic import Anthropic, AsyncAnthropic

client = Anthropic(timeout=20)
MESSAGES = [{"role": "user", "content": "Hello"}]
QUESTION = {"model": "claude", "max_tokens": 16, "messages": MESSAGES}


def ask():
    return client.messages.create(**QUESTION)


def message():
    answer = ask()
    assert (answer.content[0].text, answer.stop_reason) == ("Hello from a", "end_turn"), answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1, 3), answer


def stream():
    with client.messages.stream(**QUESTION) as stream:
        words = list(stream.text_stream)
        whole = stream.get_final_message()
    assert words == ["Hello", " from", " a"], words
    assert (whole.stop_reason, whole.usage.output_tokens) == ("end_turn", 3), whole


def raises(kind, action=ask):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def authentication_error():
    assert raises(anthropic.AuthenticationError).body["error"]["type"] == "authentication_error"


def bad_request_error():
    assert "too long" in raises(anthropic.BadRequestError).body["error"]["message"]


def rate_limit_error():
    # It would wait for as long as it is told to.
    impatient = client.with_options(max_retries=0)
    error = raises(anthropic.RateLimitError, lambda: impatient.messages.create(**QUESTION))
    assert 60 <= int(error.response.headers["retry-after"]) <= 90
    assert error.body["type"] == "error", error.body


def internal_server_error():
    error = raises(anthropic.InternalServerError)
    assert error.status_code == 502 and error.body["type"] == "error", error.body


def cut_streams():
    """Streams that are cut at every byte: `RECORDED` says from which on they have content, and how long they are."""

    async def see(client, cut):
        create = client.messages.create
        try:
            stream = await create(
                model="gpt-4", max_tokens=9, messages=MESSAGES, stream=True, extra_headers={"x-cut": str(cut)}
            )
            kinds = [event.type async for event in stream]
        except anthropic.APIError as error:
            assert "provider a" in str(error), error
            return "error"
        assert kinds[-1] == "message_stop", kinds
        return "whole"

    async def see_all(content, length):
        gate = asyncio.Semaphore(16)

        async def one(client, cut):
            async with gate:
                return await see(client, cut)

        async with AsyncAnthropic(timeout=20, max_retries=0) as client:
            seen = await asyncio.gather(*(one(client, cut) for cut in range(length + 1)))
        expected = ["error" if content <= cut < length else "whole" for cut in range(length + 1)]
        assert seen == expected, [cut for cut in range(length + 1) if seen[cut] != expected[cut]]

    for content, length in json.loads(os.environ["RECORDED"]).values():
        asyncio.run(see_all(content, length))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ok")
