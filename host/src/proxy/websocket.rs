//! WebSocket: how a session is opened, and what becomes of its request.
//!
//! Whatever can be refused is refused before the connection changes its protocol, as an answer of HTTP like any other; and
//! only until then another provider may be tried. A session of `realtime` names its model in the query, so its provider is
//! found first and answers the client's own handshake. On a WebSocket of `responses` the model stands in the first message, so
//! the client's handshake is answered here, and the provider is sought when that message has come.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

mod events;
pub mod frame;
pub mod handshake;
pub mod message;
mod pump;
pub mod query;
mod session;
mod spent;
mod wanted;

use super::attempt::{Answered, Content, Switch};
use super::endpoint::{Endpoint, RESPONSES};
use super::generation::Generation;
use super::passing::{finish_head, name_attempts};
use super::reply::Reply;
use super::request::RequestBody;
use super::respond::ProxyError;
use super::serve::Arrived;
use super::telling::Telling;
use super::{Proxy, REQUEST_ID, headers};
use crate::http1::fields::Fields;
use crate::listener::takeover::Takeover;
use crate::listener::{Closer, Head};
use handshake::Offer;
use session::Ready;
use wanted::Wanting;

/// A request that wants to open a WebSocket, and may.
pub struct Opening {
    endpoint: Endpoint,
    query: Option<String>,
    headers: Fields,
    offer: Offer,
    generation: Arc<Generation>,
}

impl Opening {
    /// Reads the head of a request, of which `offer` was taken.
    ///
    /// # Errors
    ///
    /// [`ProxyError`]: it opens none, or not here.
    pub(super) fn of(
        head: Head,
        offer: Offer,
        generation: Arc<Generation>,
        story: &mut Telling,
    ) -> Result<Self, ProxyError> {
        let mut endpoint = Endpoint::of_websocket(head.uri.path()).ok_or(ProxyError::Upgrade)?;
        handshake::check(&head)?;
        story.endpoint = endpoint.label();
        let query = head.uri.query().map(str::to_owned);
        if endpoint.path != RESPONSES {
            endpoint.model = query::model(query.as_deref()).or(endpoint.model);
        }
        Ok(Self { endpoint, query, headers: head.headers, offer, generation })
    }
}

/// A request for a WebSocket that was answered.
pub enum Opened {
    /// The session begins.
    Session(Box<Session>),
    /// The provider refuses, and it is the client's fault.
    Refused(Box<Answered>),
}

/// A session that is about to begin.
pub struct Session {
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    /// The headers of the answer.
    headers: HeaderMap,
    way: Way,
}

/// The beginning of a session.
enum Way {
    /// With a provider.
    Ready(Box<Switch>),
    /// With the client alone, which is to say what it wants.
    Wanting(Wanting),
}

/// Opens a session, up to the answer.
///
/// # Errors
///
/// [`ProxyError`]: it cannot be opened.
pub async fn open(proxy: &Arc<Proxy>, opening: Opening, story: &mut Telling) -> Result<Opened, ProxyError> {
    let Opening { endpoint, query, mut headers, offer, generation } = opening;
    let mut answer = HeaderMap::new();
    if endpoint.path == RESPONSES {
        proxy.means.check(story.client.as_deref())?;
        let accept = headers.get(SEC_WEBSOCKET_KEY).and_then(handshake::accept);
        offer.answer(&mut answer, accept);
        // What the provider would choose among does not matter, as it comes too late.
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Some(key) = handshake::key(u128::from(proxy.entropy.next()) << 64 | u128::from(proxy.entropy.next())) {
            headers.insert(SEC_WEBSOCKET_KEY, &key);
        }
        let way = Way::Wanting(Wanting { endpoint, query, headers });
        let (proxy, headers) = (Arc::clone(proxy), answer);
        return Ok(Opened::Session(Box::new(Session { proxy, generation, headers, way })));
    }
    let now = Instant::now();
    let began = story.began;
    story.waited(now - began);
    let body = RequestBody::opaque(Bytes::new(), endpoint.model.as_deref());
    let (method, reserved) = (http::Method::GET, None);
    let arrived = Arrived { method, endpoint, query, headers, body, reserved, at: now };
    let job = proxy.admit(&generation, arrived, story).await?;
    let answered = proxy.dispatch(&generation, &job, story).await?;
    let Content::Switched(switch) = answered.content else { return Ok(Opened::Refused(Box::new(answered))) };
    let mut theirs = Fields::default();
    headers::to_client(&answered.headers, |name, value| theirs.append(name, value));
    answer = theirs.to_map();
    answer.remove(SET_COOKIE);
    if let Some(theirs) = answer.remove(REQUEST_ID) {
        answer.insert("x-pointsman-provider-request-id", theirs);
    }
    offer.answer(&mut answer, None);
    let (proxy, headers, way) = (Arc::clone(proxy), answer, Way::Ready(switch));
    Ok(Opened::Session(Box::new(Session { proxy, generation, headers, way })))
}

impl Session {
    /// The answer after which it begins; `story` goes on with it.
    pub fn begin(self, mut story: Telling, closer: &Closer) -> Response<Reply> {
        let Self { proxy, generation, mut headers, way } = self;
        let now = Instant::now();
        finish_head(&mut headers, story.id.as_str(), false);
        name_attempts(&mut headers, &story, now);
        proxy.means.write_levels(&story, &mut headers);
        story.answered(StatusCode::SWITCHING_PROTOCOLS, None, now);
        closer.hand_over(match way {
            Way::Ready(switch) => {
                let ready = Ready::new(proxy, generation, story, *switch);
                Takeover::new(|taken| ready.run(taken))
            }
            Way::Wanting(wanting) => Takeover::new(|taken| wanting.run(proxy, generation, story, taken)),
        });
        let mut response = Response::new(Reply::Own(Full::default()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }
}
