//! The mocks themselves: a test that stands on a mock which does not do what its script says proves nothing.

use std::time::Duration;

use harness::{Call, Gate, Mock, Reply, Script, chat_request, eventually, workspace};
use http::Method;
use tokio::net::TcpStream;
use tokio::time::timeout;

fn post(mock: &Mock) -> Call {
    Call::to(mock.address(), Method::POST, "/v1/chat/completions").json(&chat_request())
}

#[tokio::test]
async fn a_mock_follows_its_script_and_then_repeats_the_last_reply() {
    let mock = Mock::start("a", [Reply::status(500), Reply::chat("hello")]).await;
    let statuses = [post(&mock).answer().await.status, post(&mock).answer().await.status];
    assert_eq!(statuses, [500, 200]);
    assert_eq!(post(&mock).answer().await.content(), "hello");
    assert_eq!(mock.requests()[2].json(), chat_request());
}

#[tokio::test]
async fn a_mock_notices_that_the_client_left() {
    let mock = Mock::start("a", Reply::sse().word("one").hang()).await;
    let mut stream = post(&mock).open().await;
    stream.read_until("one").await;
    assert_eq!((mock.open_connections(), mock.serving()), (1, 1));
    drop(stream);
    eventually("the mock is alone", async || mock.open_connections() == 0).await;
    assert!(mock.only_request().left_at.is_some());
}

#[tokio::test]
async fn a_gate_holds_replies_and_lets_them_go_one_by_one() {
    let gate = Gate::closed();
    let mock = Mock::start("a", Reply::chat("hello").held_by(&gate)).await;
    let calls = [harness::spawn(post(&mock).answer()), harness::spawn(post(&mock).answer())];
    eventually("both have arrived", async || mock.serving() == 2).await;
    gate.let_one_pass();
    eventually("one is answered", async || mock.serving() == 1).await;
    gate.let_one_pass();
    for call in calls {
        assert_eq!(call.await.expect("no panic").status, 200);
    }
    assert_eq!(mock.most_at_once(), 2);
}

#[tokio::test]
async fn a_cut_answer_is_not_complete() {
    let mock = Mock::start(
        "a",
        [Reply::stream(&["one"]), Reply::sse().word("one").cut(), Reply::chat("x").announce(9999).cut()],
    );
    let mock = mock.await;
    let complete =
        [post(&mock).answer().await.complete, post(&mock).answer().await.complete, post(&mock).answer().await.complete];
    assert_eq!(complete, [true, false, false]);
}

#[tokio::test]
async fn nobody_connects_to_a_mock_that_refuses_or_cannot_be_reached() {
    let (refusing, unreachable) = (Mock::refusing("a").await, Mock::unreachable("b").await);
    let refused = TcpStream::connect(refusing.address()).await.expect_err("refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    timeout(Duration::from_millis(300), TcpStream::connect(unreachable.address()))
        .await
        .expect_err("neither yes nor no");
}

#[tokio::test]
#[should_panic(expected = "the model must be gpt-4o")]
async fn a_panic_inside_a_mock_is_the_tests_own() {
    let mock = Mock::start(
        "a",
        Script::by(|_, request| {
            assert_eq!(request.json()["model"], "gpt-4o", "the model must be gpt-4o");
            Reply::chat("hello")
        }),
    )
    .await;
    let address = mock.address();
    let raw = async {
        let mut raw = harness::Raw::connect(address).await;
        raw.send("POST / HTTP/1.1\r\ncontent-length: 15\r\n\r\n{\"model\":\"gpt\"}").await;
        raw.read_to_close().await
    };
    assert_eq!(raw.await, "");
}

#[test]
fn make_test_runs_every_test_program() {
    let read = |file: &str| std::fs::read_to_string(workspace().join(file)).expect("it is there");
    let makefile = read("Makefile");
    for section in read("tests/Cargo.toml").split("[[test]]\nname = \"").skip(1) {
        let name = section.split('"').next().expect("a name in quotes");
        assert!(makefile.contains(&format!("--test {name}")), "{name} is neither in ALONE nor in FETCHED");
    }
}
