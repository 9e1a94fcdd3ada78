"""The official OpenAI client as its users write it. Each function is one test of `main.rs`, which calls it by name."""

import asyncio
import json
import os
import sys
from functools import partial

import openai
from openai import AsyncOpenAI, AzureOpenAI, OpenAI

client = OpenAI(timeout=20)
MESSAGES = [{"role": "user", "content": "Hello"}]


def ask(**more):
    return client.chat.completions.create(model="gpt-4", messages=MESSAGES, **more)


def chat():
    raw = client.chat.completions.with_raw_response.create(model="gpt-4", messages=MESSAGES)
    assert raw.headers["x-pointsman-provider"] == "a"
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello from a"
    assert answer.usage.total_tokens == 2
    assert answer._request_id == raw.headers["x-request-id"]


def chat_async():
    async def both():
        async with AsyncOpenAI(timeout=20) as client:
            create = client.chat.completions.create
            return await asyncio.gather(*(create(model="gpt-4", messages=MESSAGES) for _ in range(8)))

    for answer in asyncio.run(both()):
        assert answer.choices[0].message.content == "Hello from a"


def ten_calls():
    for _ in range(10):
        assert ask().choices[0].message.content == "Hello from a"


def stream():
    words = [chunk.choices[0].delta.content for chunk in ask(stream=True)]
    assert words == ["Hello", " from", " a"], words


def tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    call = ask(tools=[tool], tool_choice="auto").choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Bern"}')


def realtime():
    with client.realtime.connect(model="gpt-4") as session:
        session.session.update(session={"type": "realtime", "model": "gpt-4", "output_modalities": ["text"]})
        session.response.create()
        event = session.recv()
        assert (event.type, event.delta) == ("response.output_text.delta", "Hello"), event
        event = session.recv()
        assert (event.type, event.response.usage.total_tokens) == ("response.done", 3), event


def responses_over_a_websocket():
    with client.responses.connect() as connection:
        for turn in ("one", "two"):
            connection.response.create(model="gpt-4", input=turn, store=False)
            event = connection.recv()
            assert (event.type, event.delta) == ("response.output_text.delta", turn), event
            event = connection.recv()
            assert (event.type, event.response.id) == ("response.completed", f"resp_{turn}"), event


def a_websocket_with_an_unknown_model():
    with client.responses.connect() as connection:
        connection.response.create(model="nobody", input="Hello")
        event = connection.recv()
        assert event.type == "error" and "nobody" in str(event), event


def embeddings():
    answer = client.embeddings.create(model="text-embedding-3-small", input="Hello")
    assert answer.data[0].embedding == [1.0, 2.0], answer


def models():
    assert sorted(model.id for model in client.models.list()) == ["gpt-4", "meta/llama-3"]
    assert client.models.retrieve("gpt-4").id == "gpt-4"
    assert client.models.retrieve("meta/llama-3").id == "meta/llama-3"


def responses():
    answer = client.responses.create(model="gpt-4", input="Hello")
    assert answer.output_text == "Hello from a"


def transcription():
    answer = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF\r\n\x00\xff"))
    assert answer.text == "Hello from a"


def raises(kind, action=ask):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def authentication_error():
    assert raises(openai.AuthenticationError).code == "invalid_api_key"
    raises(openai.AuthenticationError, lambda: list(client.models.list()))


def bad_request_error():
    error = raises(openai.BadRequestError)
    assert (error.code, error.body["message"]) == ("mock_code", "too long")


def approach_unavailable():
    error = raises(openai.BadRequestError, lambda: ask(extra_body={"optillm_approach": "z3"}))
    assert error.code == "approach_unavailable"


def not_found_error():
    assert raises(openai.NotFoundError).body["message"] == "no such model"


def rate_limit_error():
    error = raises(openai.RateLimitError)
    assert 60 <= int(error.response.headers["retry-after"]) <= 600


def budget_is_spent():
    """A budget that the first request spends: nobody asks again before its window ends."""
    ask()
    error = raises(openai.RateLimitError)
    assert (error.type, error.code) == ("insufficient_quota", "budget_exceeded"), error.body
    assert error.response.headers["x-should-retry"] == "false"


def rate_is_waited_for():
    """The SDK waits as the answer says, and asks again."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-4", messages=MESSAGES)
    assert raw.headers["x-ratelimit-limit-requests"] == "60"
    assert raw.headers["x-ratelimit-remaining-requests"] == "59"
    for _ in range(59):
        ask()
    refused = raises(openai.RateLimitError, lambda: client.with_options(max_retries=0).chat.completions.create(model="gpt-4", messages=MESSAGES))
    assert (refused.code, refused.param) == ("rate_limit_exceeded", "requests"), refused.body
    assert refused.response.headers["retry-after"] == "1"
    ask()


def model_not_allowed():
    error = raises(openai.PermissionDeniedError, lambda: client.chat.completions.create(model="o3", messages=MESSAGES))
    assert error.code == "model_not_allowed", error.body
    assert [model.id for model in client.models.list()] == ["gpt-4"]


def internal_server_error():
    error = raises(openai.InternalServerError)
    assert isinstance(error, openai.APIStatusError) and error.status_code == 502
    assert error.code == "all_providers_failed" and error.request_id


def cut_streams():
    """Streams that are cut at every byte: `RECORDED` says from which on they have content, and how long they are."""

    def create(client, name):
        if name == "responses":
            return partial(client.responses.create, model="gpt-4", input="Hello")
        if name == "completions":
            return partial(client.completions.create, model="gpt-4", prompt="Hello")
        return partial(client.chat.completions.create, model="gpt-4", messages=MESSAGES)

    async def see(client, name, cut):
        try:
            stream = await create(client, name)(stream=True, extra_headers={"x-cut": str(cut)})
            assert [event async for event in stream]
        except openai.APIError as error:
            assert "provider a" in error.message, error
            return "error"
        return "whole"

    async def see_all(name, content, length):
        gate = asyncio.Semaphore(16)

        async def one(client, cut):
            async with gate:
                return await see(client, name, cut)

        async with AsyncOpenAI(timeout=20, max_retries=0) as client:
            seen = await asyncio.gather(*(one(client, cut) for cut in range(length + 1)))
        expected = ["error" if content <= cut < length else "whole" for cut in range(length + 1)]
        assert seen == expected, (name, [cut for cut in range(length + 1) if seen[cut] != expected[cut]])

    for name, (content, length) in json.loads(os.environ["RECORDED"]).items():
        asyncio.run(see_all(name, content, length))


def approaches():
    ways = {
        "bon": {"model": "bon&proxy-gpt-4"},
        "moa": {"extra_body": {"optillm_approach": "proxy", "proxy_wrap": "moa"}},
        "re2": {"extra_body": {"optillm_approach": "re2"}},
        "re2&cot_reflection": {"model": "re2&cot_reflection-gpt-4"},
    }
    for approach, way in ways.items():
        asked = {"model": "gpt-4", "messages": MESSAGES, **way}
        raw = client.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-pointsman-approach"].startswith(approach + "; calls="), dict(raw.headers)
        answer = raw.parse()
        assert answer.choices[0].message.content == "Hello from a", answer
        assert answer.id.startswith("chatcmpl-pm-") and answer.usage.total_tokens > 1, answer
        pieces = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        assert text == "Hello from a", (approach, text)
        assert pieces[-1].usage.total_tokens >= 1, pieces[-1]
    two = client.chat.completions.create(model="re2|bon-gpt-4", messages=MESSAGES)
    assert [choice.index for choice in two.choices] == [0, 1], two
    five = client.chat.completions.create(model="bon-gpt-4", messages=MESSAGES, extra_body={"best_of_n": 5})
    assert five.choices[0].message.content == "Hello from a"
    try:
        client.chat.completions.create(model="bon-gpt-4", messages=MESSAGES, extra_body={"best_of_n": "many"})
    except openai.BadRequestError as error:
        assert error.code == "invalid_option", error
    else:
        raise AssertionError("an option of the wrong kind was accepted")


def extra_body():
    assert ask(extra_body={"optillm_approach": "proxy"}).choices[0].message.content == "Hello from a"


def azure():
    endpoint = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
    client = AzureOpenAI(azure_endpoint=endpoint, api_key="client-key", api_version="2024-10-21", timeout=20)
    create = client.chat.completions.create
    assert create(model="gpt-4", messages=MESSAGES).choices[0].message.content == "Hello from a"
    words = [chunk.choices[0].delta.content for chunk in create(model="gpt-4", messages=MESSAGES, stream=True)]
    assert words == ["Hello", " from", " a"], words


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ok")
