//! The targets of one route: each is a provider's name, or a mapping with more keys.

use super::{Target, TargetTier};
use crate::config::Provider;
use crate::config::node::{Node, NodeKind};
use crate::config::prices::price;
use crate::config::problem::{Place, suggest};
use crate::config::provider::{context, labels, several_stars};
use crate::config::read::{Reader, Section, Text};
use crate::config::schema::TARGET;

/// The providers that targets can name.
pub(super) struct Among<'a> {
    pub providers: &'a [Provider],
    /// All names in the file, even of providers that could not be read.
    written: Vec<&'a str>,
}

impl<'a> Among<'a> {
    pub fn new(top: &Section<'a>, providers: &'a [Provider]) -> Self {
        let items = match top.get("providers") {
            Some((_, Node { kind: NodeKind::List(items), .. })) => items.as_slice(),
            _ => &[],
        };
        let written = items.iter().map(|item| item.get("name").and_then(Node::as_text).unwrap_or_default());
        Self { providers, written: written.collect() }
    }

    /// True when every provider of the file could be read; otherwise a missing name proves nothing.
    pub fn is_whole(&self) -> bool {
        self.written.len() == self.providers.len()
    }
}

/// The targets of the route, and their places in the file.
pub(super) fn targets(reader: &mut Reader<'_>, route: &Section<'_>, among: &Among<'_>) -> Vec<(Target, Place)> {
    let items = reader.list(route, "targets");
    if let Some((at, node)) = route.get("targets")
        && node.describe() == "a list"
        && items.is_empty()
    {
        let help = "without `targets`, every provider that serves the model is a target".to_owned();
        reader.findings.problem(&at, "has no target", Some(help));
    }
    let mut targets: Vec<(Target, Place)> = Vec::new();
    for (at, node) in items {
        let Some(target) = target(reader, node, &at, among) else { continue };
        let same = |other: &&(Target, Place)| (other.0.provider, &other.0.model) == (target.provider, &target.model);
        if let Some((_, other)) = targets.iter().find(same) {
            let message =
                format!("is the same as {} on line {}: the provider and the model are equal", other.key, other.line);
            let help = "a larger `weight` gives a target more requests; a different `model` makes a different target"
                .to_owned();
            reader.findings.problem(&at, message, Some(help));
            continue;
        }
        targets.push((target, at));
    }
    targets
}

fn target(reader: &mut Reader<'_>, node: &Node, at: &Place, among: &Among<'_>) -> Option<Target> {
    if matches!(node.kind, NodeKind::Scalar(_)) {
        let found = reader.text_at(node, at.clone(), false).ok()?;
        let (index, provider) = named(reader, &found, among)?;
        return Some(of(index, provider, at.line));
    }
    let section = reader.mapping(Some(node), at.clone(), Some(TARGET)).ok()?;
    let found = match reader.text(&section, "provider").ok()? {
        Some(found) => named(reader, &found, among),
        None => {
            let help = suggest("", among.written.iter().copied(), "available");
            reader.findings.problem(&section.place("provider"), "is required", help);
            None
        }
    };
    let model = model(reader, &section);
    let tiers = [("primary", TargetTier::Primary), ("fallback", TargetTier::Fallback)];
    let tier = reader.one_of(&section, "tier", &tiers, false);
    let weight = reader.positive(&section, "weight", found.map_or(1.0, |(_, provider)| provider.weight));
    let own = labels(reader, &section);
    let (price, reported) = price(reader, &section);
    if reported {
        let help = Some("it belongs to `providers[].price`, as it says how to read the provider's answers".to_owned());
        reader.not(&section.place("price"), "a number, 0 or more", "reported", help);
    }
    let context = context(reader, &section);
    let (index, provider) = found?;
    let usual = of(index, provider, at.line);
    let mut labels = usual.labels;
    for (key, value) in own {
        match labels.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => labels.push((key, value)),
        }
    }
    Some(Target {
        model,
        weight,
        tier: tier.unwrap_or(usual.tier),
        labels,
        price: price.or(usual.price),
        context: context.or(usual.context),
        ..usual
    })
}

/// The target that consists of a provider alone.
fn of(index: usize, provider: &Provider, line: usize) -> Target {
    Target {
        provider: index,
        model: None,
        weight: provider.weight,
        tier: if provider.fallback_only { TargetTier::Fallback } else { TargetTier::Primary },
        labels: provider.labels.clone(),
        price: provider.price,
        context: provider.context,
        line,
    }
}

/// The provider of that name. A provider that could not be read is not reported again.
fn named<'a>(reader: &mut Reader<'_>, found: &Text, among: &Among<'a>) -> Option<(usize, &'a Provider)> {
    let known = among.providers.iter().enumerate().find(|(_, provider)| provider.name == found.text);
    if known.is_none() && !among.written.contains(&found.text.as_str()) {
        let names = among.providers.iter().map(|provider| provider.name.as_str());
        let help = suggest(&found.text, names, "available");
        reader.findings.problem(&found.at, format!("no provider is called {}", found.shown), help);
    }
    known
}

/// The provider's own name for the model.
fn model(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<String> {
    let found = reader.text(section, "model").ok()??;
    match found.text.matches('*').count() {
        _ if found.text.is_empty() => drop(reader.findings.problem(&found.at, "must not be empty", None)),
        0 | 1 => return Some(found.text),
        _ => drop(several_stars(reader, &found.at)),
    }
    None
}
