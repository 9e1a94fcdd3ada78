//! Loads the files and strategies that a configuration names, and reports failures in the form of the configuration's
//! own problems.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assemble::Live;
use crate::config::{Config, LoadError, StrategyChoice};
use crate::listener::{descriptors, tls};
use crate::provider::client::trust::{self, TrustError};
use crate::proxy;
use crate::routing::{Route, RouteFacts};
use crate::strategy::{self, Recording, Shadows};

/// A strategy that does not load, as a problem of the configuration that chose it under `key`.
pub(super) fn strategy_problem(
    config: &Config,
    choice: &StrategyChoice,
    key: &str,
    error: &crate::wasm::LoadError,
) -> LoadError {
    let message = format!("{choice} {}", proxy::respond::chain(error));
    LoadError::one(config, choice.line, key, message, None)
}

/// The shadows that a configuration wants.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub(super) fn load_shadows(
    config: &Config,
    facts: &RouteFacts,
    before: Option<&Arc<Shadows>>,
) -> Result<Option<Arc<Shadows>>, LoadError> {
    Shadows::of(&config.shadows, facts, before).map_err(|(strategy, error)| {
        let message = format!("{strategy} {}", proxy::respond::chain(&error));
        let line = config.shadows.iter().find(|shadow| shadow.to_string() == strategy).map_or(0, |shadow| shadow.line);
        LoadError::one(config, line, "routing.shadow", message, None)
    })
}

/// The record of decisions that a configuration wants of a route, ready to begin: the route of everything is recorded in
/// the file itself, every other in one that has its name before the ending.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub(super) fn recording(config: &Config, live: &Live) -> Result<Recording, LoadError> {
    let wanted = config.monitoring.record.as_ref();
    let target = wanted
        .map(|record| strategy::Target { path: recorded_in(&record.path, &live.route), max_bytes: record.max_bytes });
    live.strategy.recorder().prepare(target.as_ref()).map_err(|error| {
        let path = target.map(|target| target.path.display().to_string()).unwrap_or_default();
        let message = format!("{path} cannot be written: {error}");
        LoadError::one(config, wanted.map_or(0, |record| record.line), "monitoring.record", message, None)
    })
}

/// The file for a route.
fn recorded_in(path: &Path, route: &str) -> PathBuf {
    if route == Route::EVERYTHING {
        return path.to_owned();
    }
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let route: String = route.chars().map(kept).collect();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => path.with_extension(format!("{route}.{extension}")),
        None => path.with_extension(route),
    }
}

/// Loads the certificate of the listener, if it has one, and tries those that are named for providers.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, LoadError> {
    let mut error: Option<LoadError> = None;
    let mut note = |line, key: String, message, help: &str| {
        let one = LoadError::one(config, line, &key, message, Some(help.to_owned()));
        match &mut error {
            Some(error) => error.problems.extend(one.problems),
            None => error = Some(one),
        }
    };
    for (index, provider) in config.providers.iter().enumerate() {
        // A provider without files of its own uses the system's certificates. If these are missing, that is reported
        // only when they are needed.
        let tls = &provider.tls;
        if tls.ca.is_none() && tls.cert.is_none() {
            continue;
        }
        match trust::load(tls) {
            Ok(_) | Err(TrustError::System(_)) => {}
            Err(wrong) => {
                let key = format!("providers[{index}].tls.{}", wrong.part());
                note(tls.line, key, proxy::respond::chain(&wrong), wrong.help());
            }
        }
    }
    let mut own = None;
    if let Some(files) = &config.server.tls {
        match tls::load(files, config.server.http2) {
            Ok(loaded) => own = Some(loaded),
            Err(wrong) => {
                let key = format!("server.tls.{}", wrong.part());
                note(files.line, key, proxy::respond::chain(&wrong), wrong.help());
            }
        }
    }
    error.map_or(Ok(own), Err)
}

/// Raises the limit of open files as far as possible, and checks that it is enough.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn check_descriptors(config: &Config) -> Result<(), LoadError> {
    descriptors::provide();
    let Some(limit) = descriptors::too_few() else { return Ok(()) };
    let least = descriptors::LEAST;
    let message = format!(
        "the system allows {limit} open files, too few for {least} connections of clients and {least} to providers"
    );
    let help = "allow more: ulimit -n 1024, or LimitNOFILE=1024 for a service of systemd".to_owned();
    Err(LoadError::one(config, 0, "server.max_connections", message, Some(help)))
}
