//! What the client gets: one completion, or the events of a stream.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::course::{self, Answered, End, Finished};
use super::inner::Asking;
use super::kept::{Kept, Limits, Refused, Theirs};
use super::object::Object;
use super::outbox::{Head, Outbox};
use super::{Agenda, Refusal, Shared};
use crate::config::ModelNames;
use crate::listener::Closer;
use crate::observe::story;
use crate::proxy::Proxy;
use crate::proxy::dispatch::Job;
use crate::proxy::generation::Generation;
use crate::proxy::passing::{PROVIDER, finish_head, name_cost};
use crate::proxy::reply::Reply;
use crate::proxy::respond::{self, Form, ProxyError};
use crate::proxy::telling::Telling;
use crate::proxy::usage;
use crate::proxy::whole::Whole;
use crate::routing::OutcomeKind;

mod running;

pub use running::Running;

/// The header that names the approach, and says what the answer took.
const APPROACH: HeaderName = HeaderName::from_static("x-pointsman-approach");

/// The header by which OpenAI's SDKs are told not to try again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A course under way.
type Course = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// Answers a request by its plan. Dropping the future, or the body of the response, drops all that belongs to it.
pub async fn answer(
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    (job, plan): (Job, Agenda),
    story: Telling,
    closer: Closer,
    closes: bool,
) -> Response<Reply> {
    let is_streaming = job.body.streaming();
    let (id, began) = (story.id.clone(), Instant::now());
    let levels = story.levels(began);
    let settings = Arc::clone(&generation.approaches.settings);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let answer_id = format!("chatcmpl-pm-{}", proxy.entropy.request_id().trim_start_matches("req_"));
    let head = Head { id: answer_id, created: created.as_secs(), model: job.body.model().to_owned() };
    let asked_for = match generation.model_names {
        ModelNames::Client => Some(job.body.model().to_owned()),
        ModelNames::Provider => None,
    };
    let told = Told {
        expression: plan.expression.to_string(),
        head: head.clone(),
        asked_for,
        include_usage: plan.include_usage,
        began,
        timeout: settings.timeout,
    };
    let outbox = is_streaming.then(|| Arc::new(Outbox::new(head)));
    let shared = Arc::new(Shared {
        peculiarities: Arc::clone(&generation.approaches.peculiarities),
        limits: Limits { tokens: settings.max_tokens, deadline: began + settings.timeout },
        kept: Kept::new(settings.max_calls),
        outbox: outbox.clone(),
        now_ms: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
        entropy: proxy.entropy.next(),
        runs: AtomicU32::new(0),
        width: u32::try_from(plan.branches.len()).unwrap_or(u32::MAX),
        asking: Asking {
            proxy,
            generation,
            job,
            client: story.client.clone(),
            id: id.clone(),
            own: Arc::new(Semaphore::new(1)),
            parallel: Arc::new(Semaphore::new(usize::try_from(settings.parallel).unwrap_or(1))),
            bill: Arc::default(),
            trace: story.trace.as_deref().copied(),
        },
        settings,
    });
    let mut course: Course = Box::pin(course::run(Arc::clone(&shared), plan));
    let account = Account { told, shared, story: Some(story) };
    let mut response = match outbox {
        None => account.whole(course.await),
        Some(outbox) => {
            let due = Instant::now() + account.shared.settings.heartbeat;
            let finished = begin(&mut course, &outbox, due).await;
            match finished {
                // Nothing has gone out, so that a failure has its own status.
                Some(finished) if finished.answers.is_err() => account.whole(finished),
                finished => Running::begin(course, outbox, account, (closer, due), finished),
            }
        }
    };
    finish_head(response.headers_mut(), &id, closes);
    if let Some(levels) = levels {
        levels.write(response.headers_mut());
    }
    response
}

/// Follows a course until its client is to hear of it: it has an event, has lasted until `due`, or is at its end, which is
/// given.
async fn begin(course: &mut Course, outbox: &Outbox, due: Instant) -> Option<Finished> {
    let mut timer = pin!(sleep_until(due));
    poll_fn(|context| {
        if let Poll::Ready(finished) = course.as_mut().poll(context) {
            return Poll::Ready(Some(finished));
        }
        if outbox.has_begun() || timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// What is told of a course, beside its answers.
struct Told {
    expression: String,
    head: Head,
    /// The model's name for the answer, if it is not the provider's.
    asked_for: Option<String>,
    include_usage: bool,
    began: Instant,
    timeout: Duration,
}

impl Told {
    /// What it took, for a header or a comment.
    fn figures(&self, shared: &Shared, finished: &Finished) -> String {
        let (calls, choices) = shared.kept.counts();
        let millis = self.began.elapsed().as_millis();
        let mut text = format!("{}; calls={calls}; choices={choices}; ms={millis}", self.expression);
        if let Some(fault) = finished.fault {
            // Writing to a String cannot fail.
            let _ = write!(text, "; fault={}", fault.name());
        }
        if !finished.failed.is_empty() && finished.answers.is_ok() {
            let _ = write!(text, "; failed={}", finished.failed.join(","));
        }
        text
    }

    /// The completion of these answers.
    fn completion(&self, answers: &[Answered], shared: &Shared) -> Bytes {
        let Head { id, created, .. } = &self.head;
        let mut whole = Object::default();
        whole.put("id", id);
        whole.put("object", "chat.completion");
        whole.put("created", created);
        whole.put("model", self.model(answers));
        whole.put("choices", &answers.iter().map(course::at_place).collect::<Vec<_>>());
        let usage = shared.kept.usage();
        if !usage.is_empty() {
            whole.put("usage", &usage);
        }
        Bytes::copy_from_slice(whole.to_raw().get().as_bytes())
    }

    /// The model that the answer names: that of the first answer that names one.
    fn model<'a>(&'a self, answers: &'a [Answered]) -> &'a str {
        let named = answers.iter().map(|answer| answer.choice.model.as_str()).find(|model| !model.is_empty());
        self.asked_for.as_deref().or(named).unwrap_or(&self.head.model)
    }

    /// What the client gets in place of an answer.
    fn refusal(&self, name: String, end: End) -> Said {
        let own = |refusal| Said::Own(ProxyError::Approach(refusal));
        match end {
            End::Unsuitable(why) => own(Refusal::Unsuitable(why)),
            End::Broke(_) => own(Refusal::Broke(name)),
            End::Refused(refused) => match refused {
                Refused::Own(error) => Said::Own(*error),
                Refused::Theirs(theirs) => Said::Theirs(theirs),
                Refused::Budget(what) => own(Refusal::Budget(what)),
                Refused::Time => own(Refusal::Timeout(self.timeout)),
                Refused::Contract(_) => own(Refusal::Broke(name)),
            },
        }
    }
}

/// A request under way, whose story learns what it took however it ends: by its client too.
struct Account {
    told: Told,
    shared: Arc<Shared>,
    /// `None` once the answer has it.
    story: Option<Telling>,
}

impl Account {
    /// Notes in the story what it took, and gives the story.
    fn close(&mut self, depth: u32) -> Option<Telling> {
        let mut story = self.story.take()?;
        let shared = &self.shared;
        let (calls, choices) = shared.kept.counts();
        let usage = shared.kept.usage();
        story.usage = usage::of_sums(&usage);
        story.cost = shared.asking.bill.sum();
        let told = story.usage.unwrap_or_default();
        let name = self.told.expression.clone();
        shared.asking.proxy.metrics().approaches.spent(&name, told.prompt_tokens(), told.completion_tokens());
        story.approach = Some(story::Approached { name, calls, choices, depth });
        Some(story)
    }

    /// The whole answer, or the error in its place.
    fn whole(mut self, finished: Finished) -> Response<Reply> {
        let figures = HeaderValue::try_from(self.told.figures(&self.shared, &finished)).ok();
        let story = self.close(finished.depth);
        let now = Instant::now();
        let mut response = match finished.answers {
            Ok(answers) => {
                let body = self.told.completion(&answers, &self.shared);
                let cost = story.as_ref().and_then(Telling::explained_cost);
                let reply = match story {
                    Some(mut story) => {
                        story.answered(StatusCode::OK, None, now);
                        Reply::Whole(Whole::new(body, story))
                    }
                    None => Reply::Own(body.into()),
                };
                let mut response = Response::new(reply);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let provider = answers.iter().map(|answer| &answer.choice.provider).find(|name| !name.is_empty());
                if let Some(Ok(provider)) = provider.map(HeaderValue::try_from) {
                    headers.insert(PROVIDER, provider);
                }
                name_cost(headers, cost);
                response
            }
            Err((name, end)) => {
                let (mut response, code) = match self.told.refusal(name, end) {
                    Said::Own(error) => {
                        let id = story.as_ref().map_or("", |story| story.id.as_str());
                        let response = error.into_response(Form::OpenAi, id, 1);
                        let code = response.extensions().get::<respond::Code>().map(|code| code.0);
                        (response.map(Reply::Own), code)
                    }
                    Said::Theirs(theirs) => {
                        let Theirs { status, headers, body } = *theirs;
                        let mut response = Response::new(Reply::Own(body.into()));
                        *response.status_mut() = status;
                        *response.headers_mut() = headers;
                        (response, None)
                    }
                };
                // An SDK's own retries would triple what the run has cost.
                response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
                if let Some(mut story) = story {
                    story.answered(response.status(), code, now);
                }
                response
            }
        };
        if let Some(figures) = figures {
            response.headers_mut().insert(APPROACH, figures);
        }
        response
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(mut story) = self.close(0) {
            // Its client has left.
            story.error = Some(OutcomeKind::Cancelled.name());
        }
    }
}

/// The error of a course.
enum Said {
    /// The proxy's own.
    Own(ProxyError),
    /// A provider's.
    Theirs(Box<Theirs>),
}
