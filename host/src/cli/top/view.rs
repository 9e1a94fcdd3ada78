//! Draws the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{self, Paragraph, TableState, Wrap};

use super::grid::{Grid, Tone, count, dollars, percent, rate, time};
use super::screen::{Opened, Screen, Tab};
use super::source::Reading;
use crate::telemetry::printable;

/// The lines above and below the rows of a tab, its headings included.
pub(super) const AROUND: u16 = 6;

/// The least width of the column that takes the width that the others leave.
const LAST: u16 = 10;

/// Draws the screen; without colours if they are not wanted.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, has_colours: bool) {
    let rows = [
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [head, tabs, above, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(header(screen)), head);
    frame.render_widget(Paragraph::new(tab_line(screen)), tabs);
    frame.render_widget(Paragraph::new(Line::styled(note(screen), faint())), above);
    match (screen.opened.last(), screen.grid()) {
        (Some(Opened::Text { text, from, .. }), _) => {
            let text: Vec<Line<'_>> = text.lines().skip(*from).map(|line| Line::raw(printable(line))).collect();
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), body);
        }
        (_, Some((grid, selected))) => table(frame, body, &grid, (selected, screen.sorted()), has_colours),
        (_, None) => frame.render_widget(Paragraph::new("reading ..."), body),
    }
    let keys = "q quit  1-7 tab  ↑↓ select  ⏎ open  esc back  s sort  r reverse  f failed  p pause";
    frame.render_widget(Paragraph::new(Line::styled(keys, faint())), foot);
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Two lines about the server as a whole.
fn header(screen: &Screen) -> Vec<Line<'static>> {
    let Some(reading) = &screen.reading else { return Vec::new() };
    let (health, now) = (&reading.health, &reading.now);
    let word = |name: &str| printable(health[name].as_str().unwrap_or_default());
    let state = if health["draining"] == true { "draining".to_owned() } else { word("status") };
    let config = &health["config"];
    let since = printable(config["since"].as_str().unwrap_or_default());
    let generation = config["generation"].as_u64().unwrap_or_default();
    let failed = if config["last_error"].is_null() { "" } else { "; THE LATEST RELOAD FAILED" };
    let first = format!("pointsman {}: {state}, configuration {generation} since {since}{failed}", word("version"));
    let sum = |metric: &str| now.sum(metric, &[]);
    let per_second = |metric: &str| {
        let (before, seconds) = reading.shortly_ago.as_ref()?;
        Some((sum(metric)? - before.sum(metric, &[]).unwrap_or(0.0)).max(0.0) / seconds.max(0.001))
    };
    let own = now.buckets("pointsman_overhead_seconds", "").remove("");
    let before =
        reading.minute_ago.as_ref().and_then(|before| before.buckets("pointsman_overhead_seconds", "").remove(""));
    let own = own.and_then(|own| own.since(before.as_ref()).quantile(0.99));
    let known = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), show);
    let second = [
        format!("{} req/s", known(per_second("pointsman_requests_total"), rate)),
        format!("{} failed in 1 h", known(failed_share(reading), percent)),
        format!("{} in flight", known(sum("pointsman_queue_in_flight"), count)),
        format!("{} waiting", known(sum("pointsman_queue_waiting"), count)),
        format!("{} tokens/s", known(tokens(reading), rate)),
        format!("{} $/h", known(per_second("pointsman_cost_dollars_total").map(|cost| cost * 3600.0), dollars)),
        format!("{} own time p99", known(own, time)),
    ];
    vec![Line::styled(first, strong()), Line::raw(second.join("  "))]
}

/// Tokens of prompts and answers per second.
fn tokens(reading: &Reading) -> Option<f64> {
    let (before, seconds) = reading.shortly_ago.as_ref()?;
    let kinds = ["prompt", "completion"].map(|kind| {
        let sum =
            |series: &super::series::Series| series.sum("pointsman_tokens_total", &[("kind", kind)]).unwrap_or(0.0);
        (sum(&reading.now) - sum(before)).max(0.0)
    });
    Some(kinds.iter().sum::<f64>() / seconds.max(0.001))
}

fn failed_share(reading: &Reading) -> Option<f64> {
    let total = &reading.reports[0].as_ref()?.total;
    (total.requests > 0).then(|| total.failed as f64 / total.requests as f64)
}

fn tab_line(screen: &Screen) -> Line<'static> {
    let tab = |(number, tab): (usize, &Tab)| {
        let style = if *tab == screen.tab { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        [Span::styled(format!("{} {}", number + 1, tab.name()), style), Span::raw("  ")]
    };
    Line::from(Tab::ALL.iter().enumerate().flat_map(tab).collect::<Vec<_>>())
}

/// The line below the table: what is shown, in which order, and with which of the requests left out.
fn note(screen: &Screen) -> String {
    let mut parts = Vec::new();
    if let Some(trouble) = &screen.trouble {
        parts.push(printable(trouble));
    }
    if screen.is_paused {
        parts.push("paused".to_owned());
    }
    for opened in &screen.opened {
        parts.push(printable(match opened {
            Opened::Requests { of, .. } => of,
            Opened::Text { title, .. } => title,
        }));
    }
    if screen.opened.is_empty() {
        let is_since_start = screen.reading.as_ref().is_some_and(|reading| reading.minute_ago.is_none());
        parts.extend(match screen.tab {
            Tab::Providers if is_since_start => Some("percentiles, shares and failures since the start".to_owned()),
            Tab::Providers => Some("percentiles, shares and failures of the last minute".to_owned()),
            Tab::Routes => Some("the last five minutes".to_owned()),
            Tab::Clients => Some("the last hour".to_owned()),
            Tab::Requests if screen.failed_only => Some("failed requests".to_owned()),
            Tab::Limits => Some("limits of which something is used".to_owned()),
            Tab::Strategies | Tab::Requests | Tab::Events => None,
        });
    }
    parts.join(" › ")
}

fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    grid: &Grid,
    (selected, (sorted, is_reversed)): (usize, (Option<usize>, bool)),
    has_colours: bool,
) {
    let cell = |text: String, is_number: bool, style: Style| {
        let line = Line::styled(text, style);
        widgets::Cell::from(Text::from(if is_number { line.right_aligned() } else { line }))
    };
    let heading = |(at, column): (usize, &super::grid::Column)| {
        let sign = match (sorted == Some(at), is_reversed) {
            (false, _) => "",
            (true, false) => "▾",
            (true, true) => "▴",
        };
        cell(format!("{}{sign}", column.name), column.is_number, strong())
    };
    // Columns that have no room are left out, from the right, rather than all of them cut.
    let mut room = usize::from(area.width);
    let fits = |column: &&super::grid::Column| {
        let wanted = usize::from(if column.width == 0 { LAST } else { column.width });
        let has_room = wanted <= room;
        room = room.saturating_sub(wanted + 1);
        has_room
    };
    let shown = grid.columns.iter().take_while(fits).count().max(1);
    let columns = grid.columns.get(..shown).unwrap_or(grid.columns);
    let head = widgets::Row::new(columns.iter().enumerate().map(heading).collect::<Vec<_>>());
    let style = |tone: Tone| match tone {
        _ if !has_colours => {
            if tone == Tone::Bad {
                strong()
            } else {
                Style::new()
            }
        }
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warn => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    };
    let row = |row: &super::grid::Row| {
        let cells = row.cells.iter().zip(columns);
        let cells = cells.map(|(one, column)| cell(printable(&one.text), column.is_number, style(one.tone)));
        widgets::Row::new(cells.collect::<Vec<_>>())
    };
    let width = |column: &super::grid::Column| match column.width {
        0 => Constraint::Min(LAST),
        width => Constraint::Length(width),
    };
    let drawn = widgets::Table::new(grid.rows.iter().map(row), columns.iter().map(width))
        .header(head)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!grid.rows.is_empty()).then_some(selected));
    frame.render_stateful_widget(drawn, area, &mut state);
}
