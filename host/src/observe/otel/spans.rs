//! From a record to its spans: one of the server for the request, below it one of a client for each attempt; for a question
//! of an approach one below that of the client's request.
//!
//! They say where a request went, how long it took and what it used. They never hold what was asked or answered, nor the
//! words of providers, which may quote it: the ledger has those, by the request's id.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::names::{Endpoint, GenAi, endpoint, method, server, vendor};
use crate::config::{Config, GenAiNames};
use crate::observe::ledger::record::{Attempt, Offer, Record, Text, Time};

/// What spans say that records do not.
#[derive(Debug)]
pub struct Facts {
    /// How the attributes of generative AI are called.
    names: GenAiNames,
    /// The scheme of clients' URLs.
    scheme: &'static str,
    providers: HashMap<String, Provider>,
    scope: InstrumentationScope,
}

/// A provider, as spans name it.
#[derive(Debug)]
struct Provider {
    vendor: &'static str,
    server: Option<(String, i64)>,
}

impl Facts {
    /// Those of a configuration.
    pub fn of(config: &Config, names: GenAiNames) -> Self {
        let known = |provider: &crate::config::Provider| {
            let known = Provider { vendor: vendor(provider), server: server(&provider.base_url) };
            (provider.name.clone(), known)
        };
        Self {
            names,
            scheme: if config.server.tls.is_some() { "https" } else { "http" },
            providers: config.providers.iter().map(known).collect(),
            scope: InstrumentationScope::builder("pointsman").with_version(env!("CARGO_PKG_VERSION")).build(),
        }
    }

    /// The number of spans of a record.
    pub fn count(record: &Record) -> usize {
        if record.trace.is_some() { 1 + record.attempts.len() } else { 0 }
    }

    /// Adds the spans of a record to others.
    pub fn add(&self, record: &Record, spans: &mut Vec<SpanData>) {
        let Some(trace) = record.trace else { return };
        let endpoint = endpoint(&record.path);
        let of_trace = |span: crate::observe::trace::SpanId| {
            let (trace, span) = (TraceId::from(trace.id.0), SpanId::from(span.0));
            SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
        };
        let (kind, name, attributes) = match &record.inner {
            None => (SpanKind::Server, server_name(record, endpoint), self.of_request(record, endpoint)),
            Some(inner) => {
                let name = format!("{} {}", inner.approach, inner.step).into();
                (SpanKind::Internal, name, of_question(record))
            }
        };
        let start = moment(record.time);
        let parent = trace.parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.0));
        spans.push(SpanData {
            span_context: of_trace(trace.span),
            parent_span_id: parent,
            parent_span_is_remote: trace.parent.is_some() && record.inner.is_none(),
            span_kind: kind,
            name,
            start_time: start,
            end_time: start + record.duration_ms.duration(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: status_of(record),
            instrumentation_scope: self.scope.clone(),
        });
        for (number, attempt) in record.attempts.iter().enumerate() {
            let Some(span) = attempt.span else { continue };
            let is_last = number + 1 == record.attempts.len();
            let begin = start + attempt.at_ms.duration();
            let model = record.instead.as_ref().unwrap_or(&record.model);
            let model = record.provider_model.as_ref().filter(|_| is_last).unwrap_or(model);
            spans.push(SpanData {
                span_context: of_trace(span),
                parent_span_id: SpanId::from(trace.span.0),
                parent_span_is_remote: false,
                span_kind: SpanKind::Client,
                name: client_name(record, endpoint, model),
                start_time: begin,
                end_time: begin + attempt.took_ms.duration(),
                attributes: self.of_attempt(record, (number, attempt), endpoint, model),
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: if error_of(attempt).is_some() { Status::error("") } else { Status::Unset },
                instrumentation_scope: self.scope.clone(),
            });
        }
    }

    fn of_request(&self, record: &Record, endpoint: Endpoint) -> Vec<KeyValue> {
        let mut all = Attributes::default();
        all.add("http.request.method", method(&record.method));
        all.add("url.scheme", self.scheme);
        all.text("url.path", &record.path);
        all.maybe("http.route", endpoint.route);
        all.maybe("http.response.status_code", record.status.map(i64::from));
        all.maybe("client.address", record.address.map(|address| address.to_string()));
        let id = Value::Array(Array::String(vec![record.request_id.to_string().into()]));
        all.add("http.response.header.x-request-id", id);
        all.maybe("error.type", failure_of(record));
        all.maybe("pointsman.error", record.error.as_ref().map(|code| code.to_string()));
        common(record, &mut all);
        all.maybe("pointsman.queue_ms", record.queue_ms.map(|wait| wait.get()));
        all.maybe("pointsman.overhead_ms", record.overhead_ms.map(|own| own.get()));
        if let Some(approach) = &record.approach {
            all.text("pointsman.approach", &approach.name);
            all.add("pointsman.approach.calls", i64::from(approach.calls));
        }
        all.0
    }

    fn of_attempt(
        &self,
        record: &Record,
        (number, attempt): (usize, &Attempt),
        endpoint: Endpoint,
        model: &Text,
    ) -> Vec<KeyValue> {
        let is_last = number + 1 == record.attempts.len();
        let provider = self.providers.get(&*attempt.provider);
        let mut all = Attributes::default();
        all.add("http.request.method", method(&record.method));
        // That of an answer that was passed on is the provider's own.
        let answered = record.status.filter(|_| is_last && &*attempt.outcome == "succeeded");
        all.maybe("http.response.status_code", attempt.status.or(answered).map(i64::from));
        if let Some((address, port)) = provider.and_then(|provider| provider.server.as_ref()) {
            all.add("server.address", address.clone());
            all.add("server.port", *port);
        }
        all.maybe("error.type", error_of(attempt));
        all.text("pointsman.provider", &attempt.provider);
        all.maybe("pointsman.target", attempt.target.as_ref().map(|target| target.to_string()));
        all.add("pointsman.attempt", i64::try_from(number + 1).unwrap_or(i64::MAX));
        all.text("pointsman.outcome", &attempt.outcome);
        if attempt.is_hedge {
            all.add("pointsman.hedge", true);
        }
        let Some(operation) = endpoint.operation else { return all.0 };
        let name = |name: GenAi| name.name(self.names);
        all.add(name(GenAi::Operation), operation);
        all.maybe(name(GenAi::Provider), provider.map(|provider| provider.vendor));
        if !model.is_empty() {
            all.text(name(GenAi::Model), model);
        }
        if record.stream {
            all.add(name(GenAi::Stream), true);
        }
        let first = attempt.first_ms.filter(|_| record.stream);
        all.maybe(name(GenAi::FirstChunk), first.map(|first| first.duration().as_secs_f64()));
        if !is_last {
            return all.0;
        }
        all.maybe(name(GenAi::InputTokens), record.prompt_tokens.map(number_of));
        all.maybe(name(GenAi::OutputTokens), record.completion_tokens.map(number_of));
        for (what, count) in [
            (GenAi::CacheRead, record.cached_tokens),
            (GenAi::CacheWrite, record.cache_write_tokens),
            (GenAi::Reasoning, record.reasoning_tokens),
        ] {
            all.maybe(name(what), (count > 0).then(|| number_of(count)));
        }
        all.0
    }
}

/// Attributes under construction.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value.into()));
    }

    fn text(&mut self, name: &'static str, value: &Text) {
        self.add(name, value.to_string());
    }

    fn maybe(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

fn number_of(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn moment(time: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or(0))
}

fn server_name(record: &Record, endpoint: Endpoint) -> Cow<'static, str> {
    let method = match method(&record.method) {
        "_OTHER" => "HTTP",
        known => known,
    };
    endpoint.route.map_or(method.into(), |route| format!("{method} {route}").into())
}

fn client_name(record: &Record, endpoint: Endpoint, model: &Text) -> Cow<'static, str> {
    match endpoint.operation {
        Some(operation) if model.is_empty() => operation.into(),
        Some(operation) => format!("{operation} {model}").into(),
        None => server_name(record, endpoint),
    }
}

/// What requests and questions have in common.
fn common(record: &Record, all: &mut Attributes) {
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.to_string());
    all.maybe("pointsman.client", text(&record.client));
    all.maybe("pointsman.route", text(&record.route));
    all.maybe("pointsman.model", Some(record.model.to_string()).filter(|model| !model.is_empty()));
    all.maybe("pointsman.fallback_model", text(&record.instead));
    let decided = record.offers.iter().rev().find(|offer| offer.origin.is_some());
    all.maybe("pointsman.strategy", decided.map(strategy).or_else(|| text(&record.strategy)));
    all.maybe("pointsman.decision", decided.and_then(decision));
    all.maybe("pointsman.tier", decided.map(|offer| offer.tier.to_string()));
    all.text("pointsman.outcome", &record.outcome);
    let slots = Some(record.slot_wait_ms).filter(|wait| !wait.is_zero());
    all.maybe("pointsman.slot_wait_ms", slots.map(|wait| wait.get()));
    all.maybe("pointsman.first_byte_ms", record.first_byte_ms.map(|first| first.get()));
    all.maybe("pointsman.cost_usd", record.cost_nano.map(|nano| nano as f64 / 1e9));
    all.maybe("pointsman.estimated_tokens", record.estimated_tokens.map(number_of));
}

fn of_question(record: &Record) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.text("pointsman.request_id", &record.request_id);
    if let Some(inner) = &record.inner {
        all.text("pointsman.approach", &inner.approach);
        all.text("pointsman.step", &inner.step);
    }
    all.maybe("error.type", failure_of(record));
    common(record, &mut all);
    all.0
}

/// The strategy that decided, with its version.
fn strategy(offer: &Offer) -> String {
    match &offer.strategy {
        Some(strategy) if strategy.version.is_empty() => strategy.name.to_string(),
        Some(strategy) => format!("{} {}", strategy.name, strategy.version),
        None => String::new(),
    }
}

/// Why the provider that was asked first was first.
fn decision(offer: &Offer) -> Option<String> {
    let origin = offer.origin.as_ref()?;
    let first = offer.candidates.first().and_then(|candidate| candidate.reason.as_ref());
    let reason = offer.reason.as_ref().or(first);
    Some(reason.filter(|_| &**origin == "strategy").unwrap_or(origin).to_string())
}

/// The kind of a request's failure, if it is the server's: an error with a status from 500 on, or an answer that broke.
fn failure_of(record: &Record) -> Option<String> {
    match record.status {
        Some(status) if status >= 500 => {
            Some(record.error.as_ref().map_or_else(|| status.to_string(), |code| code.to_string()))
        }
        _ if &*record.outcome == "interrupted" => Some(record.outcome.to_string()),
        _ => None,
    }
}

fn status_of(record: &Record) -> Status {
    if failure_of(record).is_some() { Status::error("") } else { Status::Unset }
}

/// The kind of an attempt's failure: the provider's status if that decided, else the outcome. That somebody left or
/// somebody else was faster is none.
fn error_of(attempt: &Attempt) -> Option<String> {
    match (&*attempt.outcome, attempt.status) {
        ("succeeded" | "cancelled", _) => None,
        (_, Some(status)) if status >= 400 => Some(status.to_string()),
        (outcome, _) => Some(outcome.to_owned()),
    }
}

#[cfg(test)]
mod tests;
