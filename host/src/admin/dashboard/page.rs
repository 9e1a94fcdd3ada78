//! The frame of every page, and the overview.

use std::fmt::Write as _;

use super::cells::Table;
use super::chart::{Chart, Line, Unit};
use super::past::{Own, Past, Total};
use super::rings::Span;
use super::view::{self, View};
use crate::html::escaped;

/// The pages that the navigation names: address, name.
const PAGES: [(&str, &str); 6] = [
    ("/admin", "Overview"),
    ("/admin/stories.html", "Stories"),
    ("/admin/report.html", "Report"),
    ("/admin/events.html", "Events"),
    ("/admin/replicas.html", "Replicas"),
    ("/admin/config.html", "Configuration"),
];

/// An icon of its own, so that browsers ask for none: points of a railway.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
                    %3Cpath d='M3 15V1M3 11C3 7 13 8 13 1' fill='none' stroke='%230072B2' stroke-width='2.5'/%3E%3C/svg%3E";

/// The parts of a page beside its contents.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its address, if the navigation names it.
    pub path: &'a str,
    /// The token of its forms, and whether there is a session to end; nothing for a page without navigation.
    pub visitor: Option<(&'a str, bool)>,
    /// True for the page that the script keeps up to date.
    pub live: bool,
}

impl Frame<'_> {
    /// The page.
    pub fn around(&self, body: &str) -> String {
        let title = escaped(self.title);
        let mut page = String::with_capacity(body.len() + 2048);
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{title} – Pointsman</title>\
             <link rel=\"icon\" href=\"{ICON}\"><link rel=\"stylesheet\" href=\"/admin/dashboard.css\">"
        );
        if self.live {
            page.push_str("<script src=\"/admin/dashboard.js\" defer></script>");
        }
        page.push_str("</head><body><a class=\"skip\" href=\"#main\">Skip to the contents</a><header class=\"top\"><p class=\"brand\">Pointsman</p>");
        if let Some((token, has_session)) = self.visitor {
            page.push_str("<nav aria-label=\"Pages\"><ul>");
            for (path, name) in PAGES {
                let current = if path == self.path { " aria-current=\"page\"" } else { "" };
                let _ = write!(page, "<li><a href=\"{path}\"{current}>{name}</a></li>");
            }
            page.push_str(
                "</ul></nav><form method=\"get\" action=\"/admin/why.html\" class=\"ask\" role=\"search\" aria-label=\"One request\">\
                 <label for=\"ask\">Request</label> <input id=\"ask\" name=\"id\" placeholder=\"req_…, or the latest\" \
                 autocomplete=\"off\"> <button>Why?</button></form>",
            );
            if has_session {
                let _ = write!(
                    page,
                    "<form method=\"post\" action=\"/admin/logout\" class=\"out\">{}<button>Sign out</button></form>",
                    hidden(token)
                );
            }
        }
        let _ = write!(page, "</header><main id=\"main\"><h1>{title}</h1>{body}</main></body></html>");
        page
    }
}

/// The field with the token of a form.
pub fn hidden(token: &str) -> String {
    format!("<input type=\"hidden\" name=\"token\" value=\"{}\">", escaped(token))
}

/// The contents of the overview.
pub fn overview(view: &View, past: &Past, span: Span, provider: Option<&str>) -> String {
    let mut out = String::with_capacity(64 << 10);
    let figure = |name: &str| view.figures.get(name).figure(name);
    let list = |out: &mut String, figures: &[(&str, &str)]| {
        out.push_str("<dl class=\"figures\">");
        for (title, name) in figures {
            // Writing to a String cannot fail.
            let _ = write!(out, "<div><dt>{title}</dt>{}</div>", figure(name));
        }
        out.push_str("</dl>");
    };
    out.push_str(
        "<p id=\"live\" class=\"live\" role=\"status\">As of the time when this page was loaded; without JavaScript, load it \
         again to see more.</p>",
    );
    list(
        &mut out,
        &[
            ("Serving", "serving"),
            ("Providers", "providers"),
            ("Version", "version"),
            ("Up for", "uptime"),
            ("Configuration", "generation"),
            ("In force since", "since"),
            ("Latest reload", "reload"),
            ("Engine", "engine"),
            ("Replicas", "replicas"),
            ("Stories kept", "stories"),
        ],
    );
    let section = |out: &mut String, id: &str, title: &str| {
        let _ = write!(out, "<section aria-labelledby=\"h-{id}\"><h2 id=\"h-{id}\">{title}</h2>");
    };
    section(&mut out, "providers", "Providers");
    filter(&mut out, "providers", "Show providers with");
    let table = |id, caption, columns, empty| Table { id, caption, columns, empty };
    let tables = &view.tables;
    let caption = "Rates, shares, percentiles and errors are of the last minute, failovers and spend since the start.";
    table("providers", caption, view::PROVIDERS, "There are none.").html(&mut out, &tables.providers);
    out.push_str("</section>");
    out.push_str("<section aria-labelledby=\"h-queue\"><h2 id=\"h-queue\">Requests and queue</h2>");
    list(
        &mut out,
        &[
            ("Requests/s", "requests"),
            ("Failed attempts/s", "errors"),
            ("Answered without a provider/s", "alone"),
            ("In flight", "in-flight"),
            ("Waiting", "waiting"),
            ("Wait p50 / p95 / p99", "queue-wait"),
            ("Own time p50 / p95 / p99", "overhead"),
            ("Connections", "connections"),
        ],
    );
    out.push_str("<p class=\"note\">Rates and times are of the last minute.</p></section>");
    section(&mut out, "latest", "Latest failovers and refusals");
    let caption =
        "The latest 25 requests that needed more than one provider, and the latest 25 that failed or were refused.";
    table("latest", caption, view::STORIES, "There have been none.").html(&mut out, &tables.latest);
    out.push_str("</section>");
    charts_section(&mut out, past, span, provider);
    section(&mut out, "routes", "Routes and strategies");
    let caption = "Requests and reasons are of the latest 1 000 stories.";
    table("routes", caption, view::ROUTES, "There are none.").html(&mut out, &tables.routes);
    out.push_str("</section>");
    section(&mut out, "shadows", "Shadows");
    let caption = "Strategies that see what the one that decides sees; their decisions are only compared.";
    table("shadows", caption, view::SHADOWS, "None: routing.shadow names no strategy.").html(&mut out, &tables.shadows);
    out.push_str("</section>");
    section(&mut out, "limits", "Limits, the fullest first");
    let caption = "The 25 limits that are used up furthest, of clients, groups, routes, accounts and providers.";
    let empty = "No limit is set, or nothing of any is used.";
    table("limits", caption, view::LIMITS, empty).html(&mut out, &tables.limits);
    out.push_str("</section>");
    section(&mut out, "clients", "Clients");
    filter(&mut out, "clients", "Show clients with");
    let caption = "What each has used of its limits and its group's, and what it has spent.";
    table("clients", caption, view::CLIENTS, "No keys are set: whoever reaches the listener may ask.")
        .html(&mut out, &tables.clients);
    out.push_str("</section>");
    out
}

/// A field that the script makes work; without it, it stays hidden.
fn filter(out: &mut String, id: &str, label: &str) {
    let _ = write!(
        out,
        "<p class=\"filter\" hidden><label for=\"q-{id}\">{label}</label> <input id=\"q-{id}\" type=\"search\" \
         data-filter=\"{id}\" autocomplete=\"off\"> <span id=\"n-{id}\"></span></p>"
    );
}

fn charts_section(out: &mut String, past: &Past, span: Span, provider: Option<&str>) {
    out.push_str(
        "<section aria-labelledby=\"h-charts\"><h2 id=\"h-charts\">Charts</h2><form method=\"get\" action=\"/admin\" \
         class=\"choose\" id=\"choose\"><label>Span <select name=\"span\">",
    );
    for option in [Span::Minutes, Span::Day] {
        let selected = if option == span { " selected" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(out, "<option value=\"{}\"{selected}>{}</option>", option.name(), option.words());
    }
    out.push_str("</select></label> <label>Of <select name=\"provider\"><option value=\"\">everything</option>");
    for name in past.charted() {
        let selected = if Some(name) == provider { " selected" } else { "" };
        let name = escaped(name);
        let _ = write!(out, "<option value=\"{name}\"{selected}>{name}</option>");
    }
    out.push_str("</select></label> <button>Show</button></form><div id=\"charts\" class=\"charts\">");
    charts(out, past, span, provider);
    out.push_str("</div></section>");
}

/// The charts alone, of everything or of one provider.
pub fn charts(out: &mut String, past: &Past, span: Span, provider: Option<&str>) {
    let mut draw = |title: &str, unit, lines: &[Line<'_>]| Chart { title, unit, lines }.html(out, span);
    if let Some(name) = provider {
        let track = past.provider(name);
        let line = |name, own| Line { name, series: track.and_then(|track| track.series(own)) };
        draw("Attempts per second", Unit::Number, &[line("all", Own::Attempts), line("failed", Own::Errors)]);
        let first = [line("median", Own::P50), line("95 %", Own::P95)];
        draw("Time to the first token", Unit::Milliseconds, &first);
        draw("In flight", Unit::Number, &[line("requests", Own::InFlight)]);
        return;
    }
    let line = |name, total| Line { name, series: Some(past.series(total)) };
    let requests = [
        line("ended", Total::Requests),
        line("attempts that failed", Total::Errors),
        line("failovers", Total::Failovers),
    ];
    draw("Requests per second", Unit::Number, &requests);
    let first = [line("median", Total::FirstP50), line("95 %", Total::FirstP95), line("99 %", Total::FirstP99)];
    draw("Time to the first token of streams", Unit::Milliseconds, &first);
    let whole = [line("median", Total::WholeP50), line("95 %", Total::WholeP95), line("99 %", Total::WholeP99)];
    draw("Time of whole attempts", Unit::Milliseconds, &whole);
    let slowest = past.slowest(span, 3);
    let slowest = slowest.iter().map(|(name, series)| Line { name, series: Some(*series) });
    draw("The slowest providers: 95 % to the first token", Unit::Milliseconds, &slowest.collect::<Vec<_>>());
    let queue = [
        line("in flight", Total::InFlight),
        line("waiting", Total::Waiting),
        line("answered without a provider/s", Total::Alone),
    ];
    draw("In flight and waiting", Unit::Number, &queue);
    draw("Tokens per second", Unit::Number, &[line("in and out", Total::Tokens)]);
    draw("Dollars per hour", Unit::Dollars, &[line("cost", Total::Cost)]);
}

/// The page for signing in; `problem` says why it is shown again.
pub fn login(token: &str, problem: Option<&str>, of_clients: bool) -> String {
    let problem = problem
        .map_or(String::new(), |problem| format!("<p class=\"problem\" role=\"alert\">{}</p>", escaped(problem)));
    let which = if of_clients {
        "one of <code>server.api_keys</code>, as this server has no listener for operators (<code>server.admin</code>)"
    } else {
        "the operators' key, <code>server.admin.api_key</code>"
    };
    let body = format!(
        "{problem}<form method=\"post\" action=\"/admin/login\" class=\"login\">{}<input name=\"user\" value=\"operator\" autocomplete=\"username\" hidden><label for=\"key\">Key</label>\
         <input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" required autofocus \
         aria-describedby=\"which\"><p id=\"which\" class=\"note\">It is {which}.</p><button>Sign in</button></form>",
        hidden(token)
    );
    Frame { title: "Sign in", path: "", visitor: None, live: false }.around(&body)
}
