//! `account`, `limits` and `budget` of providers: those with the same account at their vendor share its limits.

use super::{illegal_name, limits};
use crate::config::problem::Place;
use crate::config::read::{Reader, Section};
use crate::config::{Limits, Provider};

/// What a provider's section says about its account.
pub(super) struct Granted {
    /// Its account; `None` is one of its own.
    pub account: Option<String>,
    /// The limits that stand here.
    pub limits: Limits,
    /// Where they stand.
    pub at: Place,
}

/// Reads the keys of one provider.
pub(super) fn granted(reader: &mut Reader<'_>, section: &Section<'_>) -> Granted {
    let account = reader.text(section, "account").ok().flatten().and_then(|found| match illegal_name(&found.text) {
        Some(wrong) => {
            reader.findings.problem(&found.at, wrong, None);
            None
        }
        None => Some(found.text),
    });
    let written = if section.get("limits").is_some() { "limits" } else { "budget" };
    let at = section.get(written).map_or_else(|| section.at.clone(), |(at, _)| at);
    Granted { account, limits: limits(reader, section), at }
}

/// Gives every provider the limits of its account, which may stand at any one of those that share it.
pub(super) fn share(reader: &mut Reader<'_>, providers: &mut [Provider], places: &[Place]) {
    for later in 0..providers.len() {
        let Provider { account, limits, .. } = &providers[later];
        if limits.is_empty() {
            continue;
        }
        let same = |earlier: &Provider| earlier.account == *account && !earlier.limits.is_empty();
        let Some(earlier) = providers[..later].iter().position(same) else { continue };
        if providers[earlier].limits != *limits {
            let Place { key, line, .. } = &places[earlier];
            let message = format!("differs from {key} on line {line}, which is of the same account, {account}");
            let help = "write the limits of an account at one of its providers".to_owned();
            reader.findings.problem(&places[later], message, Some(help));
        }
    }
    let of_accounts: Vec<(String, Limits)> = providers
        .iter()
        .filter(|one| !one.limits.is_empty())
        .map(|one| (one.account.clone(), one.limits.clone()))
        .collect();
    for provider in providers {
        if let Some((_, limits)) = of_accounts.iter().find(|(account, _)| *account == provider.account) {
            provider.limits = limits.clone();
        }
    }
}
