//! Answers that are no stream: held until whole up to 1 MiB, passed as they come beyond.

use harness::{Gate, Mock, Proxy, Reply, eventually};
use serde_json::json;

fn half() -> Reply {
    Reply::status(200).header("content-type", "application/json").announce(1000).body("{\"half\": ")
}

#[tokio::test]
async fn a_provider_that_dies_in_the_middle_of_an_answer_costs_nothing() {
    // The last one announces no length, so that only its half an object shows that it is cut.
    for broken in [half().cut(), half().reset(), half().until_close()] {
        let (a, b) = (Mock::start("a", broken).await, Mock::start("b", Reply::chat("from b")).await);
        let proxy = Proxy::before([&a, &b]).await;
        let answer = proxy.chat().await;
        assert_eq!((answer.status, answer.content().as_str(), answer.complete), (200, "from b", true));
        assert_eq!(proxy.state_of(&a).await, "ejected");
    }
}

#[tokio::test]
async fn nothing_of_an_answer_is_passed_before_it_is_whole() {
    let gate = Gate::closed();
    let a = half().wait(&gate).cut();
    let (a, b) = (Mock::start("a", a).await, Mock::start("b", Reply::chat("from b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let call = proxy.chat_meanwhile();
    eventually("a is in the middle of it", async || a.serving() == 1).await;
    assert!(!call.is_finished());
    gate.open();
    assert_eq!(call.await.expect("answered").content(), "from b");
}

#[tokio::test]
async fn a_large_answer_is_passed_as_it_comes() {
    let gate = Gate::closed();
    let (size, piece) = (3 << 20, vec![b'x'; 1 << 20]);
    let large = Reply::status(200).header("content-type", "application/json").announce(size).body(piece.clone());
    let a = Mock::start("a", large.body(vec![b'y'; 4096]).wait(&gate).body(vec![b'x'; (2 << 20) - 4096])).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.chat_call(&harness::chat_request()).open().await;
    stream.read_until("x").await;
    gate.open();
    assert!(stream.rest().await.complete);
}

#[tokio::test]
async fn a_large_answer_that_is_cut_does_not_look_complete() {
    let large = Reply::status(200).header("content-type", "application/json").announce(4 << 20);
    let (a, b) =
        (Mock::start("a", large.body(vec![b'x'; 2 << 20]).cut()).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.provider(), answer.complete, b.calls()), ("a", false, 0));
    eventually("a is ejected", async || proxy.state_of(&a).await == "ejected").await;
}

#[tokio::test]
async fn audio_is_passed_as_it_comes() {
    let gate = Gate::closed();
    let audio = Reply::status(200).header("content-type", "audio/mpeg").chunked();
    let a = Mock::start("a", audio.body("first bytes").wait(&gate).body("last bytes")).await;
    let proxy = Proxy::before([&a]).await;
    let body = json!({"model": "tts-1", "input": "Hello", "voice": "alloy"});
    let mut stream = proxy.call(http::Method::POST, "/v1/audio/speech").json(&body).open().await;
    assert_eq!(stream.header("content-type"), "audio/mpeg");
    stream.read_until("first bytes").await;
    gate.open();
    assert!(stream.rest().await.text().ends_with("last bytes"));
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_passes_whole() {
    let a = Mock::start("a", Reply::chat("until the end").until_close()).await;
    assert_eq!(Proxy::before([&a]).await.chat().await.content(), "until the end");
}

#[tokio::test]
async fn a_compressed_answer_passes_as_it_is() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let reply = Reply::status(200).header("content-type", "application/json").header("content-encoding", "gzip");
    let a = Mock::start("a", reply.body(gzip.to_vec())).await;
    let answer = Proxy::before([&a]).await.chat().await;
    assert_eq!((&answer.body[..], answer.header("content-encoding")), (&gzip[..], "gzip"));
}
