//! A refusal by a limit, in words.

use std::time::Duration;

use http::StatusCode;

use super::Levels;
use crate::limits::window::timestamp;
use crate::limits::{Moment, Owner, Refusal, Unit, Until};

/// A request that a limit does not allow.
#[derive(Clone, Debug)]
pub struct Limited {
    /// The limit, and what it lacks.
    pub refusal: Refusal,
    /// How far the limits of the request are used up.
    pub levels: Levels,
    /// When.
    pub at: Moment,
}

impl Limited {
    /// The error's type and code, of OpenAI's where it has them.
    pub fn kind_and_code(&self) -> (&'static str, &'static str) {
        match (self.refusal.unit, self.refusal.until) {
            (_, Until::Closed) => ("proxy_error", "limits_unavailable"),
            (Unit::Money, Until::Never) => ("insufficient_quota", "request_too_large_for_limit"),
            (_, Until::Never) => ("rate_limit_exceeded", "request_too_large_for_limit"),
            (Unit::Money, _) => ("insufficient_quota", "budget_exceeded"),
            _ => ("rate_limit_exceeded", "rate_limit_exceeded"),
        }
    }

    /// True when the budget of a client or its group is used up.
    pub fn is_spent(&self) -> bool {
        let of_client = matches!(self.refusal.owner, Owner::Client(_) | Owner::Group(_));
        of_client && self.refusal.unit == Unit::Money && matches!(self.refusal.until, Until::End(_) | Until::Wait(_))
    }

    /// The status of the answer. What no wait makes fit is the request's fault, and no 429, which asks to be sent again.
    pub fn status(&self) -> StatusCode {
        match self.refusal.until {
            Until::Closed => StatusCode::SERVICE_UNAVAILABLE,
            Until::Never => StatusCode::PAYLOAD_TOO_LARGE,
            Until::Wait(_) | Until::End(_) | Until::Free | Until::Ask => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The unit, as the error's `param`.
    pub fn param(&self) -> Option<&'static str> {
        (self.refusal.unit != Unit::Money && self.refusal.until != Until::Closed).then(|| self.refusal.unit.name())
    }

    /// The time after which to try again; `None` where that is of no use.
    pub fn retry_after(&self) -> Option<Duration> {
        match (self.refusal.unit, self.refusal.until) {
            (Unit::Money, Until::Wait(_)) | (_, Until::Never | Until::End(_)) => None,
            (_, Until::Wait(wait)) => Some(wait),
            (_, Until::Free | Until::Ask | Until::Closed) => Some(Duration::from_secs(1)),
        }
    }

    /// The sentence for the client.
    pub fn sentence(&self) -> String {
        let Refusal { owner, unit, name, limit, remaining, asked, until } = &self.refusal;
        let whose = match owner {
            Owner::Client(_) => "of this key".to_owned(),
            Owner::Group(name) => format!("of the group '{name}'"),
            Owner::Route(name) => format!("of the route '{name}'"),
            Owner::Account(name) => format!("of the account '{name}'"),
        };
        let amount = amount(*unit, name, *limit);
        let again = match until {
            Until::Closed => {
                return "The proxy cannot keep limits now, as it does not reach what replicas share, and is told to let nothing in \
                        meanwhile (state.on_outage)."
                    .to_owned();
            }
            Until::Ask => "Try again in 1 s.".to_owned(),
            Until::Free => "Try again when one of them has ended.".to_owned(),
            Until::Wait(wait) if *unit == Unit::Money => {
                format!("There is enough of it again at {}.", time(self.at.after(*wait)))
            }
            Until::Wait(wait) => format!("Try again in {} s.", wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            Until::End(Moment(u64::MAX)) => "It is not renewed.".to_owned(),
            Until::End(end) => format!("It is renewed at {}.", time(*end)),
            Until::Never => {
                let (asked, less) = match unit {
                    Unit::Money => (dollars(*asked), ""),
                    Unit::Tokens => {
                        (format!("{asked} tokens"), " Ask for fewer tokens (max_tokens, n), or send a shorter prompt.")
                    }
                    Unit::Requests | Unit::Parallel => (format!("{asked} requests"), ""),
                };
                return format!("Request too large for the limit {whose}: {amount}, requested {asked}.{less}");
            }
        };
        match unit {
            Unit::Parallel | Unit::Requests => format!("The limit {whose} is reached: {amount}. {again}"),
            Unit::Tokens => format!(
                "The limit {whose} is reached: {amount}. The request may take {asked}, and {remaining} are left. {again}"
            ),
            Unit::Money => {
                let state = if *remaining == 0 { "is used up" } else { "does not cover this request" };
                let (may_cost, left) = (dollars(*asked), dollars(*remaining));
                format!(
                    "The budget {whose} {state}: {amount}. The request may cost {may_cost}, and {left} are left. {again}"
                )
            }
        }
    }
}

/// The limit in words, such as `600 requests per minute (rpm)`.
fn amount(unit: Unit, name: &str, limit: u64) -> String {
    let per = match name.as_bytes() {
        [b'r' | b't', b'p', b'm'] => " per minute",
        [b'r' | b't', b'p', b'h'] => " per hour",
        [b'r' | b't', b'p', b'd'] => " per day",
        _ => "",
    };
    match unit {
        Unit::Money if name == "total" => format!("{} in total", dollars(limit)),
        Unit::Money => format!("{} per {name}", dollars(limit)),
        Unit::Parallel => format!("{limit} requests at once (parallel)"),
        Unit::Tokens if per.is_empty() => format!("{limit} tokens per request ({name})"),
        Unit::Requests | Unit::Tokens => format!("{limit} {}{per} ({name})", unit.name()),
    }
}

/// An amount of money, such as `0.5 dollars`.
fn dollars(nano: u64) -> String {
    let (whole, part) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let part = format!("{part:09}");
    match part.trim_end_matches('0') {
        "" => format!("{whole} dollars"),
        part => format!("{whole}.{part} dollars"),
    }
}

/// A moment to the second.
fn time(moment: Moment) -> String {
    timestamp(moment).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(owner: Owner, unit: Unit, name: &str, until: Until) -> Limited {
        let refusal = Refusal { owner, unit, name: name.into(), limit: 1500, remaining: 20, asked: 500, until };
        Limited { refusal, levels: Levels::default(), at: Moment(0) }
    }

    #[test]
    fn sentences_name_the_limit_its_owner_and_the_wait() {
        let route = || Owner::Route("chat".into());
        let wait = Until::Wait(Duration::from_millis(1200));
        assert_eq!(
            limited(Owner::Client("7f3k".into()), Unit::Requests, "rpm", wait).sentence(),
            "The limit of this key is reached: 1500 requests per minute (rpm). Try again in 2 s."
        );
        assert_eq!(
            limited(route(), Unit::Tokens, "tpd", wait).sentence(),
            "The limit of the route 'chat' is reached: 1500 tokens per day (tpd). The request may take 500, and 20 are \
             left. Try again in 2 s."
        );
        assert_eq!(
            limited(route(), Unit::Tokens, "tokens_per_request", Until::Never).sentence(),
            "Request too large for the limit of the route 'chat': 1500 tokens per request (tokens_per_request), requested 500 \
             tokens. Ask for fewer tokens (max_tokens, n), or send a shorter prompt."
        );
        let end = Until::End(Moment(86_400_000_000_000));
        assert_eq!(
            limited(Owner::Group("search".into()), Unit::Money, "day", end).sentence(),
            "The budget of the group 'search' does not cover this request: 0.0000015 dollars per day. The request may cost \
             0.0000005 dollars, and 0.00000002 dollars are left. \
             It is renewed at 2025-01-02T00:00:00Z."
        );
        assert_eq!(
            limited(route(), Unit::Money, "30d", wait).sentence(),
            "The budget of the route 'chat' does not cover this request: 0.0000015 dollars per 30d. The request may cost \
             0.0000005 dollars, and 0.00000002 dollars are left. \
             There is enough of it again at 2025-01-01T00:00:01Z."
        );
        assert_eq!(
            limited(route(), Unit::Parallel, "parallel", Until::Free).sentence(),
            "The limit of the route 'chat' is reached: 1500 requests at once (parallel). Try again when one of them has \
             ended."
        );
    }

    #[test]
    fn no_wait_is_told_where_waiting_does_not_help() {
        let owner = || Owner::Route("chat".into());
        let end = Until::End(Moment(1));
        assert_eq!(limited(owner(), Unit::Money, "day", end).retry_after(), None);
        assert_eq!(limited(owner(), Unit::Tokens, "tpm", Until::Never).retry_after(), None);
        assert_eq!(
            limited(owner(), Unit::Parallel, "parallel", Until::Free).retry_after(),
            Some(Duration::from_secs(1))
        );
        assert_eq!(dollars(50_000_000_000), "50 dollars");
    }
}
