//! Warnings about what works but surely is not meant, as far as only the strategy can tell: sentences for the log.

use crate::config::{Affinity, Config};
use crate::strategy::Succession;

/// The warnings about a configuration and its strategy. Asks the strategy, and so takes milliseconds.
pub fn advice(config: &Config, strategy: &Succession) -> Vec<String> {
    let mut advice = Vec::new();
    let name = &config.strategy.name;
    let place = |line: usize, key: &str| match line {
        0 => format!("{}: {key}", config.file.display()),
        line => format!("{}:{line}: {key}", config.file.display()),
    };
    let weights: Vec<f64> = config.providers.iter().map(|provider| provider.weight).collect();
    let differ = weights.iter().any(|weight| Some(weight) != weights.first());
    if differ && !strategy.heeds_weights() {
        let at = place(config.strategy.line, "routing.strategy");
        advice.push(format!(
            "{at}: the strategy {name} does not look at `weight`, so the weights of the providers have no effect; choose one \
             that does, or leave them out"
        ));
    }
    let known = config.affinity != Affinity::default();
    if !known && strategy.keeps_together() {
        let at = place(config.strategy.line, "routing.strategy");
        advice.push(format!(
            "{at}: the strategy {name} keeps requests together that belong together, but nothing says which do: set \
             routing.affinity"
        ));
    }
    advice
}
