//! Whose fault a failed request is: whoever has to do something about it.

use super::Record;

/// Whoever has to do something about a failed request: `client`, `provider`, `configuration`, `limits`, `approach` or `proxy`;
/// empty where nothing failed.
pub fn of(record: &Record) -> &'static str {
    if !record.failed() {
        return "";
    }
    let Some(error) = record.error.as_deref() else { return of_answer(record) };
    match error {
        // Each attempt may have failed for another reason; the configuration is to blame where no provider is.
        "all_providers_failed" if is_all_of_configuration(record) => "configuration",
        "all_providers_failed" | "all_providers_timed_out" | "all_providers_throttled" => "provider",
        "model_unpriced" | "unpriced_model" | "excluded_by_strategy" => "configuration",
        "rate_limit_exceeded"
        | "budget_exceeded"
        | "request_too_large_for_limit"
        | "all_providers_limited"
        | "provider_budget_exceeded" => "limits",
        "approach_failed" | "approach_timeout" => "approach",
        "queue_timeout" | "queue_full" | "no_memory_for_body" | "draining" | "keys_unavailable"
        | "limits_unavailable" => "proxy",
        _ if is_of_provider(record) => "provider",
        // Every other error refuses what the client has sent.
        _ => "client",
    }
}

/// The same of an answer that came from a provider, or of no answer at all.
fn of_answer(record: &Record) -> &'static str {
    match &*record.outcome {
        "rejected" | "cancelled" => "client",
        outcome if is_of_configuration(outcome) => "configuration",
        _ if record.status.is_none() => "client",
        _ => "provider",
    }
}

/// True for a refused key, and for a model or a path that a provider does not know.
fn is_of_configuration(outcome: &str) -> bool {
    matches!(outcome, "unauthorized" | "not_found")
}

fn is_all_of_configuration(record: &Record) -> bool {
    let mut attempts = record.attempts.iter();
    !record.attempts.is_empty() && attempts.all(|attempt| is_of_configuration(&attempt.outcome))
}

/// True where the error is one that a stream ended with, after its head had gone out.
fn is_of_provider(record: &Record) -> bool {
    let last = record.attempts.last().map(|attempt| &*attempt.outcome);
    matches!(last, Some("interrupted" | "failed" | "timed_out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::record::Attempt;

    fn record(status: Option<u16>, error: &str, outcomes: &[&str]) -> Record {
        let attempt = |outcome: &&str| Attempt { outcome: (*outcome).into(), ..Attempt::default() };
        Record {
            status,
            error: (!error.is_empty()).then(|| error.into()),
            outcome: outcomes.last().map_or(error, |outcome| *outcome).into(),
            attempts: outcomes.iter().map(attempt).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn whoever_has_to_act_is_named() {
        for (status, error, outcomes, fault) in [
            (Some(200), "", &["failed", "succeeded"][..], ""),
            (Some(200), "", &["interrupted"], "provider"),
            (Some(400), "", &["rejected"], "client"),
            (None, "", &["cancelled"], "client"),
            (Some(404), "", &["not_found"], "configuration"),
            (Some(502), "all_providers_failed", &["unauthorized", "failed"], "provider"),
            (Some(502), "all_providers_failed", &["unauthorized", "not_found"], "configuration"),
            (Some(502), "all_providers_failed", &[], "provider"),
            (Some(504), "all_providers_timed_out", &["timed_out"], "provider"),
            (Some(429), "rate_limit_exceeded", &[], "limits"),
            (Some(503), "model_unpriced", &[], "configuration"),
            (Some(503), "queue_full", &[], "proxy"),
            (Some(502), "approach_failed", &[], "approach"),
            (Some(401), "invalid_api_key", &[], "client"),
            (Some(200), "upstream_error", &["interrupted"], "provider"),
        ] {
            assert_eq!(of(&record(status, error, outcomes)), fault, "{status:?} {error} {outcomes:?}");
        }
    }
}
