//! The facts that strategies are told once: about their route, and about the targets that they choose among.

use crate::config::{self, Config};
use crate::routing::{Route, RouteFacts, Target, TargetFacts};

/// Of a provider that is asked for the model which the client names.
fn of(provider: &config::Provider) -> TargetFacts {
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

/// Of the route of everything: of all providers.
pub fn everything(config: &Config) -> RouteFacts {
    told(Route::EVERYTHING, config.providers.iter().map(of).collect(), config)
}

/// Of a route: of its targets in their order, or of all providers where it names none.
pub fn on(route: &config::Route, config: &Config) -> RouteFacts {
    if route.targets.is_empty() {
        return told(&route.name, config.providers.iter().map(of).collect(), config);
    }
    let facts = |(target, named): (Target, &config::Target)| {
        let of_provider = of(&config.providers[named.provider]);
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
    let targets = Target::of(route, &config.providers).into_iter().zip(&route.targets).map(facts).collect();
    told(&route.name, targets, config)
}

fn told(name: &str, targets: Vec<TargetFacts>, config: &Config) -> RouteFacts {
    let attributes = config.attributes.iter().map(|attribute| attribute.name.clone()).collect();
    RouteFacts { name: name.to_owned(), targets, attributes }
}
