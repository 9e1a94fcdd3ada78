"""LangChain's chat model as its users write it. Each function is one test of `langchain.rs`, which calls it by name."""

import sys

import openai
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

model = ChatOpenAI(model="gpt-4", timeout=20)
MESSAGES = [HumanMessage("Hello")]


def invoke():
    answer = model.invoke(MESSAGES)
    assert answer.content == "Hello from a", answer
    assert answer.usage_metadata["total_tokens"] == 2, answer


def batch():
    answers = model.batch([MESSAGES] * 8)
    assert [answer.content for answer in answers] == ["Hello from a"] * 8


def stream():
    words = [chunk.content for chunk in model.stream(MESSAGES) if chunk.content]
    assert words == ["Hello", " from", " a"], words


def approaches():
    for name in ("moa-gpt-4", "bon&proxy-gpt-4"):
        wrapped = ChatOpenAI(model=name, timeout=20)
        assert wrapped.invoke(MESSAGES).content == "Hello from a"
        assert "".join(chunk.content for chunk in wrapped.stream(MESSAGES)) == "Hello from a"
    wrapped = ChatOpenAI(model="gpt-4", timeout=20, extra_body={"optillm_approach": "proxy", "proxy_wrap": "moa"})
    assert wrapped.invoke(MESSAGES).content == "Hello from a"


def tools():
    @tool
    def weather(city: str) -> str:
        """The weather there."""
        return city

    call = model.bind_tools([weather]).invoke(MESSAGES).tool_calls[0]
    assert (call["name"], call["args"]) == ("weather", {"city": "Bern"}), call


def embeddings():
    # Without the tokeniser, whose tables would have to be downloaded.
    vectors = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    assert vectors.embed_query("Hello") == [1.0, 2.0]


def internal_server_error():
    try:
        model.invoke(MESSAGES)
    except openai.InternalServerError as error:
        assert error.code == "all_providers_failed", error
    else:
        raise AssertionError("nothing was raised")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ok")
