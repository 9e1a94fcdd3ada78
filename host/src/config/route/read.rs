//! Reads each route by itself from the file.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::served;
use super::target::{Among, targets};
use super::{Fallbacks, Hedge, HedgeAfter, Route, RouteTimeouts, TargetTier};
use crate::config::Provider;
use crate::config::limits::limits;
use crate::config::problem::{Place, quoted};
use crate::config::provider::{illegal_name, several_stars};
use crate::config::read::{Reader, Section, Text, Zero};
use crate::config::schema::{FALLBACKS, HEDGE, ROUTE, ROUTE_TIMEOUTS};
use crate::config::strategy::Known;

/// The largest legal `max`: more fallbacks for one request only keep a client waiting.
const MAX_FALLBACKS: u64 = 10;

/// The default share of requests that may have a second attempt: those beyond the 95th percentile.
const HEDGED: f64 = 0.05;

/// The legal waits before a second attempt, in seconds.
const AFTER: RangeInclusive<f64> = 0.001..=3600.0;

/// A route, with the places in the file of the parts that are checked against other routes.
pub(super) struct Draft {
    pub route: Route,
    pub at: Place,
    /// In the order of `route.models`.
    pub models: Vec<Text>,
    /// In the order of `route.targets`.
    pub targets: Vec<Place>,
    /// In the order of `route.fallbacks`: `on_failure`, `on_context_window`, `on_content_policy`.
    pub fallbacks: [Vec<Text>; 3],
}

/// All routes that could be read; the others have been reported.
pub(in crate::config) fn routes(
    reader: &mut Reader<'_>,
    top: &Section<'_>,
    providers: &[Provider],
    strategies: &Known<'_>,
) -> Vec<Route> {
    let items = reader.list(top, "routes");
    if let Some((at, node)) = top.get("routes")
        && node.describe() == "a list"
        && items.is_empty()
    {
        let help = "without `routes`, every provider may serve every model that it has".to_owned();
        reader.findings.problem(&at, "has no route", Some(help));
    }
    let among = Among::new(top, providers);
    let mut names = HashMap::new();
    let mut drafts = Vec::new();
    let number = items.len();
    for (at, node) in items {
        let Ok(section) = reader.mapping(Some(node), at, Some(ROUTE)) else { continue };
        drafts.extend(route(reader, &section, &among, strategies, &mut names));
    }
    served::check(reader, &drafts, &among, number == drafts.len());
    drafts.into_iter().map(|draft| draft.route).collect()
}

/// The name of the route that every configuration has, for what belongs to none of its own.
const RESERVED: &str = "default";

fn route(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    among: &Among<'_>,
    strategies: &Known<'_>,
    names: &mut HashMap<String, Place>,
) -> Option<Draft> {
    let models = models(reader, section);
    let name = name(reader, section, &models, names);
    let (targets, places): (Vec<_>, Vec<_>) = targets(reader, section, among).into_iter().unzip();
    let strategy = match reader.text(section, "strategy") {
        Ok(Some(found)) => strategies.resolve(reader, found),
        Ok(None) | Err(_) => None,
    };
    let own = reader.section(section, "timeouts", Some(ROUTE_TIMEOUTS));
    let mut seconds = |key| reader.seconds(&own, key, Zero::Illegal);
    let timeouts = RouteTimeouts {
        request: seconds("request"),
        connect: seconds("connect"),
        first_token: seconds("first_token"),
        idle: seconds("idle"),
    };
    let (fallbacks, named) = fallbacks(reader, section);
    let hedge = hedge(reader, section);
    let approach = reader.text(section, "approach").ok().flatten().map(|found| (found.text, found.at.line));
    if hedge.is_some() && targets.len() == 1 {
        let at = section.place("hedge");
        reader
            .findings
            .warn(&at, "has no effect, because the route has only one target and a second attempt needs another one");
    }
    if !targets.is_empty() && targets.iter().all(|target| target.tier == TargetTier::Fallback) {
        let at = section.place("targets");
        reader.findings.warn(&at, "are all in the tier `fallback`, so there is no primary target");
    }
    let route = Route {
        name: name.unwrap_or_default(),
        line: section.at.line,
        models: models.iter().map(|model| model.text.clone()).collect(),
        targets,
        strategy,
        timeouts,
        fallbacks,
        hedge,
        approach,
        limits: limits(reader, section),
    };
    (!models.is_empty()).then(|| Draft { route, at: section.at.clone(), models, targets: places, fallbacks: named })
}

/// The names and patterns of the models that the route serves; empty only after a problem.
fn models(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<Text> {
    let listed = reader.list(section, "models");
    if listed.is_empty() && section.get("models").is_none_or(|(_, node)| node.describe() == "a list") {
        let help = "such as models: [gpt-4o, \"gpt-4o-*\"], or [\"*\"] for every model".to_owned();
        reader.findings.problem(&section.place("models"), "is required", Some(help));
    }
    let mut models: Vec<Text> = Vec::new();
    for (at, node) in listed {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        if found.text.is_empty() {
            reader.findings.problem(&found.at, "must not be empty", None);
        } else if found.text.matches('*').count() > 1 {
            several_stars(reader, &found.at);
        } else {
            models.push(found);
        }
    }
    models
}

/// The route's own name, or else the name of its first model.
fn name(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    models: &[Text],
    names: &mut HashMap<String, Place>,
) -> Option<String> {
    let own = reader.text(section, "name").ok()?;
    let found = own.as_ref().or(models.first())?;
    if let Some(wrong) = illegal_name(&found.text) {
        let help = own
            .is_none()
            .then(|| "a route without a `name` has the name of its first model; give it a `name`".to_owned());
        reader.findings.problem(&found.at, wrong, help);
        return None;
    }
    if found.text == RESERVED {
        let message = format!("{} is the name of the route of everything that belongs to no other", quoted(RESERVED));
        reader.findings.problem(&found.at, message, Some("give the route another `name`".to_owned()));
        return None;
    }
    if let Some(other) = names.get(&found.text) {
        // Two routes for the same model are reported elsewhere.
        if own.is_some() || !other.key.contains(".models[") {
            let (key, line) = (&other.key, other.line);
            let message = format!("must be unique, but {key} on line {line} is {} too", quoted(&found.text));
            reader.findings.problem(&found.at, message, None);
        }
        return None;
    }
    names.insert(found.text.clone(), found.at.clone());
    Some(found.text.clone())
}

/// The fallbacks, and the place of each of their names.
fn fallbacks(reader: &mut Reader<'_>, section: &Section<'_>) -> (Fallbacks, [Vec<Text>; 3]) {
    let section = reader.section(section, "fallbacks", Some(FALLBACKS));
    let named = ["on_failure", "on_context_window", "on_content_policy"].map(|reason| {
        let mut names: Vec<Text> = Vec::new();
        for (at, node) in reader.list(&section, reason) {
            let Ok(found) = reader.text_at(node, at, false) else { continue };
            if found.text.contains('*') || found.text.is_empty() {
                let help = "such as claude-sonnet-4-5, a model that a route serves".to_owned();
                reader.not(&found.at, "the exact name of a model", &found.shown, Some(help));
            } else if names.iter().any(|other| other.text == found.text) {
                reader.findings.problem(&found.at, format!("{} is given twice", found.shown), None);
            } else {
                names.push(found);
            }
        }
        names
    });
    let texts = |names: &[Text]| names.iter().map(|name| name.text.clone()).collect();
    let [failure, window, policy] = &named;
    let wanted = format!("a number of fallbacks from 1 to {MAX_FALLBACKS}");
    let max = reader.integer(&section, "max", &wanted, 1, MAX_FALLBACKS).and_then(|max| u32::try_from(max).ok());
    let fallbacks = Fallbacks {
        on_failure: texts(failure),
        on_context_window: texts(window),
        on_content_policy: texts(policy),
        max: max.unwrap_or(Fallbacks::default().max),
    };
    (fallbacks, named)
}

fn hedge(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Hedge> {
    let (at, node) = section.get("hedge")?;
    let section = reader.mapping(Some(node), at, Some(HEDGE)).ok()?;
    let at_most =
        reader.number_that(&section, "at_most", "a share above 0 and up to 1", |share| share > 0.0 && share <= 1.0);
    let Some((_, node)) = section.get("after") else {
        let help = "p95, or a number of seconds".to_owned();
        reader.findings.problem(&section.place("after"), "is required", Some(help));
        return None;
    };
    let after = if node.as_text() == Some("p95") {
        HedgeAfter::P95
    } else {
        let wanted = "p95, or a number of seconds from 0.001 to 3600";
        let seconds = reader.number_that(&section, "after", wanted, |seconds| AFTER.contains(&seconds))?;
        HedgeAfter::Fixed(Duration::try_from_secs_f64(seconds).ok()?)
    };
    Some(Hedge { after, at_most: at_most.unwrap_or(HEDGED) })
}
