//! The page of the configuration: the keys in force, the changes of the latest reloads, and the buttons that reload and drain.

use std::fmt::Write as _;

use super::cells::{Cell, Column, Holds, Row, Table, Tone};
use super::page::hidden;
use crate::admin::history::Entry;
use crate::config::Written;
use crate::html::escaped;

/// The most keys on a page.
const MOST: usize = 3000;

const KEYS: [Column; 2] = [Column::new("Key", Holds::Text, ""), Column::new("Value", Holds::Words, "")];

const RELOADS: [Column; 5] = [
    Column::new("Time", Holds::Text, ""),
    Column::new("Result", Holds::Text, ""),
    Column::new("Configuration", Holds::Number, "The number of the one that was in force afterwards"),
    Column::new("Cause", Holds::Text, ""),
    Column::new("Changes, or problems", Holds::Words, ""),
];

/// The contents of the page; `key` is a part of the keys that are looked for.
pub fn html(written: &Written, reloads: &[Entry], token: &str, key: &str, delay: f64) -> String {
    let mut out =
        String::from("<section aria-labelledby=\"h-do\"><h2 id=\"h-do\">Reload and drain</h2><div class=\"acts\">");
    act(
        &mut out,
        token,
        ("reload", "Reload", "Reload the configuration"),
        "The file is read again. If anything in it is wrong, what is in force stays.",
        "Yes, read the configuration again",
    );
    let wait =
        if delay > 0.0 { format!("after {delay} s (<code>server.drain_delay</code>)") } else { "at once".to_owned() };
    act(
        &mut out,
        token,
        ("drain", "Drain", "Drain and end this server"),
        &format!(
            "As with SIGTERM: it says that it is not ready; {wait} it takes no more connections, lets requests in flight \
             finish, and ends. Only whoever started it can start it again."
        ),
        "Yes, end this server",
    );
    out.push_str("</div></section><section aria-labelledby=\"h-reloads\"><h2 id=\"h-reloads\">Latest reloads</h2>");
    let rows: Vec<Row> = reloads.iter().rev().enumerate().map(|(at, entry)| reload(at, entry)).collect();
    let caption = "The latest first. Of secrets it says that they have changed, and nothing more.";
    Table { id: "reloads", caption, columns: &RELOADS, empty: "None since the start." }.html(&mut out, &rows);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "</section><section aria-labelledby=\"h-keys\"><h2 id=\"h-keys\">In force</h2>\
         <form method=\"get\" action=\"/admin/config.html\" class=\"choose\"><label>Keys with \
         <input name=\"key\" type=\"search\" value=\"{}\"></label> <button>Show</button></form>",
        escaped(key)
    );
    let all: Vec<(&str, Option<&str>)> = written.shown().filter(|(name, _)| name.contains(key)).collect();
    let rows: Vec<Row> = all.iter().take(MOST).map(|(name, value)| setting(name, *value)).collect();
    let caption = if all.len() > MOST {
        format!("The first {MOST} of {} keys; name a part of those that you look for.", all.len())
    } else {
        "Values stand here as they are written, so that variables keep their secrets. What is not written has its default."
            .to_owned()
    };
    Table { id: "keys", caption: &caption, columns: &KEYS, empty: "None." }.html(&mut out, &rows);
    out.push_str("</section>");
    out
}

fn act(out: &mut String, token: &str, (name, word, title): (&str, &str, &str), about: &str, yes: &str) {
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<details><summary>{word} …</summary><form method=\"post\" action=\"/admin/act\">{}\
         <input type=\"hidden\" name=\"act\" value=\"{name}\"><p>{about}</p>\
         <label class=\"check\"><input type=\"checkbox\" name=\"confirm\" value=\"yes\" required> {yes}</label>\
         <button class=\"{name}\">{title}</button></form></details>",
        hidden(token)
    );
}

fn setting(name: &str, value: Option<&str>) -> Row {
    let value = value.map_or_else(|| Cell::text("••• (not shown)").toned(Tone::Faint), Cell::text);
    Row { key: name.to_owned(), cells: vec![Cell::text(name), value] }
}

fn reload(at: usize, entry: &Entry) -> Row {
    let tone = match entry.result {
        "failed" => Tone::Bad,
        "reloaded" => Tone::Good,
        _ => Tone::Plain,
    };
    let lines = if entry.lines.is_empty() { "nothing".to_owned() } else { entry.lines.join("\n") };
    let cells = vec![
        Cell::text(httpdate::fmt_http_date(entry.at)),
        Cell::text(entry.result).toned(tone),
        Cell::count(entry.generation),
        Cell::text(entry.cause.clone()),
        Cell::text(lines),
    ];
    Row { key: at.to_string(), cells }
}
