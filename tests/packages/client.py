"""The official OpenAI client against the demo, as a newcomer tries it."""

from openai import OpenAI

client = OpenAI(timeout=20, max_retries=0)
MESSAGES = [{"role": "user", "content": "Hello"}]

raw = client.chat.completions.with_raw_response.create(model="demo", messages=MESSAGES)
assert raw.headers["x-pointsman-provider"] in ("swift", "slow", "moody"), raw.headers
assert raw.parse().choices[0].message.content.startswith("Hello from "), raw.text

stream = client.chat.completions.create(model="demo", messages=MESSAGES, stream=True)
words = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
assert "".join(words).startswith("Hello from ") and len(words) > 3, words

assert [model.id for model in client.models.list()] == ["demo"]
print("ok")
