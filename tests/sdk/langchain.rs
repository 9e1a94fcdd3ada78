//! LangChain's chat model, which stands on the package of OpenAI and asks in its own way.

use harness::{Mock, Reply, Script};

use super::install::Package;
use super::{answers, before, calls_the_weather, embeds, python, run};

/// Runs one function of `langchain_client.py` against a provider that does this.
async fn client(script: impl Into<Script>, function: &'static str) -> Mock {
    let (a, proxy) = before(script).await;
    run(python(Package::LangChain, "langchain_client.py"), &proxy, function).await;
    a
}

#[tokio::test]
async fn invoke() {
    client(Reply::chat("Hello from a"), "invoke").await;
}

#[tokio::test]
async fn batch() {
    let a = client(Reply::chat("Hello from a"), "batch").await;
    assert_eq!(a.calls(), 8);
}

#[tokio::test]
async fn stream() {
    client(Reply::stream(&["Hello", " from", " a"]), "stream").await;
}

#[tokio::test]
async fn approaches() {
    client(answers(), "approaches").await;
}

#[tokio::test]
async fn tools() {
    client(calls_the_weather(), "tools").await;
}

#[tokio::test]
async fn embeddings() {
    client(embeds(), "embeddings").await;
}

#[tokio::test]
async fn failed_providers_are_an_internal_server_error_and_nothing_retries() {
    let a = client(Reply::status(500), "internal_server_error").await;
    assert_eq!(a.calls(), 3, "the proxy's own attempts");
}
