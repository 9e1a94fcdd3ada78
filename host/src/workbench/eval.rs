//! Compares approaches on questions whose answers are known.
//!
//! The proxy is the real one, of a configuration or of none. Its providers are real too, or one [`Profile`] plays them all:
//! a model that knows the answers and errs as often as it is told to. That is arithmetic; it shows what several answers, judges
//! and limits of rates do to accuracy, time and cost, and says nothing about any model.
//!
//! `data` has the questions and graders (`pattern` for regular expressions), `pupil` is the played model, `drive` asks,
//! `figures` has the statistics, `report` and `page` present the result.

mod data;
mod drive;
mod figures;
mod page;
mod pattern;
mod profile;
mod pupil;
mod report;
#[cfg(test)]
mod tests;

pub use data::{Grader, Item};
pub use drive::{Contender, EvalError, Evaluation, evaluate};
pub use page::page;
pub use profile::Profile;
pub use report::{Report, table};

use crate::config::Config;

/// The text of a configuration with one provider, for a model that is played without one.
pub fn configuration(profile: &Profile) -> String {
    let price = profile.price.map(|(input, output)| format!("    price: {{input: {input}, output: {output}}}\n"));
    format!(
        "providers:\n  - name: played\n    base_url: http://played.invalid/v1\n    api_key: none\n{}routing:\n  health_check: {{enabled: false}}\n",
        price.unwrap_or_default()
    )
}

/// True when a provider has no price although another one has.
pub fn is_partly_priced(config: &Config) -> bool {
    let has_price = |priced: bool| config.providers.iter().any(|provider| provider.price.is_some() == priced);
    has_price(true) && has_price(false)
}
