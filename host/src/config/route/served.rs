//! Checks all routes together: each name belongs to one route, a route's targets serve its models, and every fallback
//! leads to a route and in no cycle.

use std::collections::HashMap;

use super::read::Draft;
use super::target::Among;
use super::{Route, Target};
use crate::config::problem::{Place, nearest, quoted};
use crate::config::read::{Reader, Text};
use crate::config::wildcard::covers;

/// Reports problems between routes. If not `all` routes could be read, missing models are not reported.
pub(super) fn check(reader: &mut Reader<'_>, drafts: &[Draft], among: &Among<'_>, all: bool) {
    reached(reader, drafts);
    for draft in drafts {
        stars(reader, draft);
        if among.is_whole() {
            kept(reader, draft, among);
        }
    }
    if !all {
        return;
    }
    for (index, reason) in ["on_failure", "on_context_window", "on_content_policy"].into_iter().enumerate() {
        let mut edges = Vec::new();
        for draft in drafts {
            let names = draft.fallbacks.get(index).into_iter().flatten();
            edges.push(names.filter_map(|name| Some((leads_to(reader, name, drafts, among)?, name))).collect());
        }
        circles(reader, drafts, &edges, reason);
    }
    if among.is_whole() {
        idle(reader, drafts, among);
    }
}

/// Reports names that an earlier route already serves.
fn reached(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let mut exact: HashMap<&str, &Text> = HashMap::new();
    let mut wildcards: Vec<(usize, &Text)> = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        for model in &draft.models {
            if let Some(other) = exact.get(model.text.as_str()) {
                let message = format!("{} is {} on line {} already", quoted(&model.text), other.at.key, other.at.line);
                let help = "a model belongs to one route, which may have as many targets as it needs".to_owned();
                reader.findings.problem(&model.at, message, Some(help));
                continue;
            }
            exact.insert(&model.text, model);
            let earlier = wildcards.iter().find(|(route, other)| *route != index && covers(&other.text, &model.text));
            if let Some((_, other)) = earlier {
                let (key, line) = (&other.at.key, other.at.line);
                let message = format!("is never reached: {} of {key} on line {line} takes it", quoted(&other.text));
                let help = "the first route that fits is used; put this one before the other".to_owned();
                reader.findings.problem(&model.at, message, Some(help));
            }
            if model.text.contains('*') {
                wildcards.push((index, model));
            }
        }
    }
}

/// Reports targets with a `*` in their model that has nothing to stand for.
fn stars(reader: &mut Reader<'_>, draft: &Draft) {
    let starred = |target: &Target| target.model.as_ref().is_some_and(|model| model.contains('*'));
    let Some(without) = draft.route.models.iter().find(|model| draft.route.star(model).is_none()) else { return };
    for (_, at) in draft.route.targets.iter().zip(&draft.targets).filter(|(target, _)| starred(target)) {
        let message = format!("has a `*`, but {} of the route's models has none to fill it", quoted(without));
        let help = "put models without a `*` into a route of their own".to_owned();
        reader.findings.problem(&at.key("model", at.line), message, Some(help));
    }
}

/// Reports exact names that a target, or every provider, does not serve.
fn kept(reader: &mut Reader<'_>, draft: &Draft, among: &Among<'_>) {
    let exact = || draft.models.iter().filter(|model| !model.text.contains('*'));
    for (target, at) in draft.route.targets.iter().zip(&draft.targets) {
        let Some(provider) = among.providers.get(target.provider).filter(|_| target.model.is_none()) else { continue };
        if let Some(model) = exact().find(|model| !provider.serves(&model.text)) {
            let name = &provider.name;
            let message = format!("provider {name} does not have {} in its list of models", quoted(&model.text));
            let help = format!(
                "name the model as the provider does: {{provider: {name}, model: ...}}, or add it to the provider's list"
            );
            reader.findings.problem(at, message, Some(help));
        }
    }
    if draft.route.targets.is_empty() {
        for model in exact().filter(|model| !among.providers.iter().any(|provider| provider.serves(&model.text))) {
            let help = "name the `targets`, or add it to a provider's `models` or `model_map`".to_owned();
            reader.findings.problem(&model.at, format!("no provider serves {}", model.shown), Some(help));
        }
    }
}

/// The route that serves a fallback; if there is none, that is reported.
fn leads_to(reader: &mut Reader<'_>, name: &Text, drafts: &[Draft], among: &Among<'_>) -> Option<usize> {
    let Some(index) = drafts.iter().position(|draft| draft.route.fits(&name.text)) else {
        let known = drafts.iter().flat_map(|draft| &draft.route.models).map(String::as_str);
        let known: Vec<&str> = known.filter(|model| !model.contains('*')).collect();
        let help = match nearest(&name.text, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "a fallback must be a model that a route serves".to_owned(),
        };
        reader.findings.problem(&name.at, format!("no route serves {}", name.shown), Some(help));
        return None;
    };
    let draft = drafts.get(index)?;
    let is_exact = draft.route.models.contains(&name.text);
    // For exact names of the route itself this has been reported already.
    if !is_exact && among.is_whole() && !serves(&draft.route, &name.text, among) {
        let message = format!("no provider of {} on line {} serves {}", draft.at.key, draft.at.line, name.shown);
        reader.findings.problem(&name.at, message, None);
    }
    Some(index)
}

/// True when a target of the route, which fits the model, serves it.
fn serves(route: &Route, model: &str, among: &Among<'_>) -> bool {
    let provider = |index: usize| among.providers.get(index).is_none_or(|provider| provider.serves(model));
    if route.targets.is_empty() {
        return among.providers.iter().any(|provider| provider.serves(model));
    }
    route.targets.iter().any(|target| target.model.is_some() || provider(target.provider))
}

/// Reports each fallback that closes a cycle. `edges` has the fallbacks of each route with their routes.
fn circles(reader: &mut Reader<'_>, drafts: &[Draft], edges: &[Vec<(usize, &Text)>], reason: &str) {
    // Depth-first, without recursion, because a file may have thousands of routes. A route is on the path, done or new.
    let mut done = vec![false; drafts.len()];
    for start in 0..drafts.len() {
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((route, next)) = path.pop() {
            let edge = edges.get(route).and_then(|edges| edges.get(next)).copied();
            let Some((to, name)) = edge.filter(|_| !done.get(route).copied().unwrap_or(true)) else {
                done.iter_mut().skip(route).take(1).for_each(|done| *done = true);
                continue;
            };
            path.push((route, next + 1));
            if let Some(begin) = path.iter().position(|(on, _)| *on == to) {
                let names = path.iter().skip(begin).map(|(on, _)| *on).chain([to]);
                let names = names.filter_map(|on| drafts.get(on)).filter_map(|draft| draft.route.models.first());
                let names: Vec<&str> = names.map(String::as_str).collect();
                let message = match names.as_slice() {
                    [_, _] => format!("{} is served by this route itself", name.shown),
                    names => format!("forms a cycle: {}", names.join(" -> ")),
                };
                let help = format!(
                    "the chain of `{reason}` has to end; a route may name several models, which are tried in turn"
                );
                reader.findings.problem(&name.at, message, Some(help));
            } else {
                path.push((to, 0));
            }
        }
    }
}

/// Warns of providers that no route uses.
fn idle(reader: &mut Reader<'_>, drafts: &[Draft], among: &Among<'_>) {
    if drafts.is_empty() || drafts.iter().any(|draft| draft.route.targets.is_empty()) {
        return;
    }
    let asked = |index: usize| drafts.iter().any(|draft| draft.route.targets.iter().any(|it| it.provider == index));
    let unused = among.providers.iter().enumerate().filter(|(index, _)| !asked(*index));
    for (_, provider) in unused {
        let at = Place { key: "routes".to_owned(), line: drafts.first().map_or(0, |draft| draft.at.line) };
        reader
            .findings
            .warn(&at, &format!("no route has provider {} as a target, so it gets no request", provider.name));
    }
}
