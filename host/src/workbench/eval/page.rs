//! The report as one self-contained HTML page.

use std::fmt::Write as _;

use super::report::{Report, Tested, interval, money, notes, percent, probability, seconds};
use crate::html::escaped;

/// The width of the charts, in the units of their view.
const WIDTH: f64 = 640.0;

/// The space for names, to the left of them.
const NAMES: f64 = 170.0;

/// The height of a row.
const ROW: f64 = 34.0;

const STYLE: &str = ":root{--ink:#1d2530;--soft:#4a5666;--line:#d8dee6;--bar:#86b8de;--first:#b3bcc6;--back:#fff;--good:#00694a;--bad:#b3261e}\
    *{box-sizing:border-box}body{font:16px/1.55 system-ui,sans-serif;max-width:68rem;margin:0 auto;padding:2rem 1.25rem;color:var(--ink);background:var(--back)}\
    h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{color:var(--soft);max-width:48rem}.note{border-left:4px solid var(--bad);\
    padding-left:.8rem;color:var(--ink)}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
    th,td{padding:.4rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}\
    th{color:var(--soft);font-weight:600}.sure{font-weight:700}figure{margin:0;border:1px solid var(--line);border-radius:.5rem;padding:.8rem}\
    figcaption{color:var(--soft);font-size:.9rem;margin-top:.4rem}svg{width:100%;height:auto;display:block}svg text{font:13px system-ui,sans-serif;fill:var(--ink)}\
    svg .tick{font-size:11px;fill:var(--soft)}.grid{stroke:var(--line)}.bar{fill:var(--bar)}.first{fill:var(--first)}.whisker{stroke:var(--ink);stroke-width:2;fill:none}\
    .zero{stroke:var(--soft);stroke-width:1.5}.dot{fill:var(--bar);stroke:var(--ink)}details{margin-top:1rem}.right{color:var(--good)}.wrong{color:var(--bad)}\
    @media(prefers-color-scheme:dark){:root{--ink:#e4e8ed;--soft:#a5b0bd;--line:#333c47;--bar:#2f6690;--first:#56616d;--back:#14181d;--good:#4cd6a0;--bad:#ff8a80}}";

/// The page.
pub fn page(report: &Report) -> String {
    let title = format!("{} questions, {}", report.questions, report.model);
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}, graded by <b>{}</b>.",
        escaped(&report.data),
        escaped(&report.grade),
        title = escaped(&title),
    );
    for note in notes(report) {
        let _ = write!(html, "<p class=note>{}", escaped(note));
    }
    if let Some(profile) = &report.played {
        let _ = write!(
            html,
            "<p>Its answers are right with {}, its judgements with {}; {} s and {} tokens each, {} of them cut off; seed {}.",
            percent(profile.accuracy),
            percent(profile.judge),
            profile.latency,
            profile.tokens,
            percent(profile.truncate),
            profile.seed
        );
    }
    html.push_str("<h2>Right answers</h2>");
    accuracy(&mut html, report);
    if report.approaches.len() > 1 {
        html.push_str("<h2>Against the first</h2>");
        differences(&mut html, report);
    }
    html.push_str("<h2>What it took</h2>");
    costs(&mut html, report);
    failures(&mut html, report);
    answers(&mut html, report);
    html
}

fn begin(html: &mut String, rows: usize, label: &str) {
    let height = ROW * rows as f64 + 26.0;
    let _ = write!(
        html,
        "<figure><svg viewBox=\"0 0 {} {height}\" role=img aria-label=\"{}\">",
        NAMES + WIDTH + 110.0,
        escaped(label)
    );
}

/// A name, shortened to what fits.
fn name(html: &mut String, row: usize, text: &str) {
    let short: String =
        if text.chars().count() > 22 { text.chars().take(21).chain(['…']).collect() } else { text.into() };
    let y = ROW * row as f64 + 22.0;
    let _ = write!(html, "<text x={} y={y} text-anchor=end>{}</text>", NAMES - 10.0, escaped(&short));
}

fn whisker(html: &mut String, (low, high): (f64, f64), y: f64) {
    let (top, bottom) = (y - 5.0, y + 5.0);
    let _ = write!(
        html,
        "<path class=whisker d=\"M{low:.1} {top}V{bottom}M{low:.1} {y}H{high:.1}M{high:.1} {top}V{bottom}\"/>"
    );
}

fn accuracy(html: &mut String, report: &Report) {
    let rows = report.approaches.len();
    let x = |share: f64| NAMES + WIDTH * share;
    begin(html, rows, "the share of right answers of each approach");
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let _ = write!(
            html,
            "<path class=grid d=\"M{0:.1} 0V{1}\"/><text class=tick x={0:.1} y={2} text-anchor=middle>{3} %</text>",
            x(share),
            ROW * rows as f64,
            ROW * rows as f64 + 18.0,
            share * 100.0
        );
    }
    for (row, tested) in report.approaches.iter().enumerate() {
        let (y, class) = (ROW * row as f64, if row == 0 { "first" } else { "bar" });
        name(html, row, &tested.approach);
        let _ = write!(
            html,
            "<rect class={class} x={NAMES} y={} width={:.1} height={} rx=2><title>{}: {} of {}</title></rect>",
            y + 7.0,
            WIDTH * tested.accuracy,
            ROW - 14.0,
            escaped(&tested.approach),
            tested.right,
            tested.answers.len()
        );
        whisker(html, (x(tested.interval.0), x(tested.interval.1)), y + ROW / 2.0);
        let _ = write!(
            html,
            "<text x={} y={} class=value>{}</text>",
            NAMES + WIDTH + 22.0,
            y + 22.0,
            percent(tested.accuracy)
        );
    }
    html.push_str("</svg><figcaption>Bars are the share of right answers, lines Wilson's interval at 95 %. The first approach is grey.</figcaption></figure>");
}

fn differences(html: &mut String, report: &Report) {
    let others: Vec<&Tested> = report.approaches.iter().skip(1).collect();
    let found = || others.iter().filter_map(|tested| tested.difference.as_ref());
    let reach = found().map(|found| found.interval.0.abs().max(found.interval.1.abs())).fold(0.05, f64::max);
    let x = |difference: f64| NAMES + WIDTH * (0.5 + 0.48 * difference / reach);
    begin(html, others.len(), "the difference of each approach to the first");
    let bottom = ROW * others.len() as f64;
    for share in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let class = if share == 0.0 { "zero" } else { "grid" };
        let _ = write!(
            html,
            "<path class={class} d=\"M{0:.1} 0V{bottom}\"/><text class=tick x={0:.1} y={1} text-anchor=middle>{2:+.0}</text>",
            x(share * reach),
            bottom + 18.0,
            share * reach * 100.0
        );
    }
    for (row, tested) in others.iter().enumerate() {
        let Some(found) = &tested.difference else { continue };
        let y = ROW * row as f64 + ROW / 2.0;
        name(html, row, &tested.approach);
        whisker(html, (x(found.interval.0), x(found.interval.1)), y);
        let _ = write!(html, "<circle class=dot cx={:.1} cy={y} r=5 />", x(found.difference));
        let _ = write!(html, "<text x={} y={}>{:+.1}</text>", NAMES + WIDTH + 22.0, y + 5.0, found.difference * 100.0);
    }
    let first = report.approaches.first().map_or("", |first| first.approach.as_str());
    let _ = write!(
        html,
        "</svg><figcaption>Percentage points against {}, over the same questions, with the interval at 95 %. A line that does \
         not cross the middle is a difference that chance hardly makes.</figcaption></figure><div class=scroll><table><thead><tr>\
         <th>approach<th>difference<th>95 %<th>gained<th>lost<th>p (McNemar, exact)<tbody>",
        escaped(first)
    );
    for tested in others {
        let Some(found) = &tested.difference else { continue };
        let class = if found.p < 0.05 { " class=sure" } else { "" };
        let _ = write!(
            html,
            "<tr><td>{}<td{class}>{:+.1}<td>{}<td>{}<td>{}<td{class}>{}",
            escaped(&tested.approach),
            found.difference * 100.0,
            interval(found.interval),
            found.gained,
            found.lost,
            probability(found.p).replace('<', "&lt;")
        );
    }
    html.push_str("</table></div>");
}

fn costs(html: &mut String, report: &Report) {
    html.push_str(
        "<div class=scroll><table><thead><tr><th>approach<th>right<th>95 %<th>calls<th>choices<th>tokens in<th>out<th>money\
         <th>money per right answer<th>median s<th>95th percentile s<th>failed<tbody>",
    );
    for tested in &report.approaches {
        let each = tested.cost.filter(|_| tested.right > 0).map(|cost| cost / tested.right as f64);
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(&tested.approach),
            percent(tested.accuracy),
            interval(tested.interval),
            tested.calls,
            tested.choices,
            tested.prompt_tokens,
            tested.completion_tokens,
            money(tested.cost),
            money(each),
            seconds(tested.p50_seconds),
            seconds(tested.p95_seconds),
            tested.failures
        );
    }
    html.push_str("</table></div>");
}

fn failures(html: &mut String, report: &Report) {
    for tested in &report.approaches {
        if let Some((reason, count)) = tested.reason() {
            let _ = write!(
                html,
                "<p class=note>{}: {} questions got no answer, {count} of them so: {}",
                escaped(&tested.approach),
                tested.failures,
                escaped(reason)
            );
        }
    }
}

/// The most questions that the page lists.
const LISTED: usize = 500;

fn answers(html: &mut String, report: &Report) {
    let Some(first) = report.approaches.first() else { return };
    html.push_str("<details><summary>Question by question</summary><div class=scroll><table><thead><tr><th>question");
    for tested in &report.approaches {
        let _ = write!(html, "<th>{}", escaped(&tested.approach));
    }
    html.push_str("<tbody>");
    for answer in first.answers.iter().take(LISTED) {
        let _ = write!(html, "<tr><td>{}", escaped(&answer.id));
        for tested in &report.approaches {
            let found = tested.answers.iter().find(|other| other.id == answer.id);
            html.push_str(match found {
                None => "<td>",
                Some(found) if found.failure.is_some() => "<td class=wrong>failed",
                Some(found) if found.right => "<td class=right>right",
                Some(_) => "<td class=wrong>wrong",
            });
        }
    }
    html.push_str("</table></div></details>");
}
