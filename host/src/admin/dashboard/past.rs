//! The counters, as they were read once a second: kept as charts, and as marks from which the figures of the last minute
//! follow. Requests pay nothing for it.
//!
//! It takes 8 KiB for each of [`TOTALS`] figures of the whole and each of [`PER_PROVIDER`] figures of at most
//! [`MOST_CHARTED`] providers, and a kilobyte and a half for every provider.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::rings::{FINE, Fold, Series, Span};
use crate::metrics::ProviderMetrics;
use crate::metrics::read::{Counts, Scale};

/// A mark is set after so many readings.
const MARK_EVERY: u64 = 10;
/// The marks that are kept: those of a minute and one before.
const MARKS: usize = 7;
/// The providers that have charts of their own: the first to be asked.
pub const MOST_CHARTED: usize = 150;
/// Figures of the whole over time.
pub const TOTALS: usize = 14;
/// Figures of a provider over time.
pub const PER_PROVIDER: usize = 5;

/// Figures of the whole, by their place among the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Requests that ended, per second.
    Requests,
    /// Attempts that failed, per second.
    Errors,
    /// Failovers per second.
    Failovers,
    /// Requests that the proxy answered without a provider, per second.
    Alone,
    /// Percentiles of the time to the first token, in milliseconds.
    FirstP50,
    /// The same.
    FirstP95,
    /// The same.
    FirstP99,
    /// Percentiles of the time of whole attempts, in milliseconds.
    WholeP50,
    /// The same.
    WholeP95,
    /// The same.
    WholeP99,
    /// Requests in flight.
    InFlight,
    /// Requests that wait for a slot.
    Waiting,
    /// Tokens per second.
    Tokens,
    /// Dollars per hour.
    Cost,
}

/// Figures of a provider, by their place among its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Attempts per second.
    Attempts,
    /// Attempts that failed, per second.
    Errors,
    /// The median time to the first token, in milliseconds; of the whole answer where nothing streams.
    P50,
    /// The same, as the 95th percentile.
    P95,
    /// Requests in flight.
    InFlight,
}

/// Counters at one moment, or their growth between two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Attempts.
    pub attempts: u64,
    /// Attempts that have failed by the provider's fault.
    pub failed: u64,
    /// Attempts after another provider had been tried.
    pub failovers: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Dollars.
    pub cost: f64,
    /// Times to the first token of streams.
    pub first: Counts,
    /// Times of whole attempts.
    pub whole: Counts,
}

impl Reading {
    /// The counters of a provider; histograms that have not changed are those of `before`.
    fn of(metrics: &ProviderMetrics, before: &Self) -> Self {
        let [attempts, failed] = metrics.tried();
        let same = attempts == before.attempts;
        let firsts = metrics.first_token.get_sample_count();
        Self {
            attempts,
            failed,
            failovers: metrics.failovers.get(),
            tokens: metrics.prompt_tokens.get() + metrics.completion_tokens.get(),
            cost: metrics.money.cost.get(),
            first: if firsts == before.first.total() { before.first } else { Counts::of(&metrics.first_token) },
            whole: if same { before.whole } else { Counts::of(&metrics.attempt_duration) },
        }
    }

    /// The growth since `earlier`; all of it if the counters have begun anew.
    fn since(&self, earlier: &Self) -> Self {
        if self.attempts < earlier.attempts {
            return *self;
        }
        Self {
            attempts: self.attempts - earlier.attempts,
            failed: self.failed.saturating_sub(earlier.failed),
            failovers: self.failovers.saturating_sub(earlier.failovers),
            tokens: self.tokens.saturating_sub(earlier.tokens),
            cost: (self.cost - earlier.cost).max(0.0),
            first: self.first.since(&earlier.first),
            whole: self.whole.since(&earlier.whole),
        }
    }

    fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.failovers += other.failovers;
        self.tokens += other.tokens;
        self.cost += other.cost;
        self.first.add(&other.first);
        self.whole.add(&other.whole);
    }

    /// A percentile in milliseconds to the first token, or of whole attempts if nothing streamed; true for the latter.
    pub fn quantile(&self, share: f64) -> (Option<f64>, bool) {
        let is_whole = self.first.total() == 0;
        let counts = if is_whole { &self.whole } else { &self.first };
        (counts.quantile(Scale::Long, share).map(|seconds| seconds * 1000.0), is_whole)
    }
}

/// Readings over the last minute.
#[derive(Clone, Debug)]
pub struct Marks<R> {
    now: R,
    /// The oldest first; never empty.
    marks: VecDeque<(Instant, R)>,
}

impl<R: Copy> Marks<R> {
    fn new(first: R, at: Instant) -> Self {
        Self { now: first, marks: VecDeque::from([(at, first)]) }
    }

    fn take(&mut self, reading: R, at: Instant, marks: bool) {
        self.now = reading;
        if marks {
            if self.marks.len() >= MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((at, reading));
        }
    }

    /// The reading at the beginning of the last minute, or the first one; and the time since.
    fn minute_ago(&self, now: Instant) -> (R, Duration) {
        let (at, reading) = self.marks.front().copied().unwrap_or((now, self.now));
        (reading, now.saturating_duration_since(at))
    }

    /// The same of ten seconds or a little more.
    fn shortly_ago(&self, now: Instant) -> R {
        let short = Duration::from_millis(9500);
        let old = self.marks.iter().rev().find(|(at, _)| now.saturating_duration_since(*at) >= short);
        old.or(self.marks.front()).map_or(self.now, |(_, reading)| *reading)
    }
}

/// One provider.
#[derive(Debug)]
pub struct Track {
    marks: Marks<Reading>,
    state: &'static str,
    /// Since when it is in that state, as far as was seen.
    pub since: Instant,
    charts: Option<Box<[Series; PER_PROVIDER]>>,
    /// The reading at which it was seen last.
    seen: u64,
}

impl Track {
    /// The growth within the last minute, and the seconds that it was.
    pub fn minute(&self, now: Instant) -> (Reading, f64) {
        let (before, time) = self.marks.minute_ago(now);
        (self.marks.now.since(&before), time.as_secs_f64().max(1.0))
    }

    /// Its counters.
    pub fn now(&self) -> &Reading {
        &self.marks.now
    }

    /// Its series, by [`Own`].
    pub fn series(&self, own: Own) -> Option<&Series> {
        self.charts.as_ref()?.get(own as usize)
    }
}

/// A provider at the time of a reading.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its state in a word.
    pub state: &'static str,
    /// Requests in flight.
    pub in_flight: u32,
    /// Its counters.
    pub metrics: &'a ProviderMetrics,
}

/// The counters that are not of one provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole {
    /// Requests that have ended.
    pub ended: u64,
    /// Requests that the proxy answered without a provider.
    pub alone: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that wait for a slot.
    pub waiting: usize,
    /// Waits for a slot of the queue.
    pub queue_waits: Counts,
    /// The proxy's own time.
    pub overheads: Counts,
}

/// The figures of the last minute that are not of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Minute {
    /// All attempts.
    pub attempts: Reading,
    /// Requests that ended.
    pub ended: u64,
    /// Requests that the proxy answered without a provider.
    pub alone: u64,
    /// Waits for a slot of the queue.
    pub queue_waits: Counts,
    /// The proxy's own time.
    pub overheads: Counts,
    /// The seconds that it was.
    pub seconds: f64,
}

/// All of it.
#[derive(Debug)]
pub struct Past {
    providers: HashMap<String, Track>,
    whole: Marks<(Reading, Whole)>,
    series: Box<[Series; TOTALS]>,
    /// Readings so far, those that were missed included.
    readings: u64,
    last: Instant,
}

impl Past {
    /// Without a past.
    pub fn new(now: Instant) -> Self {
        let series = std::array::from_fn(|at| {
            let is_gauge = at == Total::InFlight as usize || at == Total::Waiting as usize;
            Series::new(if is_gauge { Fold::Most } else { Fold::Mean })
        });
        let whole = Marks::new(Default::default(), now);
        Self { providers: HashMap::new(), whole, series: Box::new(series), readings: 0, last: now }
    }

    /// Takes a reading, to be called once a second. Seconds that were missed are left empty.
    pub fn read<'a>(&mut self, now: Instant, seen: impl Iterator<Item = Seen<'a>>, whole: Whole) {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64().max(0.001);
        let missed = (seconds.round() as usize).saturating_sub(1).min(FINE);
        for _ in 0..missed {
            self.readings += 1;
            let ends = self.readings.is_multiple_of(60);
            let of_providers = self.providers.values_mut().filter_map(|track| track.charts.as_mut());
            let of_providers = of_providers.flat_map(|charts| charts.iter_mut());
            self.series.iter_mut().chain(of_providers).for_each(|series| series.push(None, ends));
        }
        self.last = now;
        self.readings += 1;
        let (ends, marks) = (self.readings.is_multiple_of(60), self.readings.is_multiple_of(MARK_EVERY));
        let mut charted = self.providers.values().filter(|track| track.charts.is_some()).count();
        let (mut sum, readings) = (self.whole.now.0, self.readings);
        for seen in seen {
            let Some(track) = self.providers.get_mut(seen.name) else {
                let first = Reading::of(seen.metrics, &Reading::default());
                let marks = Marks::new(first, now);
                let track = Track { marks, state: seen.state, since: now, charts: None, seen: readings };
                self.providers.insert(seen.name.to_owned(), track);
                continue;
            };
            let before = *track.now();
            let reading = Reading::of(seen.metrics, &before);
            let came = reading.since(&before);
            sum.add(&came);
            track.marks.take(reading, now, marks);
            track.seen = readings;
            if track.state != seen.state {
                (track.state, track.since) = (seen.state, now);
            }
            if track.charts.is_none() && came.attempts > 0 && charted < MOST_CHARTED {
                charted += 1;
                let charts = std::array::from_fn(|at| {
                    Series::new(if at == Own::InFlight as usize { Fold::Most } else { Fold::Mean })
                });
                track.charts = Some(Box::new(charts));
            }
            let short = reading.since(&track.marks.shortly_ago(now));
            if let Some(charts) = &mut track.charts {
                let rate = |count: u64| Some(count as f64 / seconds);
                let in_flight = Some(f64::from(seen.in_flight));
                let [half, most] = [short.quantile(0.5).0, short.quantile(0.95).0];
                let points = [rate(came.attempts), rate(came.failed), half, most, in_flight];
                charts.iter_mut().zip(points).for_each(|(series, point)| series.push(point, ends));
            }
        }
        self.providers.retain(|_, track| track.seen == readings);
        let before = self.whole.now;
        self.whole.take((sum, whole), now, marks);
        let (came, short) = (sum.since(&before.0), sum.since(&self.whole.shortly_ago(now).0));
        let rate = |now: u64, before: u64| Some(now.saturating_sub(before) as f64 / seconds);
        let of = |counts: &Counts, share| counts.quantile(Scale::Long, share).map(|seconds| seconds * 1000.0);
        let points: [Option<f64>; TOTALS] = [
            rate(whole.ended, before.1.ended),
            rate(came.failed, 0),
            rate(came.failovers, 0),
            rate(whole.alone, before.1.alone),
            of(&short.first, 0.5),
            of(&short.first, 0.95),
            of(&short.first, 0.99),
            of(&short.whole, 0.5),
            of(&short.whole, 0.95),
            of(&short.whole, 0.99),
            Some(whole.in_flight as f64),
            Some(whole.waiting as f64),
            rate(came.tokens, 0),
            Some(came.cost * 3600.0 / seconds),
        ];
        self.series.iter_mut().zip(points).for_each(|(series, point)| series.push(point, ends));
    }

    /// A provider's, if it was there at the last reading.
    pub fn provider(&self, name: &str) -> Option<&Track> {
        self.providers.get(name)
    }

    /// The providers that have charts, by name.
    pub fn charted(&self) -> Vec<&str> {
        let charted = self.providers.iter().filter(|(_, track)| track.charts.is_some());
        let mut names: Vec<&str> = charted.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The providers whose 95th percentile was the highest in a span, with that series; the highest first.
    pub fn slowest(&self, span: Span, most: usize) -> Vec<(&str, &Series)> {
        let series = self.providers.iter().filter_map(|(name, track)| Some((name.as_str(), track.series(Own::P95)?)));
        let highest = |series: &Series| series.points(span).filter(|point| !point.is_nan()).reduce(f32::max);
        let mut known: Vec<_> = series.filter_map(|(name, series)| Some((highest(series)?, name, series))).collect();
        known.sort_by(|(one, name, _), (other, other_name, _)| other.total_cmp(one).then_with(|| name.cmp(other_name)));
        known.into_iter().take(most).map(|(_, name, series)| (name, series)).collect()
    }

    /// A series of the whole.
    pub fn series(&self, total: Total) -> &Series {
        &self.series[total as usize]
    }

    /// The figures of the last minute.
    pub fn minute(&self, now: Instant) -> Minute {
        let ((attempts, before), time) = self.whole.minute_ago(now);
        let (sum, whole) = self.whole.now;
        Minute {
            attempts: sum.since(&attempts),
            ended: whole.ended.saturating_sub(before.ended),
            alone: whole.alone.saturating_sub(before.alone),
            queue_waits: whole.queue_waits.since(&before.queue_waits),
            overheads: whole.overheads.since(&before.overheads),
            seconds: time.as_secs_f64().max(1.0),
        }
    }
}

#[cfg(test)]
mod tests;
