//! What strategies are told once of the targets that they choose among.

use crate::config;
use crate::routing::{Target, TargetFacts};

/// Of a provider that is asked for the model which the client names.
pub fn of(provider: &config::Provider) -> TargetFacts {
    TargetFacts {
        name: provider.name.clone(),
        provider: provider.name.clone(),
        model: String::new(),
        kind: match provider.kind {
            config::ProviderKind::OpenAi => "openai",
            config::ProviderKind::Azure => "azure",
        },
        weight: provider.weight,
        fallback_only: provider.fallback_only,
        max_concurrent: provider.max_concurrent.unwrap_or(0),
        models: provider.models.clone(),
        context: provider.context.unwrap_or(0),
        price: provider.price.map(|price| (price.input, price.output)),
        labels: provider.labels.clone(),
    }
}

/// Of the targets of a route, in its order; of all providers where it names none.
pub fn on(route: &config::Route, providers: &[config::Provider]) -> Vec<TargetFacts> {
    if route.targets.is_empty() {
        return providers.iter().map(of).collect();
    }
    let facts = |(target, named): (Target, &config::Target)| {
        let of_provider = of(&providers[named.provider]);
        TargetFacts {
            name: target.name,
            model: named.model.clone().unwrap_or_default(),
            weight: named.weight,
            fallback_only: target.fallback,
            // It is asked for that model alone, whatever its provider lists.
            models: if named.model.is_some() { Vec::new() } else { of_provider.models.clone() },
            context: named.context.unwrap_or(0),
            price: target.price,
            labels: named.labels.clone(),
            ..of_provider
        }
    };
    Target::of(route, providers).into_iter().zip(&route.targets).map(facts).collect()
}
