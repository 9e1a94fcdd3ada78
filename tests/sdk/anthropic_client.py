"""The official Anthropic client as its users write it. Each function is one test of `main.rs`, which calls it by name."""

import asyncio
import json
import os
import sys

import anthropic
from anthropic import AsyncAnthropic

MESSAGES = [{"role": "user", "content": "Hello"}]


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
