//! Charts over time as SVG in the page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::escaped;

/// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7d00", "#7f7f7f"];

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 170.0;

/// The style sheet of a page with tables and charts.
pub const STYLE: &str = "*{box-sizing:border-box}body{font:16px/1.55 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:2rem 1.25rem;\
    color:#1d2530;background:#fff}h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{color:#4a5666;max-width:48rem}\
    .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.45rem .6rem;\
    text-align:right;border-bottom:1px solid #d8dee6;white-space:nowrap}th:first-child,td:first-child,.name{text-align:left}th{color:#4a5666;\
    font-weight:600}.best{font-weight:700;color:#00694a}.bad{font-weight:700;color:#b3261e}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(25rem,1fr));gap:1.2rem}\
    figure{margin:0;border:1px solid #d8dee6;border-radius:.5rem;padding:.8rem}figcaption{font-weight:600;margin-bottom:.3rem}\
    svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#4a5666}.grid{stroke:#e5e9ef}\
    .key{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.9rem;margin:.4rem 0}.key i{display:inline-block;width:.8em;height:.8em;\
    border-radius:2px;margin-right:.35em}@media(prefers-color-scheme:dark){body{background:#14181d;color:#e4e8ed}p,th,svg text{color:#a5b0bd;\
    fill:#a5b0bd}th,td,figure{border-color:#333c47}.grid{stroke:#2a323b}.best{color:#4cd6a0}.bad{color:#ff8a80}}";

/// The axis of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// From 0, so many seconds long.
    Seconds(f64),
    /// From a moment in seconds since 1970, so many seconds long; its labels are those of a clock in UTC.
    Clock(f64, f64),
}

impl Axis {
    /// The ticks: for each its place as a share of the axis, and its label.
    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Seconds(seconds) => {
                let step = time_step(seconds);
                let tick = |tick: u32| (f64::from(tick) * step / seconds, span(f64::from(tick) * step, step));
                (0..=(seconds / step + 1e-9) as u32).map(tick).collect()
            }
            Self::Clock(from, seconds) => {
                let step = time_step(seconds).max(1.0);
                let form = if step >= 86_400.0 {
                    "%m-%d"
                } else if step >= 60.0 {
                    "%H:%M"
                } else {
                    "%H:%M:%S"
                };
                let first = (from / step).ceil() * step;
                let label = |at: f64| Timestamp::from_second(at as i64).unwrap_or_default().strftime(form).to_string();
                let ticks = (0..=6).map(|tick| first + f64::from(tick) * step).take_while(|at| *at <= from + seconds);
                ticks.map(|at| ((at - from) / seconds, label(at))).collect()
            }
        }
    }
}

/// The names of the lines or layers of charts, in their colours.
pub fn key(html: &mut String, names: &[&str]) {
    html.push_str("<div class=key>");
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(html, "<span><i style=\"background:{colour}\"></i>{}</span>", escaped(name));
    }
    html.push_str("</div>");
}

/// A chart of layers on top of each other.
pub fn stacked(html: &mut String, caption: &str, axis: Axis, layers: &[Vec<f64>]) {
    let pieces = layers.iter().map(Vec::len).max().unwrap_or(0);
    let total = |piece: usize| layers.iter().filter_map(|layer| layer.get(piece)).sum::<f64>();
    let most = round_up((0..pieces).map(total).fold(0.0, f64::max));
    frame(html, caption, most, axis);
    let mut floor = vec![0.0; pieces];
    for (layer, colour) in layers.iter().zip(COLOURS.iter().cycle()) {
        let top: Vec<f64> = floor.iter().zip(layer).map(|(floor, value)| floor + value).collect();
        let upper = path(&top, most, false);
        let lower = path(&floor, most, true);
        let _ = write!(html, "<path fill=\"{colour}\" d=\"M{upper}L{lower}Z\"/>");
        floor = top;
    }
    html.push_str("</svg></figure>");
}

/// A chart of lines; where a value is not finite, its line is interrupted.
pub fn lines(html: &mut String, caption: &str, axis: Axis, series: &[Vec<f64>]) {
    let finite = series.iter().flatten().copied().filter(|value| value.is_finite());
    let most = round_up(finite.fold(0.0, f64::max));
    frame(html, caption, most, axis);
    for (values, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let path = path(values, most, false);
        if !path.is_empty() {
            let _ = write!(
                html,
                "<path fill=none stroke=\"{colour}\" stroke-width=1.6 stroke-linecap=round d=\"M{path}\"/>"
            );
        }
    }
    html.push_str("</svg></figure>");
}

/// The frame of a chart: its grid and its labels.
fn frame(html: &mut String, caption: &str, most: f64, axis: Axis) {
    let _ = write!(
        html,
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\">",
        escaped(caption),
        WIDTH + 48.0,
        HEIGHT + 28.0,
        escaped(caption),
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let y = 6.0 + HEIGHT * (1.0 - share);
        let _ = write!(
            html,
            "<path class=grid d=\"M44 {y:.1}H{:.1}\"/><text x=40 y={:.1} text-anchor=end>{}</text>",
            WIDTH + 44.0,
            y + 4.0,
            short(most * share)
        );
    }
    for (share, label) in axis.ticks() {
        let x = 44.0 + WIDTH * share;
        let anchor = if x > WIDTH + 24.0 { "end" } else { "middle" };
        let _ = write!(html, "<text x={x:.1} y={:.1} text-anchor={anchor}>{label}</text>", HEIGHT + 22.0);
    }
}

/// The points of a curve, from left to right or back.
fn path(values: &[f64], most: f64, back: bool) -> String {
    let last = values.len().saturating_sub(1).max(1) as f64;
    let (mut text, mut is_torn) = (String::new(), false);
    let mut add = |place: usize, value: f64| {
        if !value.is_finite() {
            is_torn = true;
            return;
        }
        let begins = is_torn || text.is_empty();
        let joint = match (text.is_empty(), begins) {
            (true, _) => "",
            (false, true) => "M",
            (false, false) => "L",
        };
        // A point between two gaps would not be seen.
        let dot = if begins { "h0" } else { "" };
        let (x, y) = (44.0 + WIDTH * place as f64 / last, 6.0 + HEIGHT * (1.0 - value / most));
        let _ = write!(text, "{joint}{x:.1} {y:.1}{dot}");
        is_torn = false;
    };
    let points = values.iter().copied().enumerate();
    if back {
        points.rev().for_each(|(place, value)| add(place, value));
    } else {
        points.for_each(|(place, value)| add(place, value));
    }
    text
}

/// The next larger number whose quarters are short numbers too.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|factor| factor * unit).find(|step| *step >= value).unwrap_or(value)
}

/// The label of a tick, without rounding, because its axis ends at a number from [`round_up`].
fn short(value: f64) -> String {
    let (value, unit) = if value >= 10_000.0 { (value / 1000.0, "k") } else { (value, "") };
    let digits = format!("{value:.6}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// The step between two ticks of a time axis: a round number of seconds, minutes or hours, for at most six ticks.
fn time_step(seconds: f64) -> f64 {
    const STEPS: [f64; 20] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        14_400.0, 28_800.0, 86_400.0,
    ];
    let days = (seconds / 6.0 / 86_400.0).ceil() * 86_400.0;
    STEPS.into_iter().find(|step| seconds / step <= 6.0).unwrap_or(days)
}

/// The label of a moment on an axis whose ticks are `step` apart.
fn span(seconds: f64, step: f64) -> String {
    if step >= 3600.0 {
        format!("{} h", short(seconds / 3600.0))
    } else if step >= 60.0 {
        format!("{} min", short(seconds / 60.0))
    } else {
        format!("{} s", short(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_number_that_people_like() {
        for (value, end) in [(0.0, 1.0), (3.1, 4.0), (9.0, 10.0), (10.0, 10.0), (240.0, 400.0), (0.02, 0.02)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_tick_says_exactly_where_it_stands() {
        let ticks = |most: f64| [0.25, 0.5, 0.75, 1.0].map(|share| short(round_up(most) * share));
        assert_eq!(ticks(0.9), ["0.25", "0.5", "0.75", "1"]);
        assert_eq!(ticks(15.0), ["5", "10", "15", "20"]);
        assert_eq!(ticks(70_000.0), ["20k", "40k", "60k", "80k"]);
        let times = |axis: Axis| axis.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(times(Axis::Seconds(900.0)), ["0 min", "5 min", "10 min", "15 min"]);
        assert_eq!(times(Axis::Seconds(1500.0)), ["0 min", "5 min", "10 min", "15 min", "20 min", "25 min"]);
        assert_eq!(times(Axis::Seconds(20.0)), ["0 s", "5 s", "10 s", "15 s", "20 s"]);
        let clock = times(Axis::Clock(1_800_000_300.0, 86_400.0));
        assert_eq!(clock, ["12:00", "16:00", "20:00", "00:00", "04:00", "08:00"]);
        assert_eq!(times(Axis::Clock(1_800_000_000.0, 3.0 * 86_400.0)), ["01-16", "01-17", "01-18"]);
    }

    #[test]
    fn a_line_is_interrupted_where_nothing_is_known() {
        let gap = path(&[1.0, f64::NAN, 1.0, 0.5], 1.0, false);
        assert_eq!(gap, "44.0 6.0h0M417.3 6.0h0L604.0 91.0");
        assert_eq!(path(&[f64::NAN], 1.0, false), "");
        assert_eq!(path(&[1.0, 0.0], 1.0, true), "604.0 176.0h0L44.0 6.0");
    }

    #[test]
    fn names_become_no_markup() {
        let mut html = String::new();
        key(&mut html, &["<script>"]);
        lines(&mut html, "\"><b>", Axis::Seconds(1.0), &[vec![0.0, 1.0]]);
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
    }
}
