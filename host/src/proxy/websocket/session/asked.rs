//! What a client asks for in a session, and what its answers take.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::super::events::{ClientEvent, Wish, end_of_answer};
use super::super::frame::{BINARY, TEXT};
use super::super::message::Event;
use super::{End, REALTIME, RESPONSES, Session};
use crate::observe::websocket::Ended;
use crate::proxy::endpoint::Endpoint;
use crate::proxy::limits::{Share, Wanted};
use crate::proxy::permitted;
use crate::proxy::request::RequestBody;
use crate::proxy::respond::ProxyError;
use crate::routing::Route;

impl Session {
    /// Looks at a message of the provider: one that ends an answer is charged.
    pub(super) fn look_down(&mut self) -> Result<(), End> {
        if self.down.is_partial() {
            self.was_unread();
            return Ok(());
        }
        let Some(usage) = end_of_answer(self.down.kept()) else { return Ok(()) };
        self.spent.end(usage, &mut self.story);
        if self.is_responses {
            return Ok(());
        }
        // In a session a provider answers what it hears without being asked, so nothing but its end keeps to a budget. A
        // rate is only the reason to refuse what is asked for.
        match self.story.taken().map(|taken| taken.check(Instant::now())) {
            Some(Err(ProxyError::Limited(limited))) if limited.is_spent() => {
                self.refuse(ProxyError::Limited(limited), None)
            }
            Some(Ok(()) | Err(_)) | None => Ok(()),
        }
    }

    fn was_unread(&mut self) {
        self.unread += 1;
        self.proxy.metrics.websockets.unread.inc();
    }

    /// Looks at a message of the client, or a part of one, and passes it on unless it is refused.
    pub(super) async fn look_up(&mut self, event: Event) -> Result<(), End> {
        if event == Event::Binary && !self.up.is_spilled() {
            self.pass_kept(event, BINARY);
            return Ok(());
        }
        if event == Event::Full || self.up.is_partial() {
            return self.look_at_part(event);
        }
        let asked = match ClientEvent::read(self.up.kept()) {
            Ok(asked) => asked,
            Err(reason) => return self.refuse(ProxyError::Message(reason), None),
        };
        let id = asked.id.as_deref();
        for (_, model) in &asked.models {
            if let Err(error) = self.may_name(model) {
                return self.refuse(error, id);
            }
        }
        if asked.wish == Wish::Answer
            && let Err(error) = self.set_aside().await
        {
            return self.refuse(error, id);
        }
        let called = |model: &str| Cow::Owned(self.called(model));
        match asked.with_models(self.up.kept(), called) {
            Some(changed) => self.pass((true, TEXT), &changed),
            None => self.pass_kept(event, TEXT),
        }
        Ok(())
    }

    /// A message that is too large to look at may ask for anything, so it must be one that could be paid for.
    fn look_at_part(&mut self, event: Event) -> Result<(), End> {
        if self.is_responses {
            self.refuse(ProxyError::TooLarge(self.generation.max_body_bytes), None)?;
            return Err(End::Own(Ended::TooLarge, 1009));
        }
        if !self.is_in_parts {
            self.was_unread();
            if let Some(Err(error)) = self.story.taken().map(|taken| taken.check(Instant::now())) {
                self.refuse(error, None)?;
                return Err(End::Own(Ended::Limited, 1008));
            }
        }
        let opcode = self.up.opcode();
        self.pass_kept(event, opcode);
        Ok(())
    }

    /// Tells the client why its event does not go on. Once a budget is used up the session is over.
    pub(super) fn refuse(&mut self, error: ProxyError, event: Option<&str>) -> Result<(), End> {
        let is_over = matches!(&error, ProxyError::Limited(limited) if limited.is_spent());
        let endpoint = if self.is_responses { RESPONSES } else { REALTIME };
        let sentence = error.sentence();
        let (text, _, code) = error.into_event(endpoint, event);
        tracing::debug!(request_id = self.story.id.as_str(), code, "an event of a WebSocket was refused: {sentence}");
        self.tell(text)?;
        if is_over { Err(End::Own(Ended::Limited, 1008)) } else { Ok(()) }
    }

    /// Checks that the client may name a model here: one that it may use, and that the provider serves on this route.
    fn may_name(&self, model: &str) -> Result<(), ProxyError> {
        const ELSEWHERE: &str = "it names a model that is not served on this connection; open another one for it";
        permitted::may_use(self.story.client.as_deref(), model)?;
        if model == self.story.model {
            return Ok(());
        }
        let (Some(route), Some(last)) = (&self.story.route, self.story.attempts.last()) else { return Ok(()) };
        let of_model = self.generation.routes.of(model);
        let is_here = of_model.is_some_and(|other| Arc::ptr_eq(other, route))
            && route.eligible(model).targets().contains(&last.target);
        if is_here { Ok(()) } else { Err(ProxyError::Message(ELSEWHERE)) }
    }

    /// The provider's name of a model that may be named.
    fn called(&self, model: &str) -> String {
        let story = &self.story;
        if model == story.model
            && let Some(mapped) = story.mapped()
        {
            return mapped.into_owned();
        }
        match (&story.route, story.attempts.last()) {
            (Some(route), Some(last)) => {
                let target = route.target(last.target);
                target.model_for(&last.provider.config, model, route.taken(model)).into_owned()
            }
            _ => model.to_owned(),
        }
    }

    /// Sets aside what one more answer is likely to take.
    async fn set_aside(&mut self) -> Result<(), ProxyError> {
        if !self.story.is_limited() {
            return Ok(());
        }
        let Some(route) = self.story.route.clone() else { return Ok(()) };
        let (endpoint, body) = if self.is_responses {
            let menu = &self.generation.approaches.menu;
            let text = Bytes::copy_from_slice(self.up.kept());
            let body = RequestBody::json(text, None, menu).map_err(ProxyError::Body)?;
            (Endpoint::of(&Method::POST, "/v1/responses")?, body)
        } else {
            let model = Some(self.story.model.as_str());
            let body = RequestBody::opaque(Bytes::new(), model);
            (Endpoint::of_websocket("/v1/realtime").ok_or(ProxyError::Upgrade)?, body)
        };
        self.reserve(&endpoint, &body, &route, Share::Answer).await
    }

    /// Takes from the limits what an answer is likely to take.
    pub(in crate::proxy::websocket) async fn reserve(
        &mut self,
        endpoint: &Endpoint,
        body: &RequestBody,
        route: &Route,
        share: Share,
    ) -> Result<(), ProxyError> {
        let model = if body.model().is_empty() { self.story.model.clone() } else { body.model().to_owned() };
        let eligible = route.eligible(&model);
        let wanted = Wanted { endpoint, body, route, eligible: &eligible, model: &model, share };
        let client = self.story.client.clone();
        let reserved = self.proxy.means.reserve(&self.generation, &wanted, Instant::now(), client.as_deref());
        if let Some(taken) = reserved.await? {
            self.spent.ask(taken, &self.story);
        }
        Ok(())
    }
}
