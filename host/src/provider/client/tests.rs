//! The client against servers that behave as some do.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::connect::ConnectError;
use super::*;
use crate::routing::{Outcome, TlsFault};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn provider() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = client_of(&format!("http://{}/v1", listener.local_addr().expect("bound")));
    (listener, client)
}

fn client_of(base: &str) -> Client {
    let text = format!("providers: [{{name: a, base_url: '{base}', api_key: key}}]");
    let config = config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
    let metrics = crate::metrics::Metrics::new(&["other"]).of_provider("a");
    Clients::default().draft_for(&config.providers[0]).expect("usable").counted_by(&metrics.connections)
}

async fn get(client: &Client) -> Result<Bytes, AttemptError> {
    let mut answer = client.list_models().await?;
    let mut whole = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        whole.extend_from_slice(&chunk?);
    }
    Ok(whole.into())
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    String::from_utf8(head).expect("text")
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let (listener, client) = provider().await;
    let (answers, ()) = tokio::join!(async { [get(&client).await, get(&client).await] }, async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        for _ in 0..2 {
            let head = hear(&mut stream).await;
            assert!(head.starts_with("GET /v1/models HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("authorization: Bearer key\r\n"), "{head}");
            let host = format!("host: {}\r\n", listener.local_addr().expect("bound"));
            assert!(head.contains(&host), "{head}");
            stream.write_all(ANSWER).await.expect("written");
        }
    });
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|body| body == "ok")));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_used_again() {
    let (listener, client) = provider().await;
    for _ in 0..3 {
        let (answer, mut stream) = tokio::join!(get(&client), async {
            let (mut stream, _) = listener.accept().await.expect("a connection of its own");
            hear(&mut stream).await;
            stream.write_all(ANSWER).await.expect("written");
            stream
        });
        assert_eq!(answer.expect("whole"), "ok");
        stream.shutdown().await.expect("closed");
        drop(stream);
        // The end reaches this process when its runtime looks for events.
        tokio::task::yield_now().await;
    }
}

/// Takes a connection and answers one request on it.
async fn answer_one(listener: &TcpListener, answer: &[u8]) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection of its own");
    hear(&mut stream).await;
    stream.write_all(answer).await.expect("written");
    stream
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_has_it_sent_once_more_on_a_new_one() {
    for reset in [false, true] {
        let (listener, client) = provider().await;
        let (first, mut kept) = tokio::join!(get(&client), answer_one(&listener, ANSWER));
        assert_eq!(first.expect("whole"), "ok");
        let (second, _stream) = tokio::join!(get(&client), async {
            hear(&mut kept).await;
            if reset {
                kept.set_zero_linger().expect("an open socket takes options");
            }
            drop(kept);
            answer_one(&listener, ANSWER).await
        });
        assert_eq!(second.expect("whole"), "ok");
        assert_eq!(metrics_of(&client).stale.get(), 1);
    }
}

#[tokio::test]
async fn what_may_be_done_once_is_not_sent_again_and_a_new_connection_that_ends_is_a_failure() {
    let (listener, client) = provider().await;
    let (first, mut kept) = tokio::join!(get(&client), answer_one(&listener, ANSWER));
    assert_eq!(first.expect("whole"), "ok");
    let headers = Fields::default();
    let (endpoint, body) = ("files/1", Bytes::new());
    let stored = Call {
        method: Method::GET,
        endpoint,
        query: None,
        model: "",
        headers: &headers,
        body,
        connect: None,
        once: true,
    };
    let (failed, ()) = tokio::join!(client.send(stored), async {
        hear(&mut kept).await;
        drop(kept);
    });
    let failed = failed.map(|_answer| ()).expect_err("it was sent");
    assert_eq!((failed.outcome, failed.sent), (Outcome::Failed(FailureKind::Reset), true));
    let (failed, ()) = tokio::join!(get(&client), async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        hear(&mut stream).await;
    });
    assert_eq!(failed.expect_err("no answer").outcome, Outcome::Failed(FailureKind::Reset));
    assert_eq!(metrics_of(&client).stale.get(), 0);
}

#[tokio::test]
async fn a_kept_connection_that_ends_within_an_answer_is_not_stale() {
    let (listener, client) = provider().await;
    let (first, mut kept) = tokio::join!(get(&client), answer_one(&listener, ANSWER));
    assert_eq!(first.expect("whole"), "ok");
    let (failed, ()) = tokio::join!(get(&client), async {
        hear(&mut kept).await;
        kept.write_all(b"HTTP/1.1 2").await.expect("written");
        drop(kept);
    });
    assert_eq!(failed.expect_err("half a head").outcome, Outcome::Failed(FailureKind::Reset));
    assert_eq!(metrics_of(&client).stale.get(), 0);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_are_no_answer_and_end_the_keeping_of_connections() {
    let answers = [
        // With the answer, and after it.
        [ANSWER, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npoison!"].concat(),
        ANSWER.to_vec(),
    ];
    for (late, answer) in [false, true].into_iter().zip(answers) {
        let (listener, client) = provider().await;
        let (first, mut kept) = tokio::join!(get(&client), answer_one(&listener, &answer));
        assert_eq!(first.expect("whole"), "ok");
        if late {
            // Not seen by the runtime, which looks for events only when there is nothing else to do.
            use std::io::Write as _;
            kept = tokio::task::spawn_blocking(move || {
                let mut kept = kept.into_std().expect("registered");
                kept.set_nonblocking(false).expect("possible");
                kept.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npoison!").expect("written");
                TcpStream::from_std({
                    kept.set_nonblocking(true).expect("possible");
                    kept
                })
                .expect("registered")
            })
            .await
            .expect("no panic");
        }
        for _ in 0..2 {
            let (next, _stream) = tokio::join!(get(&client), answer_one(&listener, ANSWER));
            assert_eq!(next.expect("whole"), "ok");
        }
        assert_eq!(metrics_of(&client).reused.get(), 0);
        drop(kept);
    }
}

#[tokio::test]
async fn an_answer_with_two_ends_or_with_interim_answers_without_end_is_malformed() {
    let both = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    for (answer, sound) in [
        (both.to_vec(), false),
        ([&early.repeat(17), ANSWER].concat(), false),
        ([&early.repeat(16), ANSWER].concat(), true),
    ] {
        let (listener, client) = provider().await;
        let (answered, _stream) = tokio::join!(get(&client), answer_one(&listener, &answer));
        match answered {
            Ok(body) => assert!(sound && body == "ok"),
            Err(error) => assert!(!sound && error.outcome == Outcome::Failed(FailureKind::Malformed), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_may_have_two_hundred_headers() {
    let (listener, client) = provider().await;
    let headers: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
    let (answered, _stream) = tokio::join!(get(&client), answer_one(&listener, answer.as_bytes()));
    assert_eq!(answered.expect("whole"), "ok");
}

#[tokio::test]
async fn an_answer_that_is_dropped_takes_its_connection_along() {
    let (listener, client) = provider().await;
    let (answer, mut stream) = tokio::join!(client.list_models(), async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        hear(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await.expect("written");
        stream
    });
    drop(answer.expect("a head"));
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_its_connection_along() {
    let (listener, client) = provider().await;
    let mut stream = tokio::select! {
        _ = client.list_models() => panic!("nobody answered"),
        stream = async {
            let (mut stream, _) = listener.accept().await.expect("connected");
            hear(&mut stream).await;
            stream
        } => stream,
    };
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_answer_that_closes_the_connection_is_whole_and_the_last() {
    let (listener, client) = provider().await;
    for answer in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let (body, ()) = tokio::join!(get(&client), async {
            let (mut stream, _) = listener.accept().await.expect("a connection of its own");
            hear(&mut stream).await;
            stream.write_all(answer).await.expect("written");
        });
        assert_eq!(body.expect("whole"), "ok");
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while_and_by_sweeping() {
    let (listener, client) = provider().await;
    let (answer, mut stream) = tokio::join!(get(&client), async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        hear(&mut stream).await;
        stream.write_all(ANSWER).await.expect("written");
        stream
    });
    assert_eq!(answer.expect("whole"), "ok");
    pool_of(&client).sweep();
    let kept = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 1])).await;
    assert!(kept.is_err(), "still open");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(4)).await;
    pool_of(&client).sweep();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_is_not_used_for_longer_than_five_minutes_however_busy_it_is() {
    let (listener, client) = provider().await;
    for _ in 0..3 {
        let opened = tokio::time::Instant::now();
        let (answer, mut stream) = tokio::join!(get(&client), answer_one(&listener, ANSWER));
        assert_eq!(answer.expect("whole"), "ok");
        let mut used = Duration::ZERO;
        loop {
            // Stopped only for the leap, as a clock that leaps by itself would outrun what is on its way.
            tokio::time::pause();
            tokio::time::advance(Duration::from_millis(3500)).await;
            tokio::time::resume();
            if pool_of(&client).take().map(|connection| pool_of(&client).put(connection)).is_none() {
                break;
            }
            let (answer, ()) = tokio::join!(get(&client), async {
                hear(&mut stream).await;
                stream.write_all(ANSWER).await.expect("written");
            });
            assert_eq!(answer.expect("whole"), "ok");
            used = opened.elapsed();
        }
        // The next ones live shorter by up to a fifth, so that they do not end together.
        let life = used.as_secs();
        assert!((235..300).contains(&life), "{life} s");
    }
}

#[tokio::test]
async fn what_goes_wrong_with_connecting_is_told_apart() {
    let (listener, plain) = provider().await;
    let address = listener.local_addr().expect("bound");
    let over_tls = client_of(&format!("https://{address}"));
    let (failed, ()) = tokio::join!(get(&over_tls), async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
    });
    drop(listener);
    let nowhere = client_of("http://no-such-host.invalid");
    let failures = [failed, get(&plain).await, get(&nowhere).await];
    let kinds = failures.map(|failed| failed.map_err(|error| (error.outcome, error.sent)));
    let failed = |kind| Err((Outcome::Failed(kind), false));
    assert_eq!(
        kinds,
        [failed(FailureKind::Tls(TlsFault::NotTls)), failed(FailureKind::Refused), failed(FailureKind::UnknownHost)]
    );
}

#[test]
fn what_this_machine_lacks_is_told_from_what_a_provider_does() {
    use crate::routing::Lack;
    use rustix::io::Errno;
    let address = "192.0.2.1:443".parse().expect("an address");
    for (errno, kind) in [
        (Errno::MFILE, FailureKind::Local(Lack::Files)),
        (Errno::NFILE, FailureKind::Local(Lack::Files)),
        (Errno::NOMEM, FailureKind::Local(Lack::Memory)),
        (Errno::NOBUFS, FailureKind::Local(Lack::Memory)),
        (Errno::ADDRNOTAVAIL, FailureKind::Local(Lack::Ports)),
        (Errno::CONNREFUSED, FailureKind::Refused),
        (Errno::NETUNREACH, FailureKind::Unreachable),
    ] {
        let failed = AttemptError::of_connect(ConnectError::Tcp(address, errno.into()));
        assert_eq!((failed.outcome, failed.sent), (Outcome::Failed(kind), false));
    }
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // `localhost` is ::1 as well on most machines, where nobody listens.
    let (listener, _) = provider().await;
    let client = client_of(&format!("http://localhost:{}/v1", listener.local_addr().expect("bound").port()));
    let (answer, ()) = tokio::join!(get(&client), async {
        let (mut stream, _) = listener.accept().await.expect("connected");
        assert!(hear(&mut stream).await.contains("host: localhost:"));
        stream.write_all(ANSWER).await.expect("written");
    });
    assert_eq!(answer.expect("whole"), "ok");
}

fn metrics_of(client: &Client) -> &ConnectionMetrics {
    match &client.0 {
        Way::Http(http) => &http.metrics,
        Way::Played(_) => panic!("not over the network"),
    }
}

fn pool_of(client: &Client) -> &Pool {
    match &client.0 {
        Way::Http(http) => &http.pool,
        Way::Played(_) => panic!("not over the network"),
    }
}
