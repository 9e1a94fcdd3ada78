use std::sync::Arc;

use super::*;
use crate::observe::ledger::Time;
use crate::observe::ledger::record::{Inner, Strategy};
use crate::observe::trace::{SpanId, TraceId};

fn candidate(name: &str, in_flight: u32, latency_us: u64) -> Candidate {
    Candidate {
        name: name.into(),
        in_flight,
        latency_ms: Millis(latency_us),
        failure_permille: 0,
        requests_left: None,
        tokens_left: None,
        reason: None,
        is_excluded: false,
    }
}

fn attempt(provider: &str, at: u64, took: u64, outcome: &str) -> Attempt {
    Attempt {
        provider: provider.into(),
        target: None,
        at_ms: Millis(at),
        first_ms: None,
        took_ms: Millis(took),
        outcome: outcome.into(),
        status: None,
        reason: None,
        is_hedge: false,
        unsent: false,
        span: None,
    }
}

/// A request that failed over, of a stream.
fn failed_over() -> Record {
    let strategy = Strategy { name: "weighted".into(), version: "0.1.0".into(), digest: "a1b2c3d4e5f6".into() };
    let absent = |name: &str, why: &str, for_ms: Option<u64>, reason: Option<&str>| Absent {
        name: name.into(),
        why: why.into(),
        for_ms: for_ms.map(Millis),
        reason: reason.map(Into::into),
    };
    let offer = Offer {
        tier: "primary".into(),
        route: None,
        at_ms: Millis(400),
        is_last: false,
        strategy: Some(strategy),
        origin: Some("strategy".into()),
        reason: Some("drawn by weight".into()),
        took_ms: Millis(4),
        candidates: vec![candidate("a", 2, 120_000), candidate("b", 0, 0)],
        more_candidates: 0,
        absent: vec![
            absent("c", "ejected", Some(3_200_000), Some("answered with status 500")),
            absent("d", "model", None, None),
        ],
        passed_over: vec![absent("a", "slots", None, None)],
    };
    Record {
        request_id: "req_1".into(),
        time: Time(1_800_000_000_123_456),
        generation: 3,
        client: Some("team-a".into()),
        address: Some([10, 0, 0, 5].into()),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        model: "gpt-4".into(),
        stream: true,
        route: Some("default".into()),
        strategy: Some("weighted".into()),
        provider: Some("b".into()),
        outcome: "succeeded".into(),
        status: Some(200),
        duration_ms: Millis(1_240_000),
        first_byte_ms: Some(Millis(420_500)),
        overhead_ms: Some(Millis(310)),
        prompt_tokens: Some(12),
        completion_tokens: Some(300),
        cost_nano: Some(12_300_000),
        offers: vec![offer],
        attempts: vec![
            Attempt {
                status: Some(500),
                reason: Some("answered with status 500: \"overloaded\"".into()),
                ..attempt("a", 600, 300_000, "failed")
            },
            attempt("b", 300_600, 939_400, "succeeded"),
        ],
        ..Record::default()
    }
}

#[test]
fn a_failover_is_told_from_the_offer_to_the_end() {
    let none: [Arc<Record>; 0] = [];
    let told = Course::of(&failed_over(), &none).to_string();
    assert_eq!(
        told,
        "req_1: POST /v1/chat/completions at 2027-01-15T08:00:00.123456Z: 200 after 1.24 s\n\
         The client team-a (10.0.0.5) asked for gpt-4, as a stream. Route default, strategy weighted, configuration 3.\n\n\
         \u{20}   0.40 ms   The primary providers: 2 candidates.\n\
         \u{20}               c was not offered: ejected for another 3.20 s: answered with status 500\n\
         \u{20}               d was not offered: it does not serve gpt-4\n\
         \u{20}               weighted (0.1.0, a1b2c3d4e5f6) decided in 4 us: a, then b, because: drawn by weight.\n\
         \u{20}               a: 2 in flight, 120 ms to the first byte\n\
         \u{20}               b: 0 in flight, no latency known\n\
         \u{20}               When the turn of a came, all slots of its provider were taken.\n\
         \u{20}   0.60 ms ! Attempt 1 at a: failed after 300 ms with status 500.\n\
         \u{20}           !   a answered with status 500: \"overloaded\"\n\
         \u{20}    301 ms   Attempt 2 at b: succeeded after 939 ms.\n\
         \u{20}    1.24 s   The answer of b ended, with status 200.\n\
         \u{20}               The head of the answer after 420 ms, of which the proxy took 0.31 ms.\n\
         \u{20}               12 tokens in, 300 out, $0.0123.\n"
    );
}

#[test]
fn the_trace_is_named_where_there_is_one() {
    let (id, span) = (TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736), SpanId(0x00f0_67aa_0ba9_02b7));
    let record = |parent| Record { trace: Some(Trace { id, span, parent, is_sampled: true }), ..failed_over() };
    let none: [Arc<Record>; 0] = [];
    let last = |record: &Record| Course::of(record, &none).steps.pop().expect("an end").text;
    let own = "Trace 4bf92f3577b34da6a3ce929d0e0e4736, span 00f067aa0ba902b7";
    assert_eq!(last(&record(None)), format!("{own}."));
    assert_eq!(last(&record(Some(SpanId(0xab)))), format!("{own}, below the span 00000000000000ab."));
}

#[test]
fn a_refusal_says_what_the_client_was_told() {
    let record = Record {
        request_id: "req_2".into(),
        outcome: "rate_limit_exceeded".into(),
        status: Some(429),
        error: Some("rate_limit_exceeded".into()),
        message: Some("The key has used up its requests.".into()),
        ..failed_over()
    };
    let record = Record { offers: Vec::new(), attempts: Vec::new(), provider: None, ..record };
    let none: [Arc<Record>; 0] = [];
    let course = Course::of(&record, &none);
    let bad: Vec<&str> = course.steps.iter().filter(|step| step.mark == Mark::Bad).map(|step| &*step.text).collect();
    assert_eq!(bad, ["The proxy answered with status 429, rate_limit_exceeded.", "The key has used up its requests."]);
}

#[test]
fn questions_of_an_approach_stand_where_they_were_asked() {
    let question = Record {
        request_id: "req_1/1".into(),
        time: Time(1_800_000_000_323_456),
        inner: Some(Inner { approach: "moa".into(), step: "draft".into() }),
        duration_ms: Millis(50_000),
        ..failed_over()
    };
    let course = Course::of(&failed_over(), &[Arc::new(question)]);
    let of = course.steps.iter().find(|step| step.text.contains("draft")).expect("told");
    assert_eq!(of.at, Some(Millis(200_000)));
    assert_eq!(of.text, "The approach asked for draft (req_1/1): b answered in 50.0 ms after 2 attempts, status 200.");
}

#[test]
fn spans_are_told_with_the_digits_that_matter() {
    let told = |micros| span(Millis(micros));
    assert_eq!((told(4), told(350), told(12_500)), ("4 us".into(), "0.35 ms".into(), "12.5 ms".into()));
    assert_eq!((told(320_000), told(1_240_000)), ("320 ms".into(), "1.24 s".into()));
    assert_eq!((told(185_000_000), told(7_500_000_000)), ("3 min 5 s".into(), "2 h 5 min".into()));
}
