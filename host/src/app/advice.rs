//! Warnings about settings that work but are surely not meant, which only the strategy can reveal: sentences for the
//! log.

use std::collections::HashSet;

use super::assemble::Live;
use crate::config::{Affinity, Config, StrategyChoice};
use crate::strategy::Succession;

/// The warnings about a configuration and the strategies of its routes, that of everything last. Asks the strategies, and
/// so takes milliseconds for each.
pub fn advice(config: &Config, live: &[Live]) -> Vec<String> {
    let mut advice = Vec::new();
    let place = |line: usize, key: &str| match line {
        0 => format!("{}: {key}", config.file.display()),
        line => format!("{}:{line}: {key}", config.file.display()),
    };
    let mut asked = HashSet::new();
    let mut about = |choice: &StrategyChoice, key: &str, whose: &str, weights: &[f64], strategy: &Succession| {
        let differ = weights.iter().any(|weight| Some(weight) != weights.first());
        let (at, name) = (place(choice.line, key), &choice.name);
        if differ && !strategy.heeds_weights() {
            advice.push(format!(
                "{at}: the strategy {name} does not look at `weight`, so the weights of the {whose} have no effect; choose \
                 one that does, or leave them out"
            ));
        }
        // It is asked once, however many routes it decides for.
        let is_new = asked.insert(name.clone());
        if is_new && config.affinity == Affinity::default() && strategy.keeps_together() {
            advice.push(format!(
                "{at}: the strategy {name} keeps requests together that belong together, but nothing says which do: set \
                 routing.affinity"
            ));
        }
    };
    for (index, (route, live)) in config.routes.iter().zip(live).enumerate() {
        let weights: Vec<f64> = route.targets.iter().map(|target| target.weight).collect();
        let key = format!("routes[{index}].strategy");
        let whose = format!("targets of route {}", route.name);
        match &route.strategy {
            Some(choice) => about(choice, &key, &whose, &weights, &live.strategy),
            None => about(&config.strategy, "routing.strategy", &whose, &weights, &live.strategy),
        }
    }
    if let (Some(everything), true) = (live.last(), config.routes.is_empty()) {
        let weights: Vec<f64> = config.providers.iter().map(|provider| provider.weight).collect();
        about(&config.strategy, "routing.strategy", "providers", &weights, &everything.strategy);
    }
    advice
}
