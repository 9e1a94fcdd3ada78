//! A session under way, and its ends: closes, silence, a drain, and sides that leave without a word.

use harness::socket::{CONTINUATION, PING, PONG, TEXT};
use harness::{Gate, Mock, Proxy, Reply, Socket, eventually};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{provider, session};

/// Waits for the story of the only session, and gives it.
async fn story(proxy: &Proxy) -> Value {
    eventually("the session is over", async || {
        proxy.get("/admin/stories").await.json()["stories"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await;
    proxy.get("/admin/stories").await.json()["stories"][0].clone()
}

/// True when nothing of a session is held any more.
async fn is_free(proxy: &Proxy, a: &Mock) -> bool {
    let health = proxy.health_of(a).await;
    health["in_flight"] == 0 && proxy.metric("pointsman_websocket_sessions_open").await == 0.0
}

/// A session of a client whose messages are looked at, as its model has another name.
async fn mapped(a: &Mock) -> (Proxy, Socket, Socket) {
    let proxy = Proxy::builder().provider(a, json!({"model_map": {"gpt-4": "other"}})).start().await;
    let (client, there) = session(&proxy, a).await;
    (proxy, client, there)
}

#[tokio::test]
async fn fragments_pass_as_they_come_with_control_frames_between() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let (mut client, mut there) = session(&proxy, &a).await;
    for forth in [true, false] {
        let (from, to) = if forth { (&mut client, &mut there) } else { (&mut there, &mut client) };
        from.send_frame(false, TEXT, b"one ").await;
        assert_eq!(to.next().await.expect("open").payload, b"one ");
        from.send_frame(true, PING, b"there?").await;
        assert_eq!(to.next().await.expect("open").opcode, PING);
        to.send_frame(true, PONG, b"there?").await;
        assert_eq!(from.next().await.expect("open").opcode, PONG);
        // Byte by byte.
        for byte in from.frame(true, CONTINUATION, b"two") {
            from.send_raw(&[byte]).await;
        }
        let last = to.next().await.expect("open");
        assert!(last.fin && last.opcode == CONTINUATION && last.payload == b"two", "{last:?}");
    }
}

#[tokio::test]
async fn messages_that_are_looked_at_are_whole_and_large_ones_come_in_parts() {
    let a = provider("a").await;
    let (proxy, mut client, mut there) = mapped(&a).await;
    client.send_frame(false, TEXT, br#"{"type": "x", "#).await;
    client.send_frame(true, PING, b"p").await;
    client.send_frame(true, CONTINUATION, br#""model": "gpt-4"}"#).await;
    assert_eq!(there.next().await.expect("open").opcode, PING);
    assert_eq!(there.text().await, r#"{"type": "x", "model": "other"}"#);
    let large = format!(r#"{{"type": "input_audio_buffer.append", "audio": "{}"}}"#, "A".repeat(3 << 20));
    let (sent, received) = tokio::join!(client.send(&large), async {
        let mut text = Vec::new();
        loop {
            let frame = there.next().await.expect("open");
            assert_eq!(frame.opcode == TEXT, text.is_empty(), "one text, then continuations");
            text.extend_from_slice(&frame.payload);
            if frame.fin {
                return text;
            }
        }
    });
    let () = sent;
    assert!(received == large.as_bytes(), "{} bytes", received.len());
    assert_eq!(proxy.metric("pointsman_websocket_unread_messages_total").await, 1.0);
    client.send("no JSON").await;
    let error = client.json().await;
    assert_eq!((&error["type"], &error["error"]["code"]), (&json!("error"), &json!("invalid_event")));
    client.event(&json!({"type": "y"})).await;
    assert_eq!(there.text().await, r#"{"type":"y"}"#);
}

#[tokio::test]
async fn the_close_of_either_side_reaches_the_other_with_its_code() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let (mut client, mut there) = session(&proxy, &a).await;
    client.event(&json!({"type": "x"})).await;
    there.text().await;
    there.close(4001, "session expired").await;
    assert_eq!(client.closed().await, (4001, "session expired".to_owned()));
    client.close(4001, "").await;
    assert_eq!(there.closed().await.0, 4001);
    drop(there);
    client.ended().await;
    let story = story(&proxy).await;
    assert_eq!((&story["status"], &story["outcome"]), (&json!(101), &json!("succeeded")));
    let socket = &story["websocket"];
    assert_eq!(
        (&socket["ended"], &socket["by"], &socket["code"]),
        (&json!("closed"), &json!("provider"), &json!(4001))
    );
    assert_eq!((&socket["client_messages"], &socket["provider_messages"]), (&json!(1), &json!(0)));
    let series = r#"pointsman_websocket_sessions_total{ended="closed",route="default"}"#;
    assert_eq!((proxy.metric(series).await, is_free(&proxy, &a).await), (1.0, true));
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_a_close_with_1011_and_evidence() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let (mut client, mut there) = session(&proxy, &a).await;
    there.send("last words").await;
    drop(there);
    assert_eq!(client.text().await, "last words");
    let (code, reason) = client.closed().await;
    assert!(code == 1011 && reason.contains("provider a"), "{code} {reason}");
    client.close(1011, "").await;
    client.ended().await;
    assert_eq!(story(&proxy).await["outcome"], "interrupted");
    proxy.wait_for_state(&a, "ejected").await;
}

#[tokio::test]
async fn no_close_is_put_into_a_frame_that_was_cut() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let (client, mut there) = session(&proxy, &a).await;
    let half = there.frame(true, TEXT, b"a long message that is cut");
    there.send_raw(&half[..10]).await;
    drop(there);
    let rest = client.rest().await;
    assert_eq!(rest, half[..10]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_session_with_the_provider() {
    let a = provider("a").await;
    for closes in [false, true] {
        let proxy = Proxy::before([&a]).await;
        let (mut client, mut there) = session(&proxy, &a).await;
        assert!(!is_free(&proxy, &a).await);
        if closes {
            client.close(1001, "").await;
        }
        drop(client);
        assert_eq!(there.closed().await.0, 1001);
        there.ended().await;
        eventually("everything is free", async || is_free(&proxy, &a).await).await;
        let story = story(&proxy).await;
        let outcome = if closes { "succeeded" } else { "cancelled" };
        assert_eq!((&story["outcome"], &story["websocket"]["by"]), (&json!(outcome), &json!("client")));
    }
}

#[tokio::test]
async fn a_session_without_messages_is_closed_though_it_pings() {
    let a = provider("a").await;
    let set = json!({"server": {"websocket": {"idle_timeout": 0.5}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let (mut client, mut there) = session(&proxy, &a).await;
    client.send_frame(true, PING, b"").await;
    assert_eq!(there.next().await.expect("open").opcode, PING);
    let (code, reason) = client.closed().await;
    assert!(code == 1001 && reason.contains("server.websocket.idle_timeout"), "{code} {reason}");
    assert_eq!(there.closed().await.0, 1001);
    client.close(1001, "").await;
    client.ended().await;
    assert_eq!(
        (&story(&proxy).await["websocket"]["ended"], proxy.state_of(&a).await.as_str()),
        (&json!("idle"), "admitted")
    );
}

#[tokio::test]
async fn a_session_lasts_no_longer_than_it_may_however_much_is_said() {
    let a = provider("a").await;
    let set = json!({"server": {"websocket": {"max_duration": 0.5, "idle_timeout": 0}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let (mut client, mut there) = session(&proxy, &a).await;
    let talks = harness::spawn(async move {
        while there.next().await.is_some_and(|frame| frame.opcode == TEXT) {
            there.send("answer").await;
        }
    });
    let closed = loop {
        client.send("hello").await;
        let frame = client.next().await.expect("open");
        if frame.opcode != TEXT {
            break frame;
        }
    };
    assert_eq!(closed.payload[..2], 1001_u16.to_be_bytes());
    talks.await.expect("no panic");
}

#[tokio::test]
async fn a_drain_leaves_a_session_its_time_and_then_closes_it() {
    let a = provider("a").await;
    let set = json!({"server": {"drain_timeout": 2}});
    let mut proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let (mut client, mut there) = session(&proxy, &a).await;
    proxy.begin_to_stop();
    eventually("new connections are refused", async || TcpStream::connect(proxy.address()).await.is_err()).await;
    client.send("still there?").await;
    assert_eq!(there.text().await, "still there?");
    assert!(!proxy.has_stopped());
    let (code, reason) = client.closed().await;
    assert!(code == 1001 && reason.contains("shutting down"), "{code} {reason}");
    assert_eq!(there.closed().await.0, 1001);
    client.close(1001, "").await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_session_holds_a_slot_of_its_provider_as_a_stream_does() {
    let a = provider("a").await;
    let set = json!({"queue": {"timeout": 0.3}});
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).set(set).start().await;
    let (client, _there) = session(&proxy, &a).await;
    let full = proxy.knock("/v1/realtime?model=gpt-4").refused().await;
    assert_eq!((full.status, full.code().as_str()), (503, "queue_timeout"));
    drop(client);
    eventually("the slot is free", async || is_free(&proxy, &a).await).await;
    let _next = session(&proxy, &a).await;
}

#[tokio::test]
async fn a_side_that_does_not_read_holds_the_other_up_and_not_the_memory() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let (mut client, mut there) = session(&proxy, &a).await;
    let gate = Gate::closed();
    let open = gate.clone();
    // More than all sockets on the way hold.
    let (message, count) = ("x".repeat(1 << 20), 40);
    let size = message.len();
    let talks = harness::spawn(async move {
        for _ in 0..count {
            there.send(&message).await;
        }
        open.open();
        there
    });
    // The other way is open all the while.
    client.send("hello").await;
    for _ in 0..count {
        assert_eq!(client.text().await.len(), size);
    }
    gate.pass().await;
    assert_eq!(talks.await.expect("no panic").text().await, "hello");
}

#[tokio::test]
async fn what_is_no_frame_ends_the_session_with_1002() {
    let a = provider("a").await;
    let (_proxy, mut client, mut there) = mapped(&a).await;
    client.send_raw(&[0x89, 0xfe, 0, 200, 0, 0, 0, 0]).await;
    assert_eq!(client.closed().await.0, 1002);
    assert_eq!(there.closed().await.0, 1001);
}

#[tokio::test]
async fn a_session_goes_on_over_a_reload() {
    let a = provider("a").await;
    let mut proxy = Proxy::before([&a]).await;
    let (mut client, mut there) = session(&proxy, &a).await;
    proxy.reload(json!({"timeouts": {"request": 9}})).await.expect("sound");
    client.send("hello").await;
    assert_eq!(there.text().await, "hello");
    let b = Mock::start("b", Reply::chat("b")).await;
    proxy.reload(json!({"providers": [harness::provider(&b, json!({}))]})).await.expect("sound");
    there.send("hello").await;
    assert_eq!(client.text().await, "hello");
}
