//! What `pointsman check` says of a configuration that is right.

use std::collections::BTreeSet;

use crate::config::Config;

pub(super) fn summary(config: &Config) -> String {
    let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!(
        "{}: valid\n  {} provider{plural}: {}\n{}  strategy: {}{}",
        config.file.display(),
        names.len(),
        names.join(", "),
        routes(config),
        config.strategy.name,
        own_approaches(config)
    )
}

/// The line of the summary about approaches from files, if there are any.
fn own_approaches(config: &Config) -> String {
    let declared = config.approaches.entries.iter().filter(|entry| entry.path.is_some()).map(|entry| &entry.name);
    let names: BTreeSet<&str> = config.approaches.found.keys().chain(declared).map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { String::new() } else { format!("\n  approaches from files: {}", names.join(", ")) }
}

/// The line of the summary about routes, if there are any.
fn routes(config: &Config) -> String {
    const NAMED: usize = 20;
    let number = config.routes.len();
    let mut names: Vec<String> = config.routes.iter().take(NAMED).map(|route| route.name.clone()).collect();
    match number.saturating_sub(NAMED) {
        0 => {}
        more => names.push(format!("and {more} more")),
    }
    let plural = if number == 1 { "" } else { "s" };
    if number == 0 { String::new() } else { format!("  {number} route{plural}: {}\n", names.join(", ")) }
}
