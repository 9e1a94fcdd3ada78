//! A stream whose head goes out before it is known who will answer.
//!
//! The head goes out early, followed by comments, when a provider has begun a stream and sent no content for a second,
//! or when there was no sign of life from any provider for `server.keep_alive`. The course of the request then goes on
//! within the body of the response: providers are still tried one after the other until one has something to say, and
//! the last failure becomes an error frame.
//!
//! A client that leaves drops the body, and with it the course, as it drops the handler before.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::protocol::Protocol;
use super::signs::Signs;
use super::{CutShort, KEEP_ALIVE, Kind, Relay, Ways};
use crate::proxy::attempt::{Answered, Content, Passing};
use crate::proxy::dispatch::Job;
use crate::proxy::generation::Generation;
use crate::proxy::passing::{ATTEMPTS, PROVIDER};
use crate::proxy::reply::Reply;
use crate::proxy::respond::{self, ProxyError};
use crate::proxy::telling::Telling;
use crate::proxy::{Proxy, headers};

/// The time for which the head and comments are held back.
const SILENCE: Duration = Duration::from_secs(1);

/// A request on its way to an answer, with its story in the log.
pub type Course = Pin<Box<dyn Future<Output = Arrived> + Send>>;

/// The end of a course.
pub type Arrived = (Telling, Result<Answered, ProxyError>);

/// The course of `job` under the configuration that it began with. It owns all that it needs, so that it can outlive the
/// handler.
pub fn course(proxy: Arc<Proxy>, generation: Arc<Generation>, job: Job, mut story: Telling) -> Course {
    Box::pin(async move {
        let answered = proxy.dispatch(&generation, &job, &mut story).await;
        (story, answered)
    })
}

/// Follows the course of a request for a stream, admitted at `since`, to its end, or until the head is due: then
/// `None`.
pub async fn follow(
    course: &mut Course,
    signs: &Signs,
    since: Instant,
    keep_alive: Option<Duration>,
) -> Option<Arrived> {
    let silent = since + SILENCE;
    let dead = keep_alive.map(|pause| since + pause);
    let mut timer = pin!(sleep_until(dead.map_or(silent, |dead| dead.min(silent))));
    let mut is_silent = false;
    poll_fn(|context| {
        if let Poll::Ready(arrived) = course.as_mut().poll(context) {
            return Poll::Ready(Some(arrived));
        }
        loop {
            if is_silent && signs.have_begun() {
                return Poll::Ready(None);
            }
            if is_silent && dead.is_none() {
                return Poll::Pending;
            }
            ready!(timer.as_mut().poll(context));
            let now = timer.deadline();
            if dead.is_some_and(|dead| now >= dead) {
                return Poll::Ready(None);
            }
            is_silent = true;
            if let Some(dead) = dead {
                timer.as_mut().reset(dead);
            }
        }
    })
    .await
}

/// The body of a stream whose head went out early.
pub struct Early {
    stage: Stage,
    signs: Arc<Signs>,
    protocol: Protocol,
    /// The time at which a comment of our own is due, and the interval since the last sign of life.
    alive: Option<(Instant, Duration)>,
    timer: Pin<Box<Sleep>>,
    ways: Ways,
}

enum Stage {
    /// No provider has content yet.
    Choosing(Course),
    /// A provider answers.
    Relaying(Box<Relay>),
    /// The course is over; the story is kept until the body is sent.
    Over(#[expect(dead_code, reason = "held for its Drop alone")] Box<Telling>),
}

impl Early {
    /// Goes on with `course`, of a request that was admitted at `since`.
    pub fn new(course: Course, signs: Arc<Signs>, protocol: Protocol, since: Instant, ways: Ways) -> Self {
        let alive = ways.keep_alive.map(|pause| (since + pause, pause));
        let timer = Box::pin(sleep_until(alive.map_or(since, |(alive, _)| alive)));
        Self { stage: Stage::Choosing(course), signs, protocol, alive, timer, ways }
    }

    /// The answer with this body; its head names the provider that is being asked, and the number of attempts.
    pub fn begin(self, (provider, attempts): (Option<HeaderValue>, usize)) -> Response<Reply> {
        let mut response = Response::new(Reply::Early(Box::new(self)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers::let_events_pass(headers);
        if let Some(provider) = provider {
            headers.insert(PROVIDER, provider);
        }
        if attempts > 1 {
            headers.insert(ATTEMPTS, HeaderValue::from(attempts));
        }
        response
    }

    /// Goes on with the result of the course: a provider's events, or an error frame, which is returned.
    fn arrive(&mut self, (mut story, answered): Arrived) -> Option<Bytes> {
        let now = Instant::now();
        let Answered { status, content, outcome, .. } = match answered {
            Ok(answered) => answered,
            Err(error) => {
                let (frame, code) = error.into_frame(self.protocol);
                story.answered(http::StatusCode::OK, Some(code), now);
                return Some(self.fail(story, frame));
            }
        };
        let provider = story.provider().map(|provider| provider.config.name.clone()).unwrap_or_default();
        match content {
            Content::Passing(passing) if matches!(passing.kind, Kind::Events(_)) => {
                let Passing { mut held, source, kind, deadline, permit } = *passing;
                story.answered(http::StatusCode::OK, None, now);
                if let Some(comments) = self.signs.take_comments() {
                    held.push_front(comments);
                }
                let relay = Relay::new(held, source, kind, deadline, permit, story, self.ways.clone());
                self.stage = Stage::Relaying(Box::new(relay));
                None
            }
            Content::Switched(_) => None,
            Content::Whole(bytes) => {
                story.ended(outcome, now);
                story.answered(http::StatusCode::OK, Some(respond::LATE_ANSWER), now);
                let frame = respond::late_answer(self.protocol, &provider, status, &bytes);
                Some(self.fail(story, frame))
            }
            Content::Passing(passing) => {
                story.ended(outcome, now);
                passing.permit.report(outcome);
                story.answered(http::StatusCode::OK, Some(respond::LATE_ANSWER), now);
                let frame = respond::late_answer(self.protocol, &provider, status, &Bytes::new());
                Some(self.fail(story, frame))
            }
        }
    }

    fn fail(&mut self, story: Telling, frame: Bytes) -> Bytes {
        self.ways.closer.close();
        self.stage = Stage::Over(Box::new(story));
        frame
    }

    /// The next of the signs of life that the client sees.
    fn poll_sign(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let comments = self.signs.take_comments();
        let Some((alive, pause)) = &mut self.alive else {
            return comments.map_or(Poll::Pending, Poll::Ready);
        };
        if let Some(comments) = comments {
            *alive = Instant::now() + *pause;
            return Poll::Ready(comments);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= *alive {
                *alive = Instant::now() + *pause;
                return Poll::Ready(KEEP_ALIVE);
            }
            self.timer.as_mut().reset(*alive);
        }
    }
}

impl Body for Early {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Relaying(relay) => return Pin::new(&mut **relay).poll_frame(context),
                Stage::Over(_) => return Poll::Ready(None),
                Stage::Choosing(course) => match course.as_mut().poll(context) {
                    Poll::Ready(arrived) => {
                        if let Some(frame) = this.arrive(arrived) {
                            return Poll::Ready(Some(Ok(Frame::data(frame))));
                        }
                    }
                    Poll::Pending => {
                        let sign = ready!(this.poll_sign(context));
                        return Poll::Ready(Some(Ok(Frame::data(sign))));
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.stage {
            Stage::Choosing(_) => false,
            Stage::Relaying(relay) => relay.is_end_stream(),
            Stage::Over(_) => true,
        }
    }
}
