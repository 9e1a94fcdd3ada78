//! Charts as SVG, drawn by hand. Lines differ by their colour, by their dashes and by the words under the chart, which
//! also have the figures.

use std::fmt::Write as _;

use super::cells::{money, short};
use super::rings::{Series, Span};
use crate::html::escaped;

/// The size of a drawing in its own units.
const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 170.0;
/// The part of it that lines are drawn in.
const LEFT: f32 = 60.0;
const RIGHT: f32 = 632.0;
const TOP: f32 = 10.0;
const BOTTOM: f32 = 144.0;
/// The most points of a line; of those that share a place the largest is drawn.
const MOST_POINTS: usize = 290;

/// The unit of the figures of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Per second, or a plain number.
    Number,
    /// Milliseconds.
    Milliseconds,
    /// Dollars.
    Dollars,
}

impl Unit {
    fn written(self, value: f32) -> String {
        let value = f64::from(value);
        match self {
            Self::Number => short(value),
            Self::Milliseconds if value >= 1000.0 => format!("{} s", short(value / 1000.0)),
            Self::Milliseconds => format!("{} ms", short(value)),
            Self::Dollars => money(value),
        }
    }
}

/// One line of a chart.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its name, in a word or two.
    pub name: &'a str,
    /// Its points; none is a line without any.
    pub series: Option<&'a Series>,
}

/// A chart.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'a> {
    /// Its title.
    pub title: &'a str,
    /// The unit of its figures.
    pub unit: Unit,
    /// Its lines, at most three.
    pub lines: &'a [Line<'a>],
}

impl Chart<'_> {
    /// Draws it as a figure with a caption.
    pub fn html(&self, out: &mut String, span: Span) {
        let Chart { title, unit, lines } = self;
        let drawn: Vec<Vec<f32>> =
            lines.iter().map(|line| line.series.map_or(Vec::new(), |series| thinned(series, span))).collect();
        let most = drawn.iter().flatten().copied().filter(|point| !point.is_nan()).fold(0.0, f32::max);
        let top = round_up(most);
        let y = |value: f32| BOTTOM - (BOTTOM - TOP) * (value / top).clamp(0.0, 1.0);
        let title = escaped(title);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}, the last {}\">",
            span.words()
        );
        for step in 0..=2_u8 {
            let value = top * f32::from(step) / 2.0;
            let (at, label) = (y(value), escaped(&trimmed(&unit.written(value))));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{:.0}\" y=\"{:.1}\" class=\"end\">{label}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let ends = match span {
            Span::Minutes => ["10 min ago", "5 min ago", "now"],
            Span::Day => ["24 h ago", "12 h ago", "now"],
        };
        for ((label, class), x) in
            ends.into_iter().zip(["start", "middle", "end"]).zip([LEFT, (LEFT + RIGHT) / 2.0, RIGHT])
        {
            let _ = write!(out, "<text x=\"{x:.0}\" y=\"{:.0}\" class=\"{class}\">{label}</text>", HEIGHT - 8.0);
        }
        for (number, points) in drawn.iter().enumerate() {
            let _ = write!(out, "<path class=\"line line-{number}\" d=\"{}\"/>", path(points, &y));
        }
        out.push_str("</svg><ul class=\"legend\">");
        for (number, (line, points)) in lines.iter().zip(&drawn).enumerate() {
            let known = || points.iter().copied().filter(|point| !point.is_nan());
            let figures = match (line.series.and_then(|series| latest(series, span)), known().fold(f32::NAN, f32::max))
            {
                (_, most) if most.is_nan() => "nothing yet".to_owned(),
                (Some(latest), most) => format!("now {}, most {}", unit.written(latest), unit.written(most)),
                (None, most) => format!("most {}", unit.written(most)),
            };
            let _ = write!(
                out,
                "<li><svg viewBox=\"0 0 28 8\" aria-hidden=\"true\" class=\"key\"><path class=\"line line-{number}\" d=\"M2 4H26\"/></svg>\
                 <b>{}</b> {}</li>",
                escaped(line.name),
                escaped(&figures)
            );
        }
        if lines.is_empty() {
            out.push_str("<li>nothing yet</li>");
        }
        out.push_str("</ul></figure>");
    }
}

/// A figure without zeros at its end.
fn trimmed(figure: &str) -> String {
    let (number, unit) = figure.find(' ').map_or((figure, ""), |at| figure.split_at(at));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// The last point, if it is known.
fn latest(series: &Series, span: Span) -> Option<f32> {
    series.points(span).last().filter(|point| !point.is_nan())
}

/// The points, or the largest of each few.
fn thinned(series: &Series, span: Span) -> Vec<f32> {
    let points: Vec<f32> = series.points(span).collect();
    let few = points.len().div_ceil(MOST_POINTS);
    points.chunks(few).map(|chunk| chunk.iter().copied().fold(f32::NAN, f32::max)).collect()
}

/// The path of a line; a point between two that are not known is a dot.
fn path(points: &[f32], y: &dyn Fn(f32) -> f32) -> String {
    let step = (RIGHT - LEFT) / (points.len().max(2) - 1) as f32;
    let (mut path, mut is_down) = (String::new(), false);
    for (at, &point) in points.iter().enumerate() {
        if point.is_nan() {
            is_down = false;
            continue;
        }
        let (x, y) = (LEFT + step * at as f32, y(point));
        let is_alone = !is_down && points.get(at + 1).is_none_or(|next| next.is_nan());
        let _ = match (is_down, is_alone) {
            (true, _) => write!(path, "L{x:.1} {y:.1}"),
            (false, true) => write!(path, "M{x:.1} {y:.1}h.1"),
            (false, false) => write!(path, "M{x:.1} {y:.1}"),
        };
        is_down = true;
    }
    path
}

/// The next of 1, 2, 4, 6, 10, 20 and so on, for the top of the scale.
fn round_up(most: f32) -> f32 {
    if most <= 0.0 {
        return 1.0;
    }
    let size = 10.0_f32.powf(most.log10().floor());
    let step = [1.0, 2.0, 4.0, 6.0, 10.0].into_iter().find(|step| most <= step * size * 1.000_1);
    step.unwrap_or(10.0) * size
}

#[cfg(test)]
mod tests {
    use super::super::rings::Fold;
    use super::*;

    #[test]
    fn a_chart_says_in_words_what_its_lines_show() {
        let mut series = Series::new(Fold::Mean);
        [Some(3.0), None, Some(12.0), Some(7.0)].into_iter().for_each(|point| series.push(point, false));
        let lines = [Line { name: "<requests>", series: Some(&series) }, Line { name: "errors", series: None }];
        let mut html = String::new();
        Chart { title: "Requests & errors", unit: Unit::Number, lines: &lines }.html(&mut html, Span::Minutes);
        assert!(html.contains("now 7.00, most 12.0") && html.contains("<b>errors</b> nothing yet"), "{html}");
        assert!(
            html.contains("Requests &amp; errors, the last 10 minutes") && html.contains("&lt;requests&gt;"),
            "{html}"
        );
        assert!(html.contains(">20</text>"), "the top of the scale: {html}");
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let line = path(&[1.0, f32::NAN, 2.0, 3.0], &|value| value);
        assert_eq!(line, "M60.0 1.0h.1M441.3 2.0L632.0 3.0");
    }

    #[test]
    fn labels_have_no_zeros_at_their_end() {
        let trimmed = ["20.0", "0.05 ms", "$200.00", "600 ms", "0.50", "< 0.01"].map(super::trimmed);
        assert_eq!(["20", "0.05 ms", "$200", "600 ms", "0.5", "< 0.01"], trimmed[..]);
    }

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!([0.0, 0.03, 1.0, 1.1, 55.0, 7000.0].map(round_up), [1.0, 0.04, 1.0, 2.0, 60.0, 10_000.0]);
    }
}
