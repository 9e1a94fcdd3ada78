//! The course of one request, told as a person would: what was offered, what the strategy made of it, what was tried and
//! how that ended.
//!
//! For the command line and for pages alike, so it is a list of lines with a moment and a weight each.

use std::fmt;

use super::ledger::record::{Absent, Attempt, Candidate, Millis, Offer, Record, WebSocket};
use super::trace::Trace;
use crate::limits::Nano;

/// The course of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The request and its end in a line.
    pub title: String,
    /// Who asked for what.
    pub asked: String,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The moment, from the beginning of the request; `None` for a detail of the step before.
    pub at: Option<Millis>,
    /// What happened, as a sentence.
    pub text: String,
    /// Whether it went well.
    pub mark: Mark,
}

/// The weight of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is as it is.
    Plain,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
}

impl Course {
    /// The course of a request, and of the questions that approaches have asked for it.
    pub fn of(record: &Record, questions: &[impl AsRef<Record>]) -> Self {
        let status = record.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let Record { request_id, method, path, time, .. } = record;
        let took = span(record.duration_ms);
        Self {
            title: format!("{request_id}: {method} {path} at {time}: {status} after {took}"),
            asked: asked(record),
            steps: steps(record, questions),
        }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n", self.title, self.asked)?;
        for Step { at, text, mark } in &self.steps {
            let sign = if *mark == Mark::Bad { "!" } else { " " };
            match at {
                Some(at) => writeln!(f, "{:>11} {sign} {text}", span(*at))?,
                None => writeln!(f, "{:11} {sign}   {text}", "")?,
            }
        }
        Ok(())
    }
}

fn step(at: Millis, text: impl Into<String>, mark: Mark) -> Step {
    Step { at: Some(at), text: text.into(), mark }
}

fn detail(text: impl Into<String>, mark: Mark) -> Step {
    Step { at: None, text: text.into(), mark }
}

/// Who asked for what.
fn asked(record: &Record) -> String {
    let who = match (&record.client, &record.address) {
        (Some(client), Some(address)) => format!("The client {client} ({address})"),
        (Some(client), None) => format!("The client {client}"),
        (None, Some(address)) => format!("A client without a name ({address})"),
        (None, None) => "A client without a name".to_owned(),
    };
    let who =
        record.inner.as_ref().map_or(who, |inner| format!("The approach {}, step {},", inner.approach, inner.step));
    let what =
        if record.model.is_empty() { "named no model".to_owned() } else { format!("asked for {}", record.model) };
    let stream = if record.stream { ", as a stream" } else { "" };
    let instead = record.instead.as_ref().map_or(String::new(), |model| format!(" {model} was asked for instead."));
    let route = match (&record.route, &record.strategy) {
        (Some(route), Some(strategy)) => {
            format!(" Route {route}, strategy {strategy}, configuration {}.", record.generation)
        }
        (Some(route), None) => format!(" Route {route}, configuration {}.", record.generation),
        (None, _) => " It got no route.".to_owned(),
    };
    format!("{who} {what}{stream}.{route}{instead}")
}

fn steps(record: &Record, questions: &[impl AsRef<Record>]) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(wait) = record.queue_ms.filter(|wait| wait.0 >= 1000) {
        steps.push(step(wait, format!("It left the queue after {}.", span(wait)), Mark::Plain));
    }
    let mut attempts = record.attempts.iter().enumerate().peekable();
    for offer in &record.offers {
        while let Some((number, attempt)) = attempts.next_if(|(_, attempt)| attempt.at_ms < offer.at_ms) {
            tell_attempt(&mut steps, number + 1, attempt, record);
        }
        tell_offer(&mut steps, offer, record);
    }
    for (number, attempt) in attempts {
        tell_attempt(&mut steps, number + 1, attempt, record);
    }
    if record.more_attempts > 0 {
        steps
            .push(detail(format!("{} more attempts followed, which are not kept.", record.more_attempts), Mark::Plain));
    }
    for question in questions.iter().map(AsRef::as_ref) {
        tell_question(&mut steps, question, record);
    }
    tell_end(&mut steps, record);
    steps
}

fn tell_offer(steps: &mut Vec<Step>, offer: &Offer, record: &Record) {
    let Offer { tier, at_ms, .. } = offer;
    let known = offer.candidates.len() as u64 + offer.more_candidates;
    let route = offer.route.as_ref().map_or(String::new(), |route| format!(" of the route {route}"));
    let tier = match &**tier {
        "primary" => "The primary providers",
        "fallback" => "The fallback providers",
        _ => "The last resort",
    };
    let last = if offer.is_last { " Those that have said that they do not serve this come last." } else { "" };
    let text = match known {
        0 => format!("{tier}{route}: nobody could be offered."),
        1 => format!("{tier}{route}: one candidate.{last}"),
        _ => format!("{tier}{route}: {known} candidates.{last}"),
    };
    steps.push(step(*at_ms, text, if known == 0 { Mark::Bad } else { Mark::Plain }));
    for absent in &offer.absent {
        steps.push(detail(absence(absent, record), Mark::Plain));
    }
    if known == 0 {
        return;
    }
    let order: Vec<&str> = offer.candidates.iter().filter(|one| !one.is_excluded).map(|one| &*one.name).collect();
    let more = if offer.more_candidates > 0 { format!(" and {} more", offer.more_candidates) } else { String::new() };
    let order = format!("{}{more}", order.join(", then "));
    let (name, version) = offer.strategy.as_ref().map_or(("the strategy", String::new()), |strategy| {
        let version = [&*strategy.version, &*strategy.digest].into_iter().filter(|part| !part.is_empty());
        let version: Vec<&str> = version.collect();
        (&*strategy.name, if version.is_empty() { String::new() } else { format!(" ({})", version.join(", ")) })
    });
    let took = span(offer.took_ms);
    let (text, mark) = match offer.origin.as_deref() {
        Some("strategy") => {
            let reason = offer.reason.as_ref().map_or(String::new(), |reason| format!(", because: {reason}"));
            (format!("{name}{version} decided in {took}: {order}{reason}."), Mark::Plain)
        }
        Some("refused") => {
            (format!("{name}{version} had no order for this request; default order: {order}."), Mark::Plain)
        }
        Some("faulted") => (format!("{name}{version} broke; default order: {order}."), Mark::Bad),
        Some("abstained") if offer.took_ms.is_zero() => {
            (format!("No strategy is asked for this: {order}."), Mark::Plain)
        }
        Some(_) | None => (format!("{name}{version} had no opinion; default order: {order}."), Mark::Plain),
    };
    steps.push(detail(text, mark));
    for candidate in &offer.candidates {
        steps.push(detail(facts(candidate), Mark::Plain));
    }
    for passed in &offer.passed_over {
        let why = match &*passed.why {
            "slots" => "all slots of its provider were taken",
            "account" => "the account of its provider had no room",
            _ => "it had been ejected or throttled since",
        };
        steps.push(detail(format!("When the turn of {} came, {why}.", passed.name), Mark::Plain));
    }
}

fn facts(candidate: &Candidate) -> String {
    let Candidate { name, in_flight, latency_ms, failure_permille, .. } = candidate;
    let latency = match latency_ms.0 {
        0 => "no latency known".to_owned(),
        _ => format!("{} to the first byte", span(*latency_ms)),
    };
    let failures = match failure_permille {
        0 => String::new(),
        failed => format!(", {:.1} % failed", f64::from(*failed) / 10.0),
    };
    let left = |what: &str, left: Option<u32>| {
        left.map(|left| format!(", {:.1} % of its {what} left", f64::from(left) / 10.0))
    };
    let left = [left("requests", candidate.requests_left), left("tokens", candidate.tokens_left)];
    let reason = candidate.reason.as_ref().map_or(String::new(), |reason| format!("; {reason}"));
    let excluded = if candidate.is_excluded { "; excluded by the strategy" } else { "" };
    let left: String = left.into_iter().flatten().collect();
    format!("{name}: {in_flight} in flight, {latency}{failures}{left}{reason}{excluded}")
}

fn absence(absent: &Absent, record: &Record) -> String {
    let Absent { name, why, for_ms, reason } = absent;
    let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let more =
        for_ms.filter(|left| !left.is_zero()).map_or(String::new(), |left| format!(" for another {}", span(left)));
    let model = record.instead.as_ref().unwrap_or(&record.model);
    match &**why {
        "ejected" => format!("{name} was not offered: ejected{more}{reason}"),
        "throttled" => format!("{name} was not offered: it limits our rate{more}{reason}"),
        "on_trial" => format!("{name} was not offered: it has yet to prove itself, and another request is its trial"),
        "nothing_left" => format!("{name} was not offered: nothing is left of a limit at its provider"),
        "tried" => format!("{name} was not offered again: it had been tried"),
        "excluded" => format!("{name} was not offered: the strategy had excluded it"),
        _ if model.is_empty() => format!("{name} was not offered: it serves named models only"),
        _ => format!("{name} was not offered: it does not serve {model}"),
    }
}

fn tell_attempt(steps: &mut Vec<Step>, number: usize, attempt: &Attempt, record: &Record) {
    let Attempt { provider, at_ms, took_ms, outcome, .. } = attempt;
    let target = attempt.target.as_ref().map_or(String::new(), |target| format!(" ({target})"));
    let hedge = if attempt.is_hedge { ", beside the one before because that was slow" } else { "" };
    let took = span(*took_ms);
    let status = attempt.status.map_or(String::new(), |status| format!(" with status {status}"));
    let unsent = if attempt.unsent { "; nothing had been sent" } else { "" };
    let is_last = number == record.attempts.len();
    let words = match &**outcome {
        "succeeded" => format!("succeeded after {took}"),
        "cancelled" if is_last => format!("was given up after {took}, as the client left"),
        "cancelled" => format!("was given up after {took}, as the other one had answered"),
        "interrupted" => format!("broke off after {took}, in the middle of its answer"),
        other => format!("{} after {took}{status}{unsent}", other.replace('_', " ")),
    };
    let mark = match &**outcome {
        "succeeded" => Mark::Good,
        "cancelled" => Mark::Plain,
        _ => Mark::Bad,
    };
    steps.push(step(*at_ms, format!("Attempt {number} at {provider}{target}{hedge}: {words}."), mark));
    if let Some(reason) = &attempt.reason {
        steps.push(detail(format!("{provider} {reason}"), mark));
    }
}

fn tell_question(steps: &mut Vec<Step>, question: &Record, record: &Record) {
    let step_name = question.inner.as_ref().map_or("", |inner| &inner.step);
    let at = Millis::from_gap(record.time, question.time);
    let provider = question.provider.as_deref().unwrap_or("nobody");
    let status = question.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    let tries = match question.attempts.len() {
        0 | 1 => String::new(),
        tries => format!(" after {tries} attempts"),
    };
    let mark = if question.failed() { Mark::Bad } else { Mark::Good };
    let (id, took) = (&question.request_id, span(question.duration_ms));
    let text = format!("The approach asked for {step_name} ({id}): {provider} answered in {took}{tries}, {status}.");
    steps.push(step(at, text, mark));
}

fn tell_end(steps: &mut Vec<Step>, record: &Record) {
    let at = record.duration_ms;
    if let Some(wait) = Some(record.slot_wait_ms).filter(|wait| wait.0 >= 1000) {
        steps.push(detail(format!("In all it waited {} for slots of providers.", span(wait)), Mark::Plain));
    }
    if let Some(approach) = &record.approach {
        let (name, calls, depth) = (&approach.name, approach.calls, approach.depth);
        let text = format!("The approach {name} asked the model {calls} times, up to {depth} one after the other.");
        steps.push(detail(text, Mark::Plain));
    }
    if let Some(websocket) = &record.websocket {
        steps.push(detail(of_websocket(websocket), Mark::Plain));
    }
    let text = match (record.status, &record.error) {
        (None, _) => "The client left before there was an answer.".to_owned(),
        (Some(status), Some(error)) => format!("The proxy answered with status {status}, {error}."),
        (Some(101), None) => "The WebSocket is over.".to_owned(),
        (Some(status), None) => match &record.provider {
            Some(provider) => format!("The answer of {provider} ended, with status {status}."),
            None => format!("The proxy answered with status {status}."),
        },
    };
    steps.push(step(at, text, if record.failed() { Mark::Bad } else { Mark::Good }));
    if let Some(message) = &record.message {
        steps.push(detail(message.to_string(), Mark::Bad));
    }
    let first = record.first_byte_ms.map(|first| format!("the head of the answer after {}", span(first)));
    let own = record.overhead_ms.map(|own| format!("of which the proxy took {}", span(own)));
    let times: Vec<String> = first.into_iter().chain(own).collect();
    if !times.is_empty() {
        steps.push(detail(capital(&format!("{}.", times.join(", "))), Mark::Plain));
    }
    let tokens = match (record.prompt_tokens, record.completion_tokens, record.estimated_tokens) {
        (None, None, None) => None,
        (None, None, Some(estimated)) => {
            Some(format!("nobody said how many tokens it took; it was charged with {estimated}"))
        }
        (prompt, completion, _) => Some(format!("{} tokens in, {} out", prompt.unwrap_or(0), completion.unwrap_or(0))),
    };
    let cost = record.cost_nano.map(|cost| format!("${}", Nano(cost)));
    let means: Vec<String> = tokens.into_iter().chain(cost).collect();
    if !means.is_empty() {
        steps.push(detail(capital(&format!("{}.", means.join(", "))), Mark::Plain));
    }
    if let Some(Trace { id, span, parent, .. }) = record.trace {
        let parent = parent.map_or(String::new(), |parent| format!(", below the span {parent}"));
        steps.push(detail(format!("Trace {id}, span {span}{parent}."), Mark::Plain));
    }
}

/// The course of a WebSocket, in a sentence.
fn of_websocket(websocket: &WebSocket) -> String {
    let WebSocket { by, code, client_messages, provider_messages, answers, .. } = websocket;
    let code = code.map_or(String::new(), |code| format!(" with code {code}"));
    let why = match &*websocket.ended {
        "closed" => format!("The {by} closed the WebSocket{code}"),
        "left" => format!("The {by} ended the connection without a close"),
        other => format!("The proxy closed the WebSocket{code} ({other})"),
    };
    format!(
        "{why}, after {client_messages} messages of the client, {provider_messages} of the provider and {answers} answers."
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// A span of time for people: `4 us`, `0.35 ms`, `12.5 ms`, `320 ms`, `1.24 s`, `3 min 5 s`.
pub fn span(millis: Millis) -> String {
    let ms = millis.get();
    match millis.0 {
        0..100 => format!("{} us", millis.0),
        100..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..1_000_000 => format!("{ms:.0} ms"),
        1_000_000..100_000_000 => format!("{:.2} s", ms / 1000.0),
        _ => {
            let seconds = (ms / 1000.0).round() as u64;
            match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
