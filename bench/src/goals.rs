//! The goals, and the distance of the measurements from them.

use serde::Serialize;

use crate::results::Results;
use crate::startup::Startup;
use crate::stats::Spread;

const US: &str = "pointsman";
const NGINX: &str = "nginx";

/// A goal and its measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// The name of the measure.
    pub what: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// The measured value; `None` when it was not measured in this run.
    pub measured: Option<Spread>,
    /// The goal.
    pub goal: f64,
    /// The stretch goal.
    pub stretch: f64,
    /// More is better.
    pub more: bool,
}

impl Goal {
    /// The verdict on the median: `met`, `stretch met`, `missed` or `not measured`.
    pub fn verdict(&self) -> &'static str {
        let Some(spread) = self.measured else { return "not measured" };
        let reached = |aim: f64| if self.more { spread.median >= aim } else { spread.median <= aim };
        match (reached(self.goal), reached(self.stretch)) {
            (_, true) => "stretch met",
            (true, false) => "met",
            (false, false) => "missed",
        }
    }
}

/// All goals that this benchmark can judge.
pub fn judge(results: &Results, startup: &Startup, binary_mb: f64) -> Vec<Goal> {
    let less = |what, unit, measured, goal, stretch| Goal { what, unit, measured, goal, stretch, more: false };
    let cpu = |measure| results.ratio(US, NGINX, measure, "cpu_us");
    let over_nginx = |measure| results.difference(US, NGINX, measure, "p50_us");
    let many = results.difference("pointsman, 1,000 providers", US, "1k", "cpu_us");
    // How often the work of one core fits into two at the cost of a request there.
    let one_over_two = results.ratio(US, "pointsman, 2 workers", "1k", "cpu_us");
    let capacity =
        one_over_two.map(|it| Spread { median: 2.0 * it.median, min: 2.0 * it.min, max: 2.0 * it.max, ..it });
    let size = Spread::of([binary_mb]);
    vec![
        less("CPU per request, 1 KB", "x nginx", cpu("1k"), 1.1, 0.92),
        less("CPU per request, 32 KB", "x nginx", cpu("32k"), 1.1, 0.95),
        less("CPU per request, 1 MB", "x nginx", cpu("1m"), 1.1, 0.95),
        less("CPU per SSE event, 5 ms apart", "x nginx", cpu("paced"), 1.0, 0.9),
        less("CPU per SSE event, one by one", "x nginx", cpu("alone"), 1.0, 0.9),
        less("CPU per SSE event, together", "x nginx", cpu("burst"), 1.1, 1.0),
        less("p50 above nginx's, 500/s", "µs", over_nginx("rate500"), 30.0, 0.0),
        less("p50 above nginx's, 2,000/s", "µs", over_nginx("rate2000"), 30.0, 0.0),
        less("resident memory, idle", "MB", results.spread(US, "1k", "rss_idle_mb"), 25.0, 12.0),
        less("resident memory, idle after a cold start", "MB", Some(startup.cold_rss_mb), 25.0, 12.0),
        less("resident memory, loaded", "MB", results.spread(US, "1k", "rss_loaded_mb"), 40.0, 25.0),
        less("resident memory per live stream", "KB", results.spread(US, "slow", "kb_per_stream"), 25.0, 17.0),
        less("1,000 providers instead of 2", "µs more", many, 10.0, 5.0),
        Goal { what: "two cores (estimate)", unit: "x one", measured: capacity, goal: 1.9, stretch: 1.95, more: true },
        less("start to listening, cold", "ms", Some(startup.cold), 40.0, 15.0),
        less("size of the binary", "MB", size, 25.0, 15.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(measured: Option<f64>, more: bool) -> &'static str {
        let measured = measured.and_then(|value| Spread::of([value]));
        let (goal, stretch) = if more { (1.8, 1.95) } else { (1.3, 1.0) };
        Goal { what: "", unit: "", measured, goal, stretch, more }.verdict()
    }

    #[test]
    fn a_goal_is_met_from_its_own_side() {
        assert_eq!(verdict(Some(1.3), false), "met");
        assert_eq!(verdict(Some(0.9), false), "stretch met");
        assert_eq!(verdict(Some(1.31), false), "missed");
        assert_eq!(verdict(Some(1.9), true), "met");
        assert_eq!(verdict(Some(2.0), true), "stretch met");
        assert_eq!(verdict(Some(1.7), true), "missed");
        assert_eq!(verdict(None, false), "not measured");
    }
}
