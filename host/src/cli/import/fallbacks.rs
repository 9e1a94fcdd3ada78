//! Fallbacks by model group become fallbacks of the routes, unless they lead nowhere or form a cycle.

use serde_yaml::Value;

use super::output::{FallbacksOut, RouteOut};
use super::report::{About, Report, Status, items, plain};
use crate::config::fits;

/// LiteLLM's default.
const MAX: u32 = 5;

/// The reason for a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Failure,
    ContextWindow,
    ContentPolicy,
}

/// A list of fallbacks as the file has it.
#[derive(Clone, Debug)]
pub(super) struct Given<'v> {
    pub reason: Reason,
    pub key: String,
    pub value: &'v Value,
    /// True for the default list of groups that have none of their own.
    pub is_default: bool,
}

/// Gives the routes their fallbacks.
pub(super) fn apply(routes: &mut [RouteOut], given: &[Given<'_>], max: Option<u32>, report: &mut Report) {
    for list in given.iter().filter(|list| !list.is_default) {
        for (index, item) in items(list.value).into_iter().enumerate() {
            for (from, names) in item.as_mapping().into_iter().flatten() {
                let (from, key) = (plain(from), format!("{}[{index}].{}", list.key, plain(from)));
                if from == "*" && exact(routes, "*").is_none() {
                    default(routes, list.reason, &key, names, report);
                    continue;
                }
                let Some(route) = exact(routes, &from) else {
                    let note = "this model group has no route left, so it has no fallbacks";
                    report.say(&About::File, key, Status::Manual, note);
                    continue;
                };
                let about = About::Group(routes.get(route).map(|route| route.group.clone()).unwrap_or_default());
                let refused = add(routes, route, list.reason, names);
                say(report, &about, key, list.reason, &refused);
            }
            if item.as_mapping().is_none() {
                let note = "is not a mapping from a model group to a list of others, and was left out";
                report.say(&About::File, format!("{}[{index}]", list.key), Status::Manual, note);
            }
        }
    }
    for list in given.iter().filter(|list| list.is_default) {
        default(routes, list.reason, &list.key, list.value, report);
    }
    for fallbacks in routes.iter_mut().filter_map(|route| route.fallbacks.as_mut()) {
        fallbacks.max = max.unwrap_or(MAX).clamp(1, 10);
    }
}

/// Gives a list to each route that has none for the reason.
fn default(routes: &mut [RouteOut], reason: Reason, key: &str, names: &Value, report: &mut Report) {
    let lacking: Vec<usize> = (0..routes.len()).filter(|index| list(routes, *index, reason).is_empty()).collect();
    for index in lacking {
        // A fallback that leads back is left out silently, because a default is not meant for the groups that it names.
        let _ = add(routes, index, reason, names);
    }
    let note = "fallbacks of each route that has none of its own, as far as they form no cycle";
    report.say(&About::File, key, Status::Approximate, note);
}

fn say(report: &mut Report, about: &About, key: String, reason: Reason, refused: &[String]) {
    let (name, status, when) = match reason {
        Reason::Failure => (
            "on_failure",
            Status::Approximate,
            "; LiteLLM uses them after every error, Pointsman when all targets have failed",
        ),
        Reason::ContextWindow => ("on_context_window", Status::Exact, ""),
        Reason::ContentPolicy => ("on_content_policy", Status::Exact, ""),
    };
    if refused.is_empty() {
        report.say(about, key, status, format!("{name} of the route{when}"));
    } else {
        let note = format!("{name} of the route{when}; left out: {}", refused.join(", "));
        report.say(about, key, Status::Manual, note);
    }
}

/// The route that has exactly this name.
fn exact(routes: &[RouteOut], name: &str) -> Option<usize> {
    routes.iter().position(|route| route.models.iter().any(|model| model == name))
}

/// The route that serves a model.
fn serving(routes: &[RouteOut], name: &str) -> Option<usize> {
    exact(routes, name).or_else(|| routes.iter().position(|route| route.models.iter().any(|model| fits(model, name))))
}

fn list(routes: &[RouteOut], route: usize, reason: Reason) -> &[String] {
    let fallbacks = routes.get(route).and_then(|route| route.fallbacks.as_ref());
    fallbacks.map_or(&[], |fallbacks| match reason {
        Reason::Failure => &fallbacks.on_failure,
        Reason::ContextWindow => &fallbacks.on_context_window,
        Reason::ContentPolicy => &fallbacks.on_content_policy,
    })
}

/// Adds names to a route's list, and returns the refused ones with the reason.
fn add(routes: &mut [RouteOut], route: usize, reason: Reason, names: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    for name in items(names) {
        if !name.is_string() {
            refused.push("an entry with parameters of its own".to_owned());
            continue;
        }
        let name = plain(name);
        if list(routes, route, reason).contains(&name) {
            continue;
        }
        match serving(routes, &name) {
            _ if name.contains('*') => refused.push(format!("{name} is a pattern and not a model")),
            None => refused.push(format!("no route serves {name}")),
            Some(to) if leads(routes, reason, to, route) => {
                refused.push(format!("{name} leads back here, and cycles are refused"));
            }
            Some(_) => {
                let Some(route) = routes.get_mut(route) else { continue };
                let fallbacks = route.fallbacks.get_or_insert_with(FallbacksOut::default);
                match reason {
                    Reason::Failure => &mut fallbacks.on_failure,
                    Reason::ContextWindow => &mut fallbacks.on_context_window,
                    Reason::ContentPolicy => &mut fallbacks.on_content_policy,
                }
                .push(name);
            }
        }
    }
    refused
}

/// True when fallbacks lead from one route to the other, or the two are the same.
fn leads(routes: &[RouteOut], reason: Reason, from: usize, to: usize) -> bool {
    let mut seen = vec![false; routes.len()];
    let mut next = vec![from];
    while let Some(route) = next.pop() {
        if route == to {
            return true;
        }
        if let Some(seen) = seen.get_mut(route).filter(|seen| !**seen) {
            *seen = true;
            next.extend(list(routes, route, reason).iter().filter_map(|name| serving(routes, name)));
        }
    }
    false
}
