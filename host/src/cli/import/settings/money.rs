//! The settings about money that are of no key and no deployment: budgets of vendors, of everybody, and their time zone.

use serde_yaml::Mapping;

use crate::cli::import::money::Budget;
use crate::cli::import::report::{About, Keys, Report, Status, number, plain};

/// The budgets of vendors; older files call them by other names.
pub(super) fn budgets<'v>(
    router: &mut Keys<'v>,
    litellm: &mut Keys<'v>,
    report: &mut Report,
) -> Vec<(String, String, Budget)> {
    let mut budgets = Vec::new();
    for keys in [router, litellm] {
        let Some(value) = keys.take("provider_budget_config") else { continue };
        let path = keys.path("provider_budget_config");
        for (vendor, budget) in value.as_mapping().into_iter().flatten() {
            let (vendor, key) = (plain(vendor), format!("{path}.{}", plain(vendor)));
            let one =
                |names: [&str; 2]| names.iter().find_map(|name| budget.get(name).filter(|value| !value.is_null()));
            let usd = one(["max_budget", "budget_limit"]).and_then(number);
            let time = one(["budget_duration", "time_period"]).map(plain);
            match Budget::of(usd, time.as_deref()) {
                Ok(budget) => budgets.push((vendor, key, budget)),
                Err(wrong) => report.say(&About::File, key, Status::Manual, wrong),
            }
        }
        if value.as_mapping().is_none_or(Mapping::is_empty) {
            report.say(&About::File, path, Status::Manual, "names no vendor, and was left out");
        }
    }
    budgets
}

/// The zone of budgets, as LiteLLM's `timezone` names it.
pub(super) fn zone(litellm: &mut Keys<'_>, report: &mut Report) -> Option<String> {
    let name = plain(litellm.take("timezone")?);
    let is_known = jiff::tz::TimeZone::get(&name).is_ok();
    let (status, note) = match is_known {
        true => (Status::Exact, "time_zone of the budgets of keys and teams"),
        false => (Status::Manual, "is not the name of a time zone, and was left out"),
    };
    report.say(&About::Section("clients"), litellm.path("timezone"), status, note);
    is_known.then_some(name)
}

/// The budget of all clients together, which has no place here: the report says what comes near.
pub(super) fn everybody(litellm: &mut Keys<'_>, report: &mut Report) {
    let most = litellm.take("max_budget");
    let time = litellm.take("budget_duration").map(plain);
    if most.is_none() && time.is_none() {
        return;
    }
    let note = match Budget::of(most.and_then(number), time.as_deref()) {
        Ok(Budget { usd, per }) => format!(
            "there is no budget of everybody: give all keys under `clients` one group, with budget: {{usd: {usd}, per: {per}}}, \
             or each provider a budget"
        ),
        Err(_) => "there is no budget of everybody: give all keys under `clients` one group with a budget".to_owned(),
    };
    for (name, given) in [("max_budget", most.is_some()), ("budget_duration", time.is_some())] {
        if given {
            report.say(&About::File, litellm.path(name), Status::Manual, note.as_str());
        }
    }
}
