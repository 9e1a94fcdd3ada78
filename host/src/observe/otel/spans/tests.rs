//! What spans say of a record.

use super::*;
use crate::config;
use crate::observe::ledger::record::{Candidate, Inner, Millis, Strategy};
use crate::observe::trace::{self, Trace};

fn facts(names: GenAiNames) -> Facts {
    let text = "providers:\n  - {name: a, base_url: 'https://api.groq.com/openai/v1', api_key: k}\n  \
                - {name: b, base_url: 'http://10.0.0.1:8080/v1', api_key: k}\n";
    let config = config::parse(text, std::path::Path::new("x.yaml"), &|_| None, &["round_robin"]).unwrap();
    Facts::of(&config, names)
}

fn attempt(provider: &str, at: u64, took: u64, outcome: &str, span: u64) -> Attempt {
    Attempt {
        provider: provider.into(),
        target: None,
        at_ms: Millis(at),
        first_ms: None,
        took_ms: Millis(took),
        outcome: outcome.into(),
        status: None,
        reason: Some("said \"what the user had written\"".into()),
        is_hedge: false,
        unsent: false,
        span: Some(trace::SpanId(span)),
    }
}

fn record() -> Record {
    let trace = Trace { id: trace::TraceId(0xabc), span: trace::SpanId(1), parent: None, is_sampled: true };
    Record {
        request_id: "req_1".into(),
        time: Time(1_000_000),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        model: "gpt-4".into(),
        outcome: "succeeded".into(),
        status: Some(200),
        message: Some("a sentence for the client".into()),
        duration_ms: Millis(500_000),
        trace: Some(trace),
        attempts: vec![attempt("a", 1_000, 100_000, "timed_out", 2), attempt("b", 102_000, 390_000, "succeeded", 3)],
        ..Record::default()
    }
}

fn spans(record: &Record) -> Vec<SpanData> {
    let mut spans = Vec::new();
    facts(GenAiNames::V1_41).add(record, &mut spans);
    assert_eq!(spans.len(), Facts::count(record));
    spans
}

fn text(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
}

fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

#[test]
fn times_are_those_of_the_record() {
    let spans = spans(&record());
    let times: Vec<_> = spans.iter().map(|span| (span.start_time, span.end_time)).collect();
    assert_eq!(times, [(at(1_000_000), at(1_500_000)), (at(1_001_000), at(1_101_000)), (at(1_102_000), at(1_492_000))]);
    let ids: Vec<_> = spans.iter().map(|span| (span.span_context.span_id(), span.parent_span_id)).collect();
    let id = SpanId::from;
    assert_eq!(ids, [(id(1), SpanId::INVALID), (id(2), id(1)), (id(3), id(1))]);
    assert!(spans.iter().all(|span| span.span_context.trace_id() == TraceId::from(0xabc_u128)));
}

#[test]
fn the_words_of_providers_and_of_errors_stay_in_the_ledger() {
    let mut record = record();
    (record.status, record.error) = (Some(502), Some("all_providers_failed".into()));
    let said = format!("{:?}", spans(&record));
    assert!(!said.contains("user had written") && !said.contains("sentence for the client"), "{said}");
    assert!(said.contains("all_providers_failed"));
}

#[test]
fn an_attempt_names_its_vendor_and_its_failure_by_status_or_outcome() {
    let mut record = record();
    let spans = spans(&record);
    assert_eq!(text(&spans[1], "gen_ai.provider.name").as_deref(), Some("groq"));
    assert_eq!(text(&spans[1], "server.address").as_deref(), Some("api.groq.com"));
    assert_eq!(text(&spans[1], "server.port").as_deref(), Some("443"));
    assert_eq!(text(&spans[2], "gen_ai.provider.name").as_deref(), Some("openai"));
    assert_eq!(text(&spans[1], "error.type").as_deref(), Some("timed_out"));
    assert_eq!(text(&spans[1], "http.response.status_code"), None);
    assert_eq!((text(&spans[2], "error.type"), &spans[2].status), (None, &Status::Unset));
    record.attempts[0].status = Some(429);
    record.attempts[0].outcome = "throttled".into();
    record.attempts[1].provider = "gone since".into();
    let spans = self::spans(&record);
    assert_eq!(text(&spans[1], "error.type").as_deref(), Some("429"));
    assert_eq!(text(&spans[1], "http.response.status_code").as_deref(), Some("429"));
    assert_eq!((text(&spans[2], "gen_ai.provider.name"), text(&spans[2], "server.address")), (None, None));
}

#[test]
fn the_server_fails_by_its_own_fault_alone() {
    let failure = |status: Option<u16>, error: Option<&str>, outcome: &str| {
        let record = Record { status, error: error.map(Into::into), outcome: outcome.into(), ..record() };
        let span = spans(&record).remove(0);
        (text(&span, "error.type"), span.status != Status::Unset)
    };
    assert_eq!(failure(Some(200), None, "succeeded"), (None, false));
    assert_eq!(failure(None, None, "cancelled"), (None, false));
    assert_eq!(failure(Some(401), Some("invalid_api_key"), "invalid_api_key"), (None, false));
    assert_eq!(failure(Some(429), Some("budget_exceeded"), "budget_exceeded"), (None, false));
    assert_eq!(failure(Some(503), Some("queue_full"), "queue_full"), (Some("queue_full".into()), true));
    assert_eq!(failure(Some(500), None, "failed"), (Some("500".into()), true));
    assert_eq!(failure(Some(200), None, "interrupted"), (Some("interrupted".into()), true));
}

#[test]
fn a_decision_is_the_strategys_reason_or_why_it_had_none() {
    let offer = |origin: &str, reason: Option<&str>, first: Option<&str>| Offer {
        tier: "primary".into(),
        route: None,
        at_ms: Millis(0),
        is_last: false,
        strategy: Some(Strategy { name: "weighted".into(), version: "0.1.0".into(), digest: "x".into() }),
        origin: Some(origin.into()),
        reason: reason.map(Into::into),
        took_ms: Millis(0),
        candidates: vec![Candidate {
            name: "a".into(),
            in_flight: 0,
            latency_ms: Millis(0),
            failure_permille: 0,
            requests_left: None,
            tokens_left: None,
            reason: first.map(Into::into),
            is_excluded: false,
        }],
        more_candidates: 0,
        absent: Vec::new(),
        passed_over: Vec::new(),
    };
    let said = |offer: Offer| {
        let span = spans(&Record { offers: vec![offer], ..record() }).remove(0);
        (text(&span, "pointsman.decision"), text(&span, "pointsman.strategy"))
    };
    let name = || Some("weighted 0.1.0".to_owned());
    assert_eq!(said(offer("strategy", Some("by weight"), None)), (Some("by weight".into()), name()));
    assert_eq!(said(offer("strategy", None, Some("cheapest"))), (Some("cheapest".into()), name()));
    assert_eq!(said(offer("strategy", None, None)), (Some("strategy".into()), name()));
    assert_eq!(said(offer("faulted", Some("by weight"), None)), (Some("faulted".into()), name()));
}

#[test]
fn a_question_is_a_span_inside_and_says_whose_it_is() {
    let inner = Some(Inner { approach: "moa".into(), step: "critique".into() });
    let mut record = Record { inner, request_id: "req_1/2".into(), ..record() };
    record.trace.as_mut().unwrap().parent = Some(trace::SpanId(9));
    let spans = spans(&record);
    assert_eq!((&*spans[0].name, &spans[0].span_kind), ("moa critique", &SpanKind::Internal));
    assert_eq!((spans[0].parent_span_id, spans[0].parent_span_is_remote), (SpanId::from(9), false));
    assert_eq!(text(&spans[0], "pointsman.request_id").as_deref(), Some("req_1/2"));
    assert_eq!(text(&spans[0], "http.request.method"), None);
    let client = Record { inner: None, ..record };
    assert!(self::spans(&client)[0].parent_span_is_remote);
}

#[test]
fn what_is_no_generative_ai_has_no_attributes_of_it() {
    let record = Record { path: "/v1/files/file-1".into(), method: "GET".into(), model: "".into(), ..record() };
    let spans = spans(&record);
    assert_eq!((&*spans[0].name, &*spans[1].name), ("GET /v1/files/{id}", "GET /v1/files/{id}"));
    assert!(spans.iter().all(|span| span.attributes.iter().all(|pair| !pair.key.as_str().starts_with("gen_ai."))));
}

#[test]
fn a_record_without_a_trace_has_no_spans() {
    assert!(spans(&Record { trace: None, ..record() }).is_empty());
}
