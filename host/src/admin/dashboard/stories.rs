//! The pages of stories: a search, and the course of one request in words.

use std::fmt::Write as _;
use std::sync::Arc;

use super::cells::Table;
use super::view::{self, story_row};
use crate::html::escaped;
use crate::observe::ledger::{Filter, Record, Time};
use crate::observe::why::{Course, Mark, span};

/// The most stories on a page.
pub const SHOWN: usize = 100;

/// The fields of the search: parameter, label, and a hint.
const FIELDS: [(&str, &str, &str); 7] = [
    ("text", "Id or text", "of an error, a reason"),
    ("client", "Client", ""),
    ("provider", "Provider", ""),
    ("route", "Route", ""),
    ("model", "Model", ""),
    ("slower_than", "Slower than", "such as 10s"),
    ("since", "Since", "such as 30m"),
];

/// The ends that can be chosen; any other name is understood as well.
const ENDS: [(&str, &str); 9] = [
    ("", "any"),
    ("failed", "failed"),
    ("failed_over", "more than one provider"),
    ("5xx", "status 5xx"),
    ("4xx", "status 4xx"),
    ("429", "status 429"),
    ("succeeded", "succeeded"),
    ("timed_out", "timed out"),
    ("cancelled", "client left"),
];

/// A search as it was asked for.
#[derive(Debug)]
pub struct Search {
    /// The parameters that have a value.
    given: Vec<(String, String)>,
    /// The stories to look for; or the mistake in the question.
    pub filter: Result<Filter, String>,
}

impl Search {
    /// Reads a query; parameters that nobody knows are left out.
    pub fn read(query: &str, now: Time) -> Self {
        let (mut filter, mut given, mut wrong) = (Filter::default(), Vec::new(), None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match filter.set(&name, value, now) {
                Ok(true) => given.push((name.into_owned(), value.to_owned())),
                Ok(false) => {}
                Err((name, problem)) => {
                    given.push((name.to_owned(), value.to_owned()));
                    wrong = Some(format!("{name} {problem}."));
                }
            }
        }
        Self { given, filter: wrong.map_or(Ok(filter), Err) }
    }

    fn value(&self, name: &str) -> &str {
        self.given.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// The contents of the page.
    pub fn html(&self, stories: &[Arc<Record>], kept: usize) -> String {
        let mut out =
            String::from("<form method=\"get\" action=\"/admin/stories.html\" class=\"search\" role=\"search\">");
        for (name, label, hint) in FIELDS {
            let hint = if hint.is_empty() { String::new() } else { format!(" placeholder=\"{hint}\"") };
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<label>{label}<input name=\"{name}\" value=\"{}\"{hint} autocomplete=\"off\"></label>",
                escaped(self.value(name))
            );
        }
        out.push_str("<label>End<select name=\"outcome\">");
        let chosen = self.value("outcome");
        for (value, label) in ENDS {
            let selected = if value == chosen { " selected" } else { "" };
            let _ = write!(out, "<option value=\"{value}\"{selected}>{label}</option>");
        }
        if !ENDS.iter().any(|(value, _)| *value == chosen) {
            let chosen = escaped(chosen);
            let _ = write!(out, "<option value=\"{chosen}\" selected>{chosen}</option>");
        }
        let inner = if self.value("inner").is_empty() { "" } else { " checked" };
        let _ = write!(
            out,
            "</select></label><label class=\"check\"><input type=\"checkbox\" name=\"inner\" value=\"1\"{inner}>\
             questions of approaches</label><p class=\"last\"><button>Search</button>\
             <a class=\"button\" href=\"/admin/stories.html\">Clear</a></p></form>"
        );
        if let Err(problem) = &self.filter {
            let _ = write!(out, "<p class=\"problem\" role=\"alert\">{}</p>", escaped(problem));
        }
        let rows: Vec<_> = stories.iter().map(|record| story_row(record)).collect();
        let caption = match rows.len() {
            SHOWN => format!("The latest {SHOWN} that fit, the latest end first."),
            count => format!("{count} that fit, the latest end first; {kept} are kept in memory."),
        };
        let empty = "None that is kept fits.";
        Table { id: "stories", caption: &caption, columns: view::STORIES, empty }.html(&mut out, &rows);
        out
    }
}

/// The contents of the page of one request.
pub fn why(record: &Record, questions: &[Arc<Record>]) -> String {
    let course = Course::of(record, questions);
    let mut out = format!(
        "<p class=\"lead\">{}</p><p>{}</p><ol class=\"course\">",
        escaped(&course.title),
        escaped(&course.asked)
    );
    let mut is_open = false;
    for step in &course.steps {
        let (class, sign) = match step.mark {
            Mark::Plain => ("", ""),
            Mark::Good => ("good", "<span class=\"sign\" role=\"img\" aria-label=\"went well\">✓</span>"),
            Mark::Bad => ("bad", "<span class=\"sign\" role=\"img\" aria-label=\"went wrong\">✗</span>"),
        };
        let text = escaped(&step.text);
        // Writing to a String cannot fail.
        let _ = match step.at {
            Some(at) => {
                out.push_str(if is_open { "</ul></li>" } else { "" });
                is_open = true;
                write!(out, "<li class=\"{class}\"><b class=\"at\">{}</b> {sign}{text}<ul>", escaped(&span(at)))
            }
            None if is_open => write!(out, "<li class=\"{class}\">{text}</li>"),
            None => write!(out, "<li class=\"{class}\">{text}<ul>").map(|()| is_open = true),
        };
    }
    out.push_str(if is_open { "</ul></li></ol>" } else { "</ol>" });
    let id = url::form_urlencoded::byte_serialize(record.request_id.as_bytes()).collect::<String>();
    let _ = write!(
        out,
        "<p class=\"note\">As JSON: <code>GET /admin/stories/{}</code>. On the command line: <code>pointsman why {}</code>.</p>",
        escaped(&id),
        escaped(&record.request_id)
    );
    out.replace("<ul></ul>", "")
}

/// The contents of that page if nobody knows the request.
pub fn unknown(id: &str) -> String {
    format!(
        "<p class=\"problem\">No request <code>{}</code> is kept here. It may have been too long ago, or it was another \
         replica's.</p><p><a href=\"/admin/stories.html\">All stories</a></p>",
        escaped(id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::record::Attempt;

    const EVIL: &str = "\"><script>alert(1)</script>";

    fn record() -> Record {
        let attempt = serde_json::json!({
            "provider": EVIL, "target": EVIL, "at_ms": 0.005, "took_ms": 7.0, "outcome": "failed", "status": 500, "reason": EVIL,
        });
        let attempt: Attempt = serde_json::from_value(attempt).unwrap();
        Record {
            request_id: EVIL.into(),
            client: Some(EVIL.into()),
            method: "POST".into(),
            path: EVIL.into(),
            model: EVIL.into(),
            route: Some(EVIL.into()),
            strategy: Some(EVIL.into()),
            provider: Some(EVIL.into()),
            outcome: "failed".into(),
            status: Some(502),
            error: Some(EVIL.into()),
            message: Some(EVIL.into()),
            attempts: vec![attempt],
            ..Record::default()
        }
    }

    #[test]
    fn nothing_that_clients_or_providers_say_becomes_markup() {
        let record = Arc::new(record());
        let query: String = ["text", "client", "provider", "route", "model", "outcome", "since", "slower_than"]
            .iter()
            .map(|name| {
                format!("{name}={}&", url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>())
            })
            .collect();
        let search = Search::read(&query, Time(0));
        assert!(search.filter.is_err());
        let page = search.html(&[Arc::clone(&record)], 1) + &why(&record, &[]) + &unknown(EVIL);
        assert!(!page.contains("<script") && !page.contains("\"><script"), "{page}");
        assert!(page.matches("&lt;script&gt;").count() > 20);
    }

    #[test]
    fn the_course_is_a_list_of_steps_with_their_details() {
        let page = why(&record(), &[]);
        assert_eq!(page.matches("<ol").count(), page.matches("</ol>").count());
        assert_eq!(page.matches("<ul>").count(), page.matches("</ul>").count(), "{page}");
        assert_eq!(page.matches("<li").count(), page.matches("</li>").count(), "{page}");
        assert!(page.contains("aria-label=\"went wrong\""), "{page}");
    }

    #[test]
    fn a_search_keeps_what_was_asked_for() {
        let search = Search::read("client=team-a&outcome=queue_full&since=1h&colour=red&model=", Time(0));
        let page = search.html(&[], 5);
        assert!(
            page.contains("name=\"client\" value=\"team-a\"") && page.contains("value=\"queue_full\" selected"),
            "{page}"
        );
        assert!(!page.contains("red") && page.contains("0 that fit"), "{page}");
        let wrong = Search::read("since=soon", Time(0)).html(&[], 5);
        assert!(wrong.contains("role=\"alert\">since must be"), "{wrong}");
    }
}
