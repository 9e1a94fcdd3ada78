//! The place of a request in a distributed trace, as W3C's Trace Context has it (<https://www.w3.org/TR/trace-context/>).
//!
//! It is settled when the request begins, since providers are told of it; everything else about spans waits for the
//! request's end. So the cost of it is one small allocation, and none where nothing is traced.

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config;
use crate::http1::fields::Fields;

/// The header that names a span as the parent of what is asked for.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what others noted about its trace.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag that says that the sender records its part of the trace.
const SAMPLED: u8 = 1;
/// The flag that says that the lower half of the trace's id is random. It goes on with a trace, but begins with none of ours:
/// it is younger than many of those who read the flags.
const RANDOM: u8 = 2;

/// The id of a trace; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

/// The id of a span in its trace; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let id = (text.len() == 32).then(|| hex(text.as_bytes())).flatten();
        id.map(Self).ok_or_else(|| D::Error::custom("not the id of a trace"))
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let id = (text.len() == 16).then(|| hex(text.as_bytes())).flatten();
        id.and_then(|id| u64::try_from(id).ok()).map(Self).ok_or_else(|| D::Error::custom("not the id of a span"))
    }
}

/// The number in these digits, which must be of lower case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// The content of a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace: TraceId,
    /// The span that is the parent.
    pub span: SpanId,
    /// The flags.
    pub flags: u8,
}

impl Traceparent {
    /// Reads a header's value. Of a version to come it takes what is known today, as the text wants it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(55)?;
        let parts: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        if (version.len(), trace.len(), span.len(), flags.len()) != (2, 32, 16, 2) {
            return None;
        }
        let version = hex(version)?;
        if version == 0xff || !(rest.is_empty() || version > 0 && rest[0] == b'-') {
            return None;
        }
        let (trace, span) = (hex(trace)?, u64::try_from(hex(span)?).ok()?);
        let flags = u8::try_from(hex(flags)?).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }

    /// That of a request, unless it has none, several, or one that is malformed.
    fn of(headers: &Fields) -> Option<Self> {
        let mut values = headers.all(TRACEPARENT);
        let value = values.next().filter(|_| values.next().is_none())?;
        Self::parse(value)
    }

    /// The header's value.
    pub fn to_header(self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags & (SAMPLED | RANDOM));
        HeaderValue::try_from(text).expect("digits and dashes are legal in a header")
    }
}

/// The place of one request in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The trace.
    pub trace: TraceId,
    /// The client's span, if it has named one; for a question of an approach that of the client's request.
    pub parent: Option<SpanId>,
    /// Its own span.
    pub span: SpanId,
    /// True when it was to be exported before its end was known.
    pub is_sampled: bool,
    /// Flags of the parent that concern the trace.
    flags: u8,
    /// True when providers are told.
    propagates: bool,
}

impl Traced {
    /// The id of the span of an attempt, by its number from 0.
    pub fn attempt(&self, number: usize) -> SpanId {
        self.child(number as u64)
    }

    /// The place of a question that an approach asks for this request, by its number.
    pub fn question(&self, number: u32) -> Self {
        Self { parent: Some(self.span), span: self.child(1 << 32 | u64::from(number)), ..*self }
    }

    /// What providers are told of an attempt's span.
    pub fn told(&self, span: SpanId) -> Option<Traceparent> {
        let flags = self.flags | if self.is_sampled { SAMPLED } else { 0 };
        self.propagates.then_some(Traceparent { trace: self.trace, span, flags })
    }

    /// The id of a span below this one: its own, mixed with a number (SplitMix64), so that no two of one parent are equal
    /// and nothing has to be kept.
    fn child(&self, number: u64) -> SpanId {
        let mut z = self.span.0.wrapping_add((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        SpanId((z ^ (z >> 31)).max(1))
    }
}

/// The place of a request in its trace, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// Its span.
    pub span: SpanId,
    /// The span of the client, or for a question of an approach that of the client's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanId>,
    /// True when it was to be exported before its end was known.
    #[serde(default)]
    pub is_sampled: bool,
}

impl From<&Traced> for Trace {
    fn from(traced: &Traced) -> Self {
        Self { id: traced.trace, span: traced.span, parent: traced.parent, is_sampled: traced.is_sampled }
    }
}

/// Gives requests their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// The ids of traces to export, without their lowest bit, are below this; at most 2^63.
    below: u64,
    follows_parent: bool,
    propagates: bool,
}

impl Tracing {
    /// That of a configuration.
    pub fn of(traces: &config::Traces) -> Self {
        // The same traces as any other service with this share chooses, by OpenTelemetry's sampler `traceidratio`.
        let below = (traces.ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        Self { below, follows_parent: traces.follows_parent, propagates: traces.propagate }
    }

    /// The place of a request with these headers. Where it begins a trace, what they note about another one is taken out,
    /// unless they are to pass as they came.
    pub fn begin(&self, headers: &mut Fields, random: impl Fn() -> u64) -> Traced {
        let parent = Traceparent::of(headers);
        if parent.is_none() && self.propagates {
            headers.remove(TRACESTATE);
        }
        let span = SpanId(random().max(1));
        let propagates = self.propagates;
        let Some(parent) = parent else {
            let trace = self.new_trace(random);
            return Traced { trace, parent: None, span, is_sampled: self.chooses(trace), flags: 0, propagates };
        };
        let is_sampled = if self.follows_parent { parent.flags & SAMPLED != 0 } else { self.chooses(parent.trace) };
        let (trace, flags) = (parent.trace, parent.flags & RANDOM);
        Traced { trace, parent: Some(parent.span), span, is_sampled, flags, propagates }
    }

    fn new_trace(&self, random: impl Fn() -> u64) -> TraceId {
        TraceId((u128::from(random()) << 64 | u128::from(random())).max(1))
    }

    /// True when a trace is exported by its id.
    fn chooses(&self, trace: TraceId) -> bool {
        (trace.0 as u64) >> 1 < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracing(ratio: f64, follows_parent: bool, propagates: bool) -> Tracing {
        let below = (ratio * (1_u64 << 63) as f64) as u64;
        Tracing { below, follows_parent, propagates }
    }

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    fn dice() -> impl Fn() -> u64 {
        let next = Cell::new(0_u64);
        move || {
            next.set(next.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
            next.get()
        }
    }

    #[test]
    fn a_traceparent_is_read_as_the_text_has_it_and_anything_else_is_none() {
        let read = Traceparent::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(read.trace, TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c));
        assert_eq!((read.span, read.flags), (SpanId(0xb7ad_6b71_6920_3331), 1));
        assert_eq!(read.to_header(), GOOD);
        let to_come = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(Traceparent::parse(to_come.as_bytes()).is_some());
        assert!(Traceparent::parse(format!("{to_come}-what-the-future-brings").as_bytes()).is_some());
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        ] {
            assert_eq!(Traceparent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_client_that_traces_is_followed_and_its_flag_decides() {
        let mut sent = headers(&[("traceparent", GOOD), ("tracestate", "a=b")]);
        let traced = tracing(0.0, true, true).begin(&mut sent, dice());
        assert_eq!(traced.trace, TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c));
        assert_eq!((traced.parent, traced.is_sampled), (Some(SpanId(0xb7ad_6b71_6920_3331)), true));
        assert_eq!(sent.text("tracestate"), Some("a=b"));
        assert!(!tracing(0.0, false, true).begin(&mut sent, dice()).is_sampled);
        let mut sent = headers(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]);
        assert!(!tracing(1.0, true, true).begin(&mut sent, dice()).is_sampled);
        assert!(tracing(1.0, false, true).begin(&mut sent, dice()).is_sampled);
    }

    #[test]
    fn what_is_malformed_or_there_twice_begins_a_new_trace_without_the_old_ones_notes() {
        for pairs in [
            vec![("traceparent", "00-1"), ("tracestate", "a=b")],
            vec![("traceparent", GOOD), ("traceparent", GOOD), ("tracestate", "a=b")],
            vec![("tracestate", "a=b")],
        ] {
            let mut sent = headers(&pairs);
            let traced = tracing(1.0, true, true).begin(&mut sent, dice());
            assert_eq!((traced.parent, sent.has("tracestate")), (None, false));
            let mut sent = headers(&pairs);
            let traced = tracing(1.0, true, false).begin(&mut sent, dice());
            assert_eq!(sent, headers(&pairs));
            assert_eq!(traced.told(traced.attempt(0)), None);
        }
    }

    #[test]
    fn the_share_of_traces_is_that_of_the_ratio() {
        let random = dice();
        let tracing = tracing(0.25, true, true);
        let chosen = (0..10_000).filter(|_| tracing.begin(&mut Fields::default(), &random).is_sampled).count();
        assert!((2_300..2_700).contains(&chosen), "{chosen}");
    }

    #[test]
    fn every_attempt_and_question_has_an_id_of_its_own() {
        let traced = tracing(1.0, true, true).begin(&mut Fields::default(), dice());
        let mut ids: Vec<u64> = (0..100).map(|number| traced.attempt(number).0).collect();
        ids.extend((0..100).map(|number| traced.question(number).span.0));
        ids.push(traced.span.0);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 201);
        let told = traced.told(traced.attempt(3)).unwrap();
        assert_eq!((told.trace, told.span, told.flags), (traced.trace, traced.attempt(3), SAMPLED));
        let question = traced.question(1);
        assert_eq!((question.trace, question.parent), (traced.trace, Some(traced.span)));
    }
}
