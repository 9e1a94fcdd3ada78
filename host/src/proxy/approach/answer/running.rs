//! The body of an answer that comes as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{APPROACH, Account, Course, Said};
use crate::listener::Closer;
use crate::proxy::approach::course::Finished;
use crate::proxy::approach::kept::Theirs;
use crate::proxy::approach::outbox::Outbox;
use crate::proxy::headers;
use crate::proxy::passing::PROVIDER;
use crate::proxy::reply::Reply;
use crate::proxy::respond;
use crate::proxy::stream::CutShort;
use crate::proxy::stream::protocol::Protocol;
use crate::proxy::telling::Telling;

/// The body of a stream whose approaches may still be at work.
pub struct Running {
    /// `None` once it is at its end.
    course: Option<Course>,
    outbox: Arc<Outbox>,
    account: Account,
    /// The story, from the end of the course on to that of the body.
    story: Option<Telling>,
    closer: Closer,
    timer: Pin<Box<Sleep>>,
    /// When the client is to get a sign of life.
    due: Instant,
}

impl Running {
    /// The answer of a course that goes on, or has ended with answers.
    pub(super) fn begin(
        course: Course,
        outbox: Arc<Outbox>,
        mut account: Account,
        (closer, due): (Closer, Instant),
        finished: Option<Finished>,
    ) -> Response<Reply> {
        if let Some(story) = &mut account.story {
            story.answered(StatusCode::OK, None, Instant::now());
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers::let_events_pass(&mut headers);
        // What it took is not known yet; a comment at the end says it.
        for (name, value) in [(APPROACH, account.told.expression.clone()), (PROVIDER, outbox.provider())] {
            if let (Ok(text), false) = (HeaderValue::try_from(&value), value.is_empty()) {
                headers.insert(name, text);
            }
        }
        let timer = Box::pin(sleep_until(due));
        let mut running = Running { course: Some(course), outbox, account, story: None, closer, timer, due };
        if let Some(finished) = finished {
            running.finish(finished);
        }
        let mut response = Response::new(Reply::Run(Box::new(running)));
        *response.headers_mut() = headers;
        response
    }

    /// Puts the end of the stream behind the events.
    fn finish(&mut self, finished: Finished) {
        self.course = None;
        let Account { told, shared, .. } = &self.account;
        let figures = told.figures(shared, &finished);
        let mut failed = None;
        match finished.answers {
            Ok(answers) => {
                // Where no provider has told any, there is nothing to tell.
                let usage = shared.kept.usage();
                let usage = (told.include_usage && !usage.is_empty()).then(|| Value::Object(usage));
                self.outbox.end(told.model(&answers), usage, Some(&figures));
            }
            Err((name, end)) => {
                let (frame, code) = match told.refusal(name, end) {
                    Said::Own(error) => error.into_frame(Protocol::Chat),
                    Said::Theirs(theirs) => {
                        let Theirs { status, headers, body } = *theirs;
                        let provider = headers.get(PROVIDER).and_then(|name| name.to_str().ok()).unwrap_or_default();
                        (respond::late_answer(Protocol::Chat, provider, status, &body), respond::LATE_ANSWER)
                    }
                };
                failed = Some(code);
                self.outbox.put(frame);
                self.closer.close();
            }
        }
        self.story = self.account.close(finished.depth);
        if let Some(story) = &mut self.story {
            story.error = failed;
        }
    }
}

impl Body for Running {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.outbox.take() {
                this.due = Instant::now() + this.account.shared.settings.heartbeat;
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            let Some(course) = &mut this.course else { return Poll::Ready(None) };
            match course.as_mut().poll(context) {
                Poll::Ready(finished) => this.finish(finished),
                // An event may have been put in on the way.
                Poll::Pending if this.outbox.has_more() => {}
                Poll::Pending => loop {
                    ready!(this.timer.as_mut().poll(context));
                    if this.timer.deadline() < this.due {
                        this.timer.as_mut().reset(this.due);
                        continue;
                    }
                    this.due = Instant::now() + this.account.shared.settings.heartbeat;
                    this.timer.as_mut().reset(this.due);
                    if let Some(sign) =
                        this.outbox.sign(this.account.shared.settings.progress, &this.account.told.expression)
                    {
                        return Poll::Ready(Some(Ok(Frame::data(sign))));
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.course.is_none() && !self.outbox.has_more()
    }
}
