//! Sound messages that come in pieces, or of which the end never comes: where a reader stands between two reads must not
//! matter, and half a request is none (RFC 9112, 8).

use std::time::Duration;

use super::{BODY, Stage, filled};

/// A request of each framing, with what is between its parts.
fn sound() -> Vec<String> {
    let line = "\r\nPOST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n";
    [
        "content-length: <n>\r\n\r\n<b>".to_owned(),
        format!("transfer-encoding: chunked\r\n\r\n1;a=\"b\"\r\n{{\r\n2a\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n", &BODY[1..]),
    ]
    .map(|rest| filled(&format!("{line}{rest}")))
    .to_vec()
}

#[tokio::test]
async fn a_request_without_its_end_reaches_nobody() {
    let stage = Stage::new().await;
    for bytes in sound() {
        for end in 0..bytes.len() {
            let mut client = stage.client().await;
            client.send(&bytes[..end]).await;
            client.finish().await;
            let answer = client.answer().await;
            let status = answer.as_ref().map(|came| came.status);
            assert!(matches!(status, None | Some(400)), "cut at {end}: {answer:?}");
            assert!(answer.is_none() || client.answer().await.is_none(), "cut at {end}: nothing after it");
            assert!(stage.provider.take().is_empty(), "cut at {end}: {}", &bytes[..end]);
        }
    }
}

#[tokio::test]
async fn a_request_in_two_pieces_is_the_same_request() {
    let stage = Stage::new().await;
    for bytes in sound() {
        let mut client = stage.client().await;
        for middle in 1..bytes.len() {
            client.send(&bytes[..middle]).await;
            // The proxy runs in this test's thread, and reads while the test gives it the time.
            tokio::time::sleep(Duration::from_micros(10)).await;
            client.send(&bytes[middle..]).await;
            let answer = client.answer().await.expect("an answer");
            assert!(answer.status == 200 && answer.text().contains("echo of row"), "cut at {middle}: {answer:?}");
            let heard = stage.provider.take();
            assert!(heard.len() == 1 && heard[0].body == BODY.as_bytes(), "cut at {middle}: {heard:?}");
            assert_eq!(heard[0].fault(), None);
        }
    }
}

#[tokio::test]
async fn a_request_in_single_bytes_is_the_same_request() {
    let stage = Stage::new().await;
    for bytes in sound() {
        let mut client = stage.client().await;
        for byte in bytes.as_bytes() {
            client.send([*byte]).await;
            tokio::time::sleep(Duration::from_micros(10)).await;
        }
        let answer = client.answer().await.expect("an answer");
        assert!(answer.status == 200 && answer.text().contains("echo of row"), "{answer:?}");
        let heard = stage.provider.take();
        assert!(heard.len() == 1 && heard[0].body == BODY.as_bytes(), "{heard:?}");
    }
}
