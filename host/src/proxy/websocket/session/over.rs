//! The end of a session: both sides are told, the provider's slot is free, and the story knows who ended it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::frame::{self, CLOSE};
use super::super::message::{Event, Messages};
use super::super::pump::{Side, Who};
use super::{End, FailureKind, Flow, Outcome, Session, WebSocket};
use crate::observe::websocket::Ended;

/// The time that a client has to answer a close, and to read what came before it.
const FAREWELL: Duration = Duration::from_secs(1);
/// The time in which a provider must take a close: it is gone for the client already.
const LAST_WORD: Duration = Duration::from_millis(50);

impl Session {
    /// Ends the session on both sides.
    pub(super) async fn over(mut self, end: End) {
        let (ended, by, code) = match end {
            End::Closed(who, code) => (Ended::Closed, name(who), code),
            End::Left(who) => (Ended::Left, name(who), None),
            End::Own(ended, code) => (ended, "proxy", Some(code)),
        };
        let provider = self.story.provider().map(|provider| provider.config.name.clone()).unwrap_or_default();
        // What a client is told, unless its side has ended.
        let said = match end {
            End::Left(Who::Provider) => Some((1011, format!("provider {provider} ended the connection"))),
            End::Own(ended, code) => Some((code, ended.reason().to_owned())),
            End::Closed(..) | End::Left(Who::Client) => None,
        };
        let mut closed = false;
        if let Some((code, reason)) = &said
            && self.down.is_between_frames()
            && self.goodbyes[Who::Provider as usize].is_none()
        {
            frame::write(&mut self.pump.client.out, (true, CLOSE), &frame::close(*code, reason), None);
            closed = true;
        }
        let is_between = self.holds || self.up.is_between_frames();
        if !matches!(end, End::Closed(..) | End::Left(Who::Provider)) && is_between {
            let payload = frame::close(1001, "");
            self.pass((true, CLOSE), &payload);
        }
        self.report(end);
        let flows = [(&self.up, &self.pump.client), (&self.down, &self.pump.provider)];
        let [from_client, from_provider] =
            flows.map(|(messages, side)| Flow { messages: messages.count, bytes: side.came });
        let answers = self.spent.answers;
        let unread = self.unread;
        self.story.websocket =
            Some(Box::new(WebSocket { ended, by, code, from_client, from_provider, answers, unread }));
        let route = self.story.route.as_ref().map_or("", |route| &route.name);
        self.proxy.metrics.websockets.ended(route, ended.name());
        std::mem::take(&mut self.spent).close(&mut self.story);
        let Self { mut pump, up, goodbyes, .. } = self;
        if !matches!(end, End::Left(Who::Provider)) {
            // An error means that it is gone as well.
            let _ = timeout(LAST_WORD, pump.provider.finish()).await;
        }
        drop(pump.provider);
        if !matches!(end, End::Left(Who::Client)) {
            farewell(pump.client, up, closed && goodbyes[Who::Client as usize].is_none()).await;
        }
    }

    /// Reports how it went for the provider, and frees its slot.
    fn report(&mut self, end: End) {
        let Some(permit) = self.permit.take() else { return };
        let outcome = match end {
            // The provider says itself that it has failed (RFC 6455, 7.4.1, and the registry of its codes).
            End::Closed(Who::Provider, Some(1011..=1014)) | End::Left(Who::Provider) => Outcome::Interrupted,
            End::Left(Who::Client) => Outcome::Cancelled,
            End::Closed(..) | End::Own(..) => Outcome::Succeeded,
        };
        self.story.ended(outcome, Instant::now());
        if outcome == Outcome::Interrupted {
            let provider = permit.provider().config.name.clone();
            let reason = match end {
                End::Closed(_, Some(code)) => format!("closed the WebSocket with code {code}"),
                _ => permit.describe(Outcome::Failed(FailureKind::CutShort), None),
            };
            tracing::warn!(
                request_id = self.story.id.as_str(),
                provider,
                "provider {provider} {reason} during a session; the client was told"
            );
            permit.report_because(outcome, &reason);
        } else {
            permit.report(outcome);
        }
    }
}

fn name(who: Who) -> &'static str {
    match who {
        Who::Client => "client",
        Who::Provider => "provider",
    }
}

/// Sends the client what is left, and waits for its own close where `is_awaited`: a connection that is closed with bytes
/// unread would take from it what it has not read.
pub(in crate::proxy::websocket) async fn farewell(mut client: Side, mut up: Messages, is_awaited: bool) {
    let end = async {
        if poll_fn(|context| client.poll_send(context)).await.is_err() {
            return;
        }
        let mut piece = vec![0; 4096];
        let mut is_over = !is_awaited;
        while !is_over {
            let Ok(came @ 1..) = poll_fn(|context| client.poll_read(&mut piece, context)).await else { return };
            is_over = is_closed_by(&mut up, &piece[..came]);
        }
        // An error means that it is gone.
        let _ = client.finish().await;
    };
    // Whoever does not read in time is cut off.
    let _ = timeout(FAREWELL, end).await;
}

/// True when the close of the client is among these bytes, or nothing that could be read.
fn is_closed_by(up: &mut Messages, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match up.next(bytes) {
            Ok((_, Event::Close(_))) | Err(_) => return true,
            Ok((taken, _)) => bytes = &bytes[taken..],
        }
    }
    false
}
