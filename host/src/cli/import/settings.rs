//! `litellm_settings`, `router_settings` and `general_settings`: routing, timeouts, logging and access.

mod known;
mod money;

use serde_yaml::{Mapping, Value};

use super::fallbacks::{Given, Reason};
use super::money::Budget;
use super::output::figure;
use super::report::{About, Keys, Report, Status, number, plain, text, truth};
use known::{GENERAL, LITELLM, ROUTER, TOP};

/// The default of OpenAI's SDKs. LiteLLM's default is 6000 s, so a request that hangs would hold its client for 100
/// minutes.
const REQUEST_TIMEOUT: f64 = 600.0;

/// The note on a setting that both sections have.
const OTHER: &str = "is also in router_settings, which takes precedence";

/// The settings that can be translated.
#[derive(Debug)]
pub(super) struct Settings<'v> {
    /// True for LiteLLM's simple shuffle, which uses weights.
    pub shuffled: bool,
    /// True when routes with prices use the strategy `cheapest`.
    pub by_price: bool,
    /// Other names of model groups: the name, the group, and the key that says so.
    pub aliases: Vec<(String, String, String)>,
    pub fallbacks: Vec<Given<'v>>,
    pub max_fallbacks: Option<u32>,
    /// The timeout for streams of routes without one, in seconds.
    pub stream_timeout: Option<f64>,
    /// The budget of each vendor, with the key that says so.
    pub budgets: Vec<(String, String, Budget)>,
    /// The time zone in which days of budgets begin.
    pub zone: Option<String>,
    /// The sections of the output, in order.
    pub sections: Vec<(&'static str, Mapping)>,
}

impl Settings<'_> {
    /// The section `clients`, which is the last one.
    pub fn clients(&mut self) -> &mut Mapping {
        if self.sections.last().is_none_or(|(name, _)| *name != "clients") {
            self.sections.push(("clients", Mapping::new()));
        }
        let at = self.sections.len() - 1;
        &mut self.sections[at].1
    }
}

/// Reads all settings; `top` has the remaining keys at top level.
pub(super) fn read<'v>(mut top: Keys<'v>, report: &mut Report) -> Settings<'v> {
    let mut section = |name: &str, report: &mut Report| {
        let value = top.take(name);
        Keys::of(name, value).unwrap_or_else(|| {
            report.say(&About::File, name, Status::Manual, "is not a mapping, and was left out");
            Keys::none(name)
        })
    };
    let (mut router, mut litellm) = (section("router_settings", report), section("litellm_settings", report));
    let mut general = section("general_settings", report);
    let mut routing = Mapping::new();
    let (strategy, shuffled, by_price) = strategy(&mut router, report);
    routing.insert("strategy".into(), strategy.into());
    retries(&mut router, &mut litellm, &mut routing, report);
    let tracked = health(&mut router, &mut litellm, &mut general, &mut routing, report);
    let timeouts = timeouts(&mut router, &mut litellm, report);
    let stream_timeout = stream_timeout(&mut router, report);
    let aliases = aliases(&mut router, &mut litellm, report);
    let (fallbacks, max_fallbacks) = fallbacks(&mut router, &mut litellm, report);
    let monitoring = monitoring(&mut router, &mut litellm, tracked, report);
    let queue = count(&mut general, "global_max_parallel_requests", "queue", "max_concurrent", 1.0, report);
    let server = server(&mut general, report);
    let clients = clients(&mut general, report);
    let state = state(&mut router, report);
    let budgets = money::budgets(&mut router, &mut litellm, report);
    let zone = money::zone(&mut litellm, report);
    money::everybody(&mut litellm, report);
    router.rest(report, &About::File, |key| known::of(ROUTER, key));
    litellm.rest(report, &About::File, |key| known::of(LITELLM, key));
    general.rest(report, &About::File, |key| known::of(GENERAL, key));
    top.rest(report, &About::File, |key| known::of(TOP, key));
    let sections = [
        ("routing", routing),
        ("timeouts", timeouts),
        ("queue", queue),
        ("monitoring", monitoring),
        ("server", server),
        ("state", state),
        ("clients", clients),
    ];
    let sections = sections.into_iter().filter(|(_, section)| !section.is_empty()).collect();
    Settings { shuffled, by_price, aliases, fallbacks, max_fallbacks, stream_timeout, budgets, zone, sections }
}

/// The strategy of all routes, whether it is LiteLLM's simple shuffle, and whether routes with prices use `cheapest`.
fn strategy(router: &mut Keys<'_>, report: &mut Report) -> (&'static str, bool, bool) {
    let about = About::Section("routing");
    let Some(name) = router.take("routing_strategy").map(plain) else {
        return ("weighted", true, false);
    };
    let by_price = name == "cost-based-routing";
    let (strategy, status, note) = match name.as_str() {
        "simple-shuffle" => ("weighted", Status::Exact, "the strategy weighted"),
        "least-busy" => ("least_busy", Status::Exact, "the strategy least_busy"),
        "latency-based-routing" => ("least_latency", Status::Exact, "the strategy least_latency"),
        "cost-based-routing" => {
            let note = "the strategy cheapest of routes that have a `price`, and weighted of all others: LiteLLM knows prices \
                        that do not stand in its file";
            ("weighted", Status::Approximate, note)
        }
        "usage-based-routing" | "usage-based-routing-v2" => {
            let note = "the strategy least_busy: by requests in flight, not by tokens of this minute";
            ("least_busy", Status::Approximate, note)
        }
        _ => ("weighted", Status::Manual, "is not a known strategy, and was replaced by weighted"),
    };
    report.say(&about, router.path("routing_strategy"), status, note);
    (strategy, strategy == "weighted" && !by_price, by_price)
}

fn retries<'v>(router: &mut Keys<'v>, litellm: &mut Keys<'v>, routing: &mut Mapping, report: &mut Report) {
    let note = "the attempts that a request gets after each target has failed";
    for keys in [router, litellm] {
        let Some(value) = keys.take("num_retries") else { continue };
        match number(value).filter(|number| *number >= 0.0) {
            Some(number) => {
                let note = if routing.contains_key("retries") { OTHER } else { note };
                report.say(&About::Section("routing"), keys.path("num_retries"), Status::Approximate, note);
                routing.entry("retries".into()).or_insert_with(|| figure(number.trunc().min(10.0)));
            }
            None => {
                report.say(&About::File, keys.path("num_retries"), Status::Manual, "is not a number, and was left out")
            }
        }
    }
}

/// Checks and ejection; returns false when failures must not eject a provider.
fn health<'v>(
    router: &mut Keys<'v>,
    litellm: &mut Keys<'v>,
    general: &mut Keys<'v>,
    routing: &mut Mapping,
    report: &mut Report,
) -> bool {
    let about = About::Section("routing");
    let mut check = Mapping::new();
    if let Some(value) = general.take("background_health_checks") {
        let note = "health_check.enabled; checks ask for the list of models, which costs nothing";
        report.say(&about, general.path("background_health_checks"), Status::Exact, note);
        check.insert("enabled".into(), truth(value).into());
    }
    if let Some(value) = general.take("health_check_interval") {
        let key = general.path("health_check_interval");
        seconds(&mut check, "interval", value, &about, key, (Status::Exact, "health_check.interval"), report);
    }
    for keys in [&mut *router, &mut *litellm] {
        if let Some(value) = keys.take("cooldown_time") {
            let note =
                "health_check.cooldown: the longest ejection; the first lasts 1 s, and each one in a row twice as long";
            let key = keys.path("cooldown_time");
            seconds(&mut check, "cooldown", value, &about, key, (Status::Approximate, note), report);
        }
        if let Some(value) = keys.take("allowed_fails") {
            let fails = number(value).filter(|fails| *fails >= 0.0);
            let note = "health_check.failures: the number in a row, not per minute; one more than LiteLLM allows";
            let (status, note) = if fails.is_some() {
                (Status::Approximate, note)
            } else {
                (Status::Manual, "is not a number, and was left out")
            };
            report.say(&about, keys.path("allowed_fails"), status, note);
            if let Some(fails) = fails {
                check.entry("failures".into()).or_insert_with(|| figure((fails.trunc() + 1.0).min(20.0)));
            }
        }
    }
    if !check.is_empty() {
        routing.insert("health_check".into(), check.into());
    }
    let disabled = router.take("disable_cooldowns");
    if disabled.is_some() {
        let note = "monitoring.track_errors: without it failed requests eject no provider; rate limits still do";
        report.say(&About::Section("monitoring"), router.path("disable_cooldowns"), Status::Approximate, note);
    }
    !disabled.is_some_and(truth)
}

/// Sets a duration in a section, unless one is set already.
fn seconds(
    section: &mut Mapping,
    name: &'static str,
    value: &Value,
    about: &About,
    key: String,
    (status, note): (Status, &str),
    report: &mut Report,
) {
    match number(value).filter(|seconds| (0.001..=315_360_000.0).contains(seconds)) {
        Some(seconds) => {
            report.say(about, key, status, if section.contains_key(name) { OTHER } else { note });
            section.entry(name.into()).or_insert_with(|| figure(seconds));
        }
        None => report.say(about, key, Status::Manual, "is not a legal number of seconds, and was left out"),
    }
}

fn timeouts<'v>(router: &mut Keys<'v>, litellm: &mut Keys<'v>, report: &mut Report) -> Mapping {
    let (about, mut section) = (About::Section("timeouts"), Mapping::new());
    let found = [("timeout", router), ("request_timeout", litellm)];
    for (name, keys) in found {
        if let Some(value) = keys.take(name) {
            seconds(&mut section, "request", value, &about, keys.path(name), (Status::Exact, "request"), report);
        }
    }
    if section.is_empty() {
        let note = "is not set; LiteLLM's default is 6000 s, and 600 s, the default of OpenAI's SDKs, was used";
        report.say(&about, "litellm_settings.request_timeout", Status::Approximate, note);
        section.insert("request".into(), figure(REQUEST_TIMEOUT));
    }
    section
}

fn stream_timeout(router: &mut Keys<'_>, report: &mut Report) -> Option<f64> {
    let value = router.take("stream_timeout")?;
    let found = number(value).filter(|seconds| *seconds > 0.0);
    let note = "timeouts.first_token of each route that has none of its own";
    let (status, note) = if found.is_some() {
        (Status::Approximate, note)
    } else {
        (Status::Manual, "is not a legal number of seconds, and was left out")
    };
    report.say(&About::File, router.path("stream_timeout"), status, note);
    found
}

/// `model_group_alias`, and the older `model_alias_map`, which means the same.
fn aliases<'v>(router: &mut Keys<'v>, litellm: &mut Keys<'v>, report: &mut Report) -> Vec<(String, String, String)> {
    let mut aliases = Vec::new();
    for (name, keys) in [("model_group_alias", router), ("model_alias_map", litellm)] {
        let Some(value) = keys.take(name) else { continue };
        for (alias, group) in value.as_mapping().into_iter().flatten() {
            let key = format!("{}.{}", keys.path(name), plain(alias));
            match group.as_mapping().map(|mapping| mapping.get("model")) {
                None => aliases.push((plain(alias), plain(group), key)),
                Some(Some(group)) => aliases.push((plain(alias), plain(group), key)),
                Some(None) => report.say(&About::File, key, Status::Manual, "names no model, and was left out"),
            }
        }
    }
    aliases
}

fn fallbacks<'v>(router: &mut Keys<'v>, litellm: &mut Keys<'v>, report: &mut Report) -> (Vec<Given<'v>>, Option<u32>) {
    const NAMES: [(&str, Reason, bool); 4] = [
        ("fallbacks", Reason::Failure, false),
        ("context_window_fallbacks", Reason::ContextWindow, false),
        ("content_policy_fallbacks", Reason::ContentPolicy, false),
        ("default_fallbacks", Reason::Failure, true),
    ];
    let (mut found, mut max) = (Vec::new(), None);
    for keys in [router, litellm] {
        for (name, reason, is_default) in NAMES {
            let Some(value) = keys.take(name) else { continue };
            found.push(Given { reason, key: keys.path(name), value, is_default });
        }
        if let Some(value) = keys.take("max_fallbacks") {
            let number = number(value).filter(|number| *number >= 1.0).map(|number| number.min(10.0) as u32);
            let (status, note) = match number {
                Some(_) => (Status::Exact, "max of each route's fallbacks"),
                None => (Status::Manual, "is not a legal number of fallbacks, and was left out"),
            };
            report.say(&About::File, keys.path("max_fallbacks"), status, note);
            max = max.or(number);
        }
    }
    (found, max)
}

fn monitoring<'v>(router: &mut Keys<'v>, litellm: &mut Keys<'v>, tracked: bool, report: &mut Report) -> Mapping {
    let (about, mut section) = (About::Section("monitoring"), Mapping::new());
    let mut verbose = false;
    for keys in [&mut *router, &mut *litellm] {
        if let Some(value) = keys.take("set_verbose") {
            report.say(&about, keys.path("set_verbose"), Status::Exact, "log_level");
            verbose |= truth(value);
        }
    }
    if let Some(value) = router.take("debug_level") {
        report.say(&about, router.path("debug_level"), Status::Exact, "log_level");
        verbose |= plain(value).eq_ignore_ascii_case("debug");
    }
    if verbose {
        section.insert("log_level".into(), "DEBUG".into());
    }
    if let Some(value) = litellm.take("json_logs") {
        report.say(&about, litellm.path("json_logs"), Status::Exact, "log_format");
        if truth(value) {
            section.insert("log_format".into(), "json".into());
        }
    }
    if !tracked {
        section.insert("track_errors".into(), false.into());
    }
    section
}

/// A section with one number of at least 1, if there is one.
fn count(
    keys: &mut Keys<'_>,
    name: &str,
    section: &'static str,
    key: &'static str,
    factor: f64,
    report: &mut Report,
) -> Mapping {
    let Some(value) = keys.take(name) else { return Mapping::new() };
    let found = number(value).map(|number| (number * factor).trunc()).filter(|number| (1.0..=1e12).contains(number));
    let (status, note) = match found {
        Some(_) => (Status::Exact, format!("{section}.{key}")),
        None => (Status::Manual, "is not a positive number, and was left out".to_owned()),
    };
    report.say(&About::Section(section), keys.path(name), status, note);
    found.map(|number| (Value::from(key), figure(number))).into_iter().collect()
}

fn server(general: &mut Keys<'_>, report: &mut Report) -> Mapping {
    let mut section = count(general, "max_request_size_mb", "server", "max_body_bytes", f64::from(1 << 20), report);
    if let Some(value) = general.take("master_key") {
        let (key, about) = (general.path("master_key"), About::Section("server"));
        let text = text(value);
        if !text.starts_with("${") {
            report.secrets.push(key.clone());
        }
        let note = "a key of clients in server.api_keys, and the operators' key in server.admin; `--keys` brings the keys of \
                    LiteLLM's database";
        report.say(&about, key, Status::Exact, note);
        section.insert("api_keys".into(), Value::Sequence(vec![text.as_str().into()]));
        let admin: Mapping = [("port".into(), 9090.into()), ("api_key".into(), text.into())].into_iter().collect();
        section.insert("admin".into(), admin.into());
    }
    section
}

fn clients(general: &mut Keys<'_>, report: &mut Report) -> Mapping {
    let Some(value) = general.take("litellm_key_header_name") else { return Mapping::new() };
    let name = plain(value).to_ascii_lowercase();
    let about = About::Section("clients");
    report.say(&about, general.path("litellm_key_header_name"), Status::Exact, "clients.header");
    // These are always read.
    if matches!(name.as_str(), "authorization" | "x-api-key" | "api-key") {
        return Mapping::new();
    }
    [("header".into(), name.into())].into_iter().collect()
}

/// The engine that replicas share.
fn state(router: &mut Keys<'_>, report: &mut Report) -> Mapping {
    let mut section = Mapping::new();
    let names = ["redis_url", "redis_host", "redis_port", "redis_password"];
    let [url, host, port, password] = names.map(|name| router.take(name).map(text));
    let about = About::Section("state");
    let given: Vec<&str> = names
        .into_iter()
        .zip([&url, &host, &port, &password])
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect();
    let is_whole = |text: &str| !text.contains("${");
    let place = match (url, host) {
        (Some(url), _) => Some(url),
        (None, Some(host)) => Some(format!("redis://{host}:{}", port.unwrap_or_else(|| "6379".to_owned()))),
        (None, None) => None,
    };
    let Some(place) = place.filter(|place| is_whole(place)) else {
        for name in given {
            let note = "set state.url to the address of Redis or Valkey, which the file does not say";
            report.say(&About::File, router.path(name), Status::Manual, note);
        }
        return section;
    };
    for name in given {
        report.say(&about, router.path(name), Status::Exact, "state, by which replicas share limits");
    }
    section.insert("url".into(), place.into());
    if let Some(password) = password {
        if is_whole(&password) {
            report.secrets.push(router.path("redis_password"));
        }
        section.insert("password".into(), password.into());
    }
    section
}
