//! `pointsman report`: the requests of a ledger, added up, from a running server or from the ledger's folder.

mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use url::form_urlencoded::Serializer;

use super::key::{Server, Wrong};
use super::report::say_json;
use super::say;
use crate::observe::ledger::Time;
use crate::observe::ledger::folder::Reading;
use crate::observe::report::{Asked, Report, Tally, forms};

#[derive(Debug, Args)]
pub(super) struct Figures {
    /// Add up by these, with commas between: client, group, route, provider, model, strategy, approach, outcome, fault, status,
    /// day, hour.
    #[arg(long, value_name = "NAMES", default_value = "client,model")]
    by: String,
    #[command(flatten)]
    which: Which,
    /// Also count the questions of approaches as requests, each with its own tokens and cost, at its provider.
    #[arg(long)]
    inner: bool,
    /// Print CSV for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Write a page with charts to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The folder of a ledger, or one of its files, instead of a running server.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "admin_key", "config"])]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// The flags that choose requests.
#[derive(Debug, Args)]
struct Which {
    /// Only requests that began at this time or later: a moment such as 2026-11-26T14:05:00Z, a day, a time of day in UTC such
    /// as 14:05, or a span before now such as 30m, 24h, 7d [default: 24h].
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only requests that began before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only requests of this client.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Only requests for which this provider was tried.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only requests of this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only requests for this model, as the client or the provider calls it.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only requests that this strategy has decided on.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// Only requests with this outcome: failed, failed_over, a status such as 429, a class such as 5xx, an outcome, the code of an error.
    #[arg(long, value_name = "END")]
    outcome: Option<String>,
    /// Only requests that took at least this long, such as 10s.
    #[arg(long, value_name = "TIME")]
    slower_than: Option<String>,
    /// Only requests whose id, trace, error or reason of failure contains this text.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl Which {
    /// The parameters of the query for `GET /admin/report`.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { since, until, client, provider, route, model, strategy, outcome, slower_than, text } = self;
        [
            ("since", since),
            ("until", until),
            ("client", client),
            ("provider", provider),
            ("route", route),
            ("model", model),
            ("strategy", strategy),
            ("outcome", outcome),
            ("slower_than", slower_than),
            ("text", text),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

pub(super) fn run(figures: &Figures) -> ExitCode {
    let report = match figures.report() {
        Ok(report) => report,
        Err(wrong) => return wrong.exit(),
    };
    if let Some(file) = &figures.html
        && let Err(error) = std::fs::write(file, page::page(&report))
    {
        return Wrong::Failed(format!("{}: cannot be written: {error}", file.display())).exit();
    }
    if figures.server.wants_json() {
        say_json(&serde_json::to_value(&report).unwrap_or_default());
    } else if figures.csv {
        say(forms::csv(&report).trim_end());
    } else {
        say(forms::table(&report).trim_end());
    }
    ExitCode::SUCCESS
}

impl Figures {
    fn report(&self) -> Result<Report, Wrong> {
        let mut pairs = vec![("by", self.by.as_str())];
        pairs.extend(self.which.pairs());
        pairs.extend(self.inner.then_some(("inner", "true")));
        pairs.extend(self.html.is_some().then_some(("timeline", "true")));
        // What is wrong is told here, in the words of the command line.
        let (owned, now) = (pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), Time::now());
        let asked = Asked::read(owned, now);
        let asked = asked
            .map_err(|(name, wrong)| Wrong::Usage(format!("pointsman report: --{} {wrong}", name.replace('_', "-"))))?;
        let Some(path) = &self.ledger else {
            let query = Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let answer = self.server.read("pointsman report", &format!("/admin/report?{query}"))?;
            let strange =
                |error| Wrong::Failed(format!("pointsman report: the server's answer is not understood: {error}"));
            return serde_json::from_value(answer).map_err(strange);
        };
        let mut tally = Tally::new(&asked, now);
        let mut see = |record| {
            tally.add(&record);
            true
        };
        let failed = |error| Wrong::Failed(format!("pointsman report: {} cannot be read: {error}", path.display()));
        Reading::of(path).backwards(&asked.filter, &mut see).map_err(failed)?;
        Ok(tally.report())
    }
}
