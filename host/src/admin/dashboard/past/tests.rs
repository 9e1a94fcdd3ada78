use super::super::rings::{COARSE, Span};
use super::*;
use crate::metrics::Metrics;
use crate::routing::OutcomeKind;

struct World {
    metrics: Metrics,
    providers: Vec<(String, ProviderMetrics)>,
    past: Past,
    now: Instant,
}

impl World {
    fn of(names: impl Iterator<Item = String>) -> Self {
        let metrics = Metrics::new(&["chat/completions"]);
        let providers = names.map(|name| (name.clone(), metrics.of_provider(&name))).collect();
        let now = Instant::now();
        let mut world = Self { metrics, providers, past: Past::new(now), now };
        world.second("admitted");
        world
    }

    fn second(&mut self, state: &'static str) {
        self.now += Duration::from_secs(1);
        let seen = self.providers.iter().map(|(name, metrics)| Seen { name, state, in_flight: 3, metrics });
        self.past.read(self.now, seen, Whole { ended: self.metrics.ended(), ..Whole::default() });
    }

    fn attempt(&self, at: usize, outcome: OutcomeKind, milliseconds: u64) {
        let time = Duration::from_millis(milliseconds);
        self.providers[at].1.attempt(outcome, time);
        self.metrics.request_took(0, time);
    }
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("p{number}"))
}

#[test]
fn the_last_minute_has_rates_failures_and_percentiles_of_that_minute_alone() {
    let mut world = World::of(names(2));
    for second in 0..200 {
        // Slow and bad at first, then fast and good.
        let (outcome, time) = if second < 100 { (OutcomeKind::Failed, 9000) } else { (OutcomeKind::Succeeded, 20) };
        world.attempt(0, outcome, time);
        world.attempt(0, outcome, time);
        world.second("admitted");
    }
    let (minute, seconds) = world.past.provider("p0").unwrap().minute(world.now);
    assert!((60.0..=70.0).contains(&seconds), "{seconds}");
    assert!((minute.attempts as f64 / seconds - 2.0).abs() < 0.05, "{minute:?}");
    assert_eq!(minute.failed, 0);
    let (p99, is_whole) = minute.quantile(0.99);
    assert!(is_whole && p99.unwrap() <= 25.0, "{p99:?}");
    assert_eq!(world.past.provider("p0").unwrap().now().failed, 200);
    let whole = world.past.minute(world.now);
    assert_eq!(whole.ended, minute.attempts);
    assert_eq!(world.past.provider("p1").unwrap().minute(world.now).0.attempts, 0);
}

#[test]
fn streams_are_measured_to_their_first_token() {
    let mut world = World::of(names(1));
    world.attempt(0, OutcomeKind::Succeeded, 8000);
    world.providers[0].1.first_token.observe(0.02);
    world.second("admitted");
    let (minute, _) = world.past.provider("p0").unwrap().minute(world.now);
    let (half, is_whole) = minute.quantile(0.5);
    assert!(!is_whole && half.unwrap() <= 25.0, "{half:?}");
}

#[test]
fn the_time_of_a_state_begins_when_it_changes() {
    let mut world = World::of(names(1));
    let began = world.now;
    world.second("admitted");
    assert_eq!(world.past.provider("p0").unwrap().since, began);
    world.second("ejected");
    world.second("ejected");
    assert_eq!(world.past.provider("p0").unwrap().since, world.now - Duration::from_secs(1));
}

#[test]
fn seconds_that_were_missed_are_empty() {
    let mut world = World::of(names(1));
    world.attempt(0, OutcomeKind::Succeeded, 5);
    world.second("admitted");
    world.now += Duration::from_secs(4);
    world.second("admitted");
    let points: Vec<f32> = world.past.series(Total::InFlight).points(Span::Minutes).skip(FINE - 6).collect();
    assert_eq!(points.iter().map(|point| point.is_nan()).collect::<Vec<_>>(), [false, true, true, true, true, false]);
    let own = world.past.provider("p0").unwrap().series(Own::InFlight).unwrap();
    assert_eq!(own.points(Span::Minutes).filter(|point| !point.is_nan()).count(), 2);
}

#[test]
fn a_provider_that_has_gone_takes_its_charts_with_it() {
    let mut world = World::of(names(3));
    (0..3).for_each(|at| world.attempt(at, OutcomeKind::Succeeded, 5));
    world.second("admitted");
    assert_eq!(world.past.charted(), ["p0", "p1", "p2"]);
    world.providers.remove(1);
    world.second("admitted");
    assert_eq!(world.past.charted(), ["p0", "p2"]);
    assert!(world.past.provider("p1").is_none());
}

#[test]
fn a_thousand_providers_with_the_ledger_stay_below_thirty_two_mebibytes() {
    let mut world = World::of(names(1000));
    (0..1000).for_each(|at| world.attempt(at, OutcomeKind::Succeeded, 5));
    (0..80).for_each(|_| world.second("admitted"));
    assert_eq!(world.past.charted().len(), MOST_CHARTED);
    let charts = (TOTALS + MOST_CHARTED * PER_PROVIDER) * Series::BYTES;
    let track = size_of::<Track>() + MARKS.next_power_of_two() * size_of::<(Instant, Reading)>() + 64;
    let ledger = 24 << 20;
    let all = charts + 1000 * track + ledger;
    assert!(all <= 32 << 20, "{all} bytes: {charts} of charts, {track} for a provider");
    assert_eq!(COARSE, 1440);
}
