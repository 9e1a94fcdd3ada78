//! Requests that come from within the process: those of an evaluation. They take the way of any other, but that nothing is
//! read from a connection.

use std::sync::Arc;

use http::{Response, Uri};
use tokio::time::Instant;

use super::Proxy;
use super::approach::answer::answer;
use super::generation::Generation;
use super::passing::{finish_head, name_attempts, pass_on, with_headers};
use super::reply::Reply;
use super::respond::{Form, ProxyError};
use super::serve::Arrived;
use super::stream::Ways;
use super::telling::Telling;
use crate::listener::Closer;

/// Answers a request, whichever way it takes. Dropping the future, or the body of the response, drops all that belongs to it.
pub async fn follow(
    proxy: &Arc<Proxy>,
    generation: Arc<Generation>,
    arrived: Arrived,
    mut story: Telling,
) -> Response<Reply> {
    let mut job = match proxy.admit(&generation, arrived, &mut story).await {
        Ok(job) => job,
        Err(error) => return refused(error, &story),
    };
    if let Some(plan) = job.run.take() {
        return Box::pin(answer(Arc::clone(proxy), generation, (job, *plan), story, Closer::default(), false)).await;
    }
    match proxy.dispatch(&generation, &job, &mut story).await {
        Ok(answered) => {
            let ways = Ways { closer: Closer::default(), keep_alive: None, naming: None };
            with_headers(pass_on(answered, story, ways, false))
        }
        Err(error) => refused(error, &story),
    }
}

fn refused(error: ProxyError, story: &Telling) -> Response<Reply> {
    let form = Form::of(&Uri::from_static("/v1/chat/completions"));
    let mut response = error.into_response(form, story.id.as_str(), story.attempts.len());
    name_attempts(response.headers_mut(), story, Instant::now());
    finish_head(response.headers_mut(), story.id.as_str(), false);
    response.map(Reply::Own)
}
