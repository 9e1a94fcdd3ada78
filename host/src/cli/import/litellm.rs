//! Turns a LiteLLM configuration into one of Pointsman: reads, translates, writes and checks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::deployment;
use super::fallbacks;
use super::groups::{self, collect};
use super::keys::{self, Tables};
use super::money::Budget;
use super::output::{ProviderOut, RouteOut, TargetOut, TimeoutsOut, figure, providers, write};
use super::report::{About, Keys, Report, Status, items, plain};
use super::settings;
use crate::config;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The finished file, and the report on each key.
#[derive(Debug)]
pub(super) struct Imported {
    pub yaml: String,
    pub report: Report,
    /// The variables that it refers to.
    pub variables: BTreeSet<String>,
}

/// Translates the file at `path`, and the tables of keys and teams if there are any; the error is a text for its user.
pub(super) fn import(path: &Path, tables: Tables<'_>) -> Result<Imported, String> {
    let mut report = Report::default();
    let mut root = load(path)?;
    include(&mut root, path, &mut report)?;
    translate(&root, (path, tables), report)
}

fn load(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let length = fs::metadata(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?.len();
    if length > MAX_FILE {
        return Err(format!("{shown}: is larger than 4 MiB, too large for a configuration"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    let mut root: Value =
        serde_yaml::from_str(&text).map_err(|error| format!("{shown}: is not valid YAML: {error}"))?;
    root.apply_merge().map_err(|error| format!("{shown}: is not valid YAML: {error}"))?;
    Ok(root)
}

/// Merges the files that `include` names: lists are appended, other values are set if they are missing.
fn include(root: &mut Value, path: &Path, report: &mut Report) -> Result<(), String> {
    let Some(files) = root.as_mapping_mut().and_then(|root| root.remove("include")) else { return Ok(()) };
    for file in items(&files).into_iter().map(plain) {
        let full: PathBuf = path.parent().unwrap_or(Path::new("")).join(&file);
        let included = load(&full)?;
        let (Some(root), Value::Mapping(included)) = (root.as_mapping_mut(), included) else { continue };
        for (key, value) in included {
            match (root.get_mut(&key), value) {
                (Some(Value::Sequence(list)), Value::Sequence(more)) => list.extend(more),
                (Some(Value::Mapping(known)), Value::Mapping(more)) => {
                    for (key, value) in more {
                        known.entry(key).or_insert(value);
                    }
                }
                (Some(known), value) if known.is_null() => *known = value,
                (Some(_), _) => {}
                (None, value) => drop(root.insert(key, value)),
            }
        }
    }
    report.say(&About::File, "include", Status::Exact, "the files were merged");
    Ok(())
}

fn translate(root: &Value, (path, tables): (&Path, Tables<'_>), mut report: Report) -> Result<Imported, String> {
    let shown = path.display();
    let Some(mut top) = Keys::of("", Some(root)).filter(|_| !root.is_null()) else {
        return Err(format!("{shown}: is not a LiteLLM configuration: it must be a mapping with the key `model_list`"));
    };
    if root.get("providers").is_some() && root.get("model_list").is_none() {
        return Err(format!(
            "{shown}: has `providers` and no `model_list`: it is already a configuration of Pointsman"
        ));
    }
    let Some(Value::Sequence(models)) = top.take("model_list").filter(|list| !items(list).is_empty()) else {
        return Err(format!(
            "{shown}: has no list `model_list`, in which a LiteLLM configuration names its models\n  help: models that \
             LiteLLM keeps in its database are in no file; `GET /model/info` there lists them"
        ));
    };
    let credentials = credentials(&mut top, &mut report);
    let mut groups = Vec::new();
    for (index, entry) in models.iter().enumerate() {
        let Some((name, deployments)) = deployment::read(index, entry, &credentials, &mut report) else { continue };
        if name.matches('*').count() > 1 || name.is_empty() {
            let note = "is not a name, or has more than one `*`, so the deployment was left out";
            report.say(&About::File, format!("model_list[{index}].model_name"), Status::Manual, note);
            continue;
        }
        collect(&mut groups, name, deployments);
    }
    let mut settings = settings::read(top, &mut report);
    if tables.keys.is_some() || tables.teams.is_some() {
        let zone = settings.zone.take();
        keys::read(tables, zone.as_deref(), settings.clients(), &mut report)?;
    }
    let (mut routes, endpoints) = groups::routes(groups, settings.shuffled, &mut report);
    if routes.is_empty() {
        let lines: Vec<String> =
            report.lines.iter().filter(|line| line.status > Status::Approximate).map(ToString::to_string).collect();
        return Err(format!("{shown}: none of its models can be served here\n  {}", lines.join("\n  ")));
    }
    aliases(&mut routes, settings.aliases, &mut report);
    fallbacks::apply(&mut routes, &settings.fallbacks, settings.max_fallbacks, &mut report);
    let mut providers = providers(endpoints);
    grant(&mut providers, std::mem::take(&mut settings.budgets), &mut report);
    for route in &mut routes {
        finish(route, &providers, settings.stream_timeout);
        let priced = route.targets.iter().any(|target| target.price.is_some());
        route.strategy = (settings.by_price && priced).then_some("cheapest");
    }
    price(&routes, &mut settings.sections, &mut report);
    warn_of_budgets((&providers, &routes), &settings.sections, &mut report);
    let head = head(path, &report);
    let yaml = write(&head, &providers, &routes, &settings.sections, &report);
    let yaml = yaml.map_err(|error| format!("{shown}: cannot be written as YAML: {error}"))?;
    let variables = check(&yaml, path, &providers)?;
    Ok(Imported { yaml, report, variables })
}

/// Gives the providers of each vendor its budget, which they share.
fn grant(providers: &mut [ProviderOut], budgets: Vec<(String, String, Budget)>, report: &mut Report) {
    for (vendor, key, budget) in budgets {
        let mut of_vendor: Vec<&mut ProviderOut> =
            providers.iter_mut().filter(|provider| provider.vendor == vendor).collect();
        let has_own = of_vendor.iter().any(|provider| provider.limits.is_some() || provider.budget.is_some());
        let note = match of_vendor.as_mut_slice() {
            [] => {
                let note = "no provider of this vendor is left, so its budget was left out";
                report.say(&About::File, key, Status::Manual, note);
                continue;
            }
            [one] if one.budget.is_none() => {
                one.budget = Some(budget.written(None));
                format!("budget of the provider {}", one.name)
            }
            _ if has_own => {
                let note = format!(
                    "several providers of this vendor have limits of their own, so they cannot share a budget: give each its part \
                     of {} dollars per {}",
                    budget.usd, budget.per
                );
                report.say(&About::File, key, Status::Manual, note);
                continue;
            }
            several => {
                for (index, provider) in several.iter_mut().enumerate() {
                    provider.account = Some(provider.vendor);
                    provider.budget = (index == 0).then(|| budget.written(None));
                }
                format!("budget of the account {vendor}, which its providers share")
            }
        };
        report.say(&About::File, key, Status::Exact, note);
    }
}

/// Adds the section `prices` where targets have more rates than `price` can say.
fn price(routes: &[RouteOut], sections: &mut Vec<(&'static str, Mapping)>, report: &mut Report) {
    let mut by_provider = Mapping::new();
    for route in routes {
        for target in &route.targets {
            let Some(rates) = &target.rates else { continue };
            let model = target.model.clone().unwrap_or_else(|| route.group.clone());
            let of_provider =
                by_provider.entry(target.provider.as_str().into()).or_insert_with(|| Mapping::new().into());
            let Some(of_provider) = of_provider.as_mapping_mut() else { continue };
            match of_provider.get(&model) {
                Some(known) if known.as_mapping() != Some(rates) => {
                    let note = "has other rates in another group, and those count";
                    let key = format!("rates of {model} at {}", target.provider);
                    report.say(&About::Group(route.group.clone()), key, Status::Approximate, note);
                }
                Some(_) => {}
                None => drop(of_provider.insert(model.into(), rates.clone().into())),
            }
        }
    }
    if !by_provider.is_empty() {
        sections.push(("prices", [("providers".into(), by_provider.into())].into_iter().collect()));
    }
}

/// Says that budgets need prices, which LiteLLM has and the file does not.
fn warn_of_budgets(
    (providers, routes): (&[ProviderOut], &[RouteOut]),
    sections: &[(&'static str, Mapping)],
    report: &mut Report,
) {
    let of_clients = sections.iter().filter(|(name, _)| *name == "clients").flat_map(|(_, clients)| clients.values());
    let of_clients = of_clients.filter_map(Value::as_sequence).flatten().any(|one| one.get("budget").is_some());
    let budgets = of_clients || providers.iter().any(|provider| provider.budget.is_some());
    let is_unpriced = |target: &TargetOut| target.price.is_none() && target.rates.is_none();
    if budgets && routes.iter().flat_map(|route| &route.targets).any(is_unpriced) {
        let note = "a request under a budget is refused where the price of its model is not known: name LiteLLM's \
                    model_prices_and_context_window.json under prices.file (docs/prices.md)";
        report.say(&About::File, "prices", Status::Manual, note);
    }
}

/// `credential_list`: the values of each by its name.
fn credentials<'v>(top: &mut Keys<'v>, report: &mut Report) -> Vec<(String, &'v Mapping)> {
    let mut found = Vec::new();
    let Some(list) = top.take("credential_list") else { return found };
    for (index, item) in items(list).into_iter().enumerate() {
        let (name, values) = (item.get("credential_name"), item.get("credential_values").and_then(Value::as_mapping));
        let key = format!("credential_list[{index}]");
        match (name, values) {
            (Some(name), Some(values)) => {
                let other: Vec<String> = values
                    .keys()
                    .map(plain)
                    .filter(|key| !matches!(key.as_str(), "api_key" | "api_base" | "base_url" | "api_version"))
                    .collect();
                if other.is_empty() {
                    report.say(
                        &About::File,
                        key,
                        Status::Exact,
                        "its values were copied to each provider that uses it",
                    );
                } else {
                    let note =
                        format!("its values were copied to each provider that uses it, without {}", other.join(", "));
                    report.say(&About::File, key, Status::Unsupported, note);
                }
                found.push((plain(name), values));
            }
            _ => report.say(&About::File, key, Status::Manual, "has no name or no values, and was left out"),
        }
    }
    found
}

/// Adds other names of groups to their routes.
fn aliases(routes: &mut [RouteOut], aliases: Vec<(String, String, String)>, report: &mut Report) {
    for (alias, group, key) in aliases {
        let is_taken = routes.iter().any(|route| route.models.contains(&alias));
        match routes.iter_mut().find(|route| route.models.contains(&group)) {
            _ if is_taken => {
                report.say(
                    &About::File,
                    key,
                    Status::Manual,
                    "is also the name of a model group, so the alias was left out",
                );
            }
            _ if alias.contains('*') => {
                report.say(&About::File, key, Status::Manual, "has a `*`, so the alias was left out");
            }
            Some(route) => {
                let about = About::Group(route.group.clone());
                report.say(&about, key, Status::Exact, "one more name in the route's models");
                route.models.push(alias);
            }
            None => {
                let note = format!("the model group {group} has no route left, so the alias was left out");
                report.say(&About::File, key, Status::Manual, note);
            }
        }
    }
}

/// Fills in what depends on everything else.
fn finish(route: &mut RouteOut, providers: &[ProviderOut], stream_timeout: Option<f64>) {
    if let Some(seconds) = stream_timeout {
        let timeouts = route.timeouts.get_or_insert(TimeoutsOut { request: None, first_token: None });
        timeouts.first_token.get_or_insert_with(|| figure(seconds));
    }
    let weighted = route.targets.iter().any(|target| target.amount.is_some_and(|weight| weight > 0.0));
    for target in &mut route.targets {
        target.provider = providers.get(target.endpoint).map(|provider| provider.name.clone()).unwrap_or_default();
        match target.amount {
            Some(weight) if weight > 0.0 => target.weight = Some(figure(weight)),
            _ if weighted => target.tier = Some("fallback"),
            _ => {}
        }
    }
}

fn head(path: &Path, report: &Report) -> Vec<String> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    vec![
        format!("Made by `pointsman import litellm` from {file}."),
        report.summary(),
        "The comments above each part say what became of the keys that it was made from: exact, approximate (close, with what differs), \
         manual (you have to do something), unsupported (Pointsman has no such feature)."
            .to_owned(),
    ]
}

/// Checks the finished file, independently of the environment; returns the variables in it.
fn check(yaml: &str, path: &Path, providers: &[ProviderOut]) -> Result<BTreeSet<String>, String> {
    let variables = std::cell::RefCell::new(BTreeSet::new());
    let is_in = |text: &str, name: &str| text.contains(&format!("${{{name}}}"));
    let env = |name: &str| {
        // These are looked at whether the file names them or not.
        let is_looked_at = name.to_ascii_uppercase().ends_with("_PROXY") || name.starts_with("OTEL_");
        if is_looked_at && !is_in(yaml, name) {
            return None;
        }
        variables.borrow_mut().insert(name.to_owned());
        let url = providers.iter().any(|provider| is_in(&provider.base_url, name));
        Some(if url { "https://api.example/v1".to_owned() } else { "2024-10-21".to_owned() })
    };
    let made = path.with_file_name("imported.yaml");
    match config::parse(yaml, &made, &env, crate::strategy::builtins()) {
        Ok(_) => Ok(variables.into_inner()),
        Err(problems) => {
            let problems: Vec<String> = problems
                .problems
                .into_iter()
                .map(|problem| {
                    let help = problem.help.map(|help| format!(" ({})", help.replace('\n', " "))).unwrap_or_default();
                    format!("  {}: {}{help}", problem.key, problem.message)
                })
                .collect();
            Err(format!(
                "{}: the result is not a valid configuration, so nothing was written:\n{}\n  help: change the value that \
                 it comes from, or report it as a fault of the importer",
                path.display(),
                problems.join("\n")
            ))
        }
    }
}

/// The report as it is printed.
pub(super) fn printed(imported: &Imported) -> String {
    let mut text = String::new();
    for line in &imported.report.lines {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&format!("{}\n", imported.report.summary()));
    for secret in &imported.report.secrets {
        text.push_str(&format!(
            "warning: {secret} is a secret that was copied to the output unchanged; a variable would be safer\n"
        ));
    }
    if !imported.variables.is_empty() {
        let names: Vec<&str> = imported.variables.iter().map(String::as_str).collect();
        text.push_str(&format!("variables that the server needs: {}\n", names.join(", ")));
    }
    text
}
