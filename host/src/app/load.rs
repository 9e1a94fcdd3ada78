//! Loads what a configuration names, and says what is wrong with it in the form of the configuration's own problems.

use std::sync::Arc;

use crate::config::{Config, LoadError};
use crate::listener::{descriptors, tls};
use crate::provider::Provider;
use crate::provider::client::trust::{self, TrustError};
use crate::proxy;
use crate::routing::{ProviderFacts, Strategy};
use crate::strategy::{self, Shadowed, Shadows, Succession};

/// Loads the strategy that a configuration chose.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_strategy(config: &Config) -> Result<Arc<Succession>, LoadError> {
    Succession::start(&config.strategy, facts(config)).map_err(|error| strategy_problem(config, &error))
}

/// What strategies are told of the providers.
pub(super) fn facts(config: &Config) -> Vec<ProviderFacts> {
    config.providers.iter().map(Provider::facts).collect()
}

/// A strategy that does not load, as a problem of the configuration that chose it.
pub(super) fn strategy_problem(config: &Config, error: &crate::wasm::LoadError) -> LoadError {
    let message = format!("{} {}", config.strategy, proxy::respond::chain(error));
    LoadError::one(config, config.strategy.line, "routing.strategy", message, None)
}

/// The shadows that a configuration wants.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_shadows(config: &Config, before: Option<&Arc<Shadows>>) -> Result<Option<Arc<Shadows>>, LoadError> {
    Shadows::of(&config.shadows, &facts(config), before).map_err(|(strategy, error)| {
        let message = format!("{strategy} {}", proxy::respond::chain(&error));
        let line = config.shadows.iter().find(|shadow| shadow.to_string() == strategy).map_or(0, |shadow| shadow.line);
        LoadError::one(config, line, "routing.shadow", message, None)
    })
}

/// What decides: the strategy, with its shadows if it has any.
pub(super) fn deciding(strategy: &Arc<Succession>, shadows: Option<&Arc<Shadows>>) -> Arc<dyn Strategy> {
    match shadows {
        Some(shadows) => Arc::new(Shadowed::new(Arc::clone(strategy), Arc::clone(shadows))),
        None => Arc::clone(strategy) as Arc<dyn Strategy>,
    }
}

/// Begins the record of decisions that a configuration wants, or ends the one that it does not want any more.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub(super) fn record(config: &Config, strategy: &Succession) -> Result<(), LoadError> {
    let wanted = config.monitoring.record.as_ref();
    let target = wanted.map(|record| strategy::Target { path: record.path.clone(), max_bytes: record.max_bytes });
    strategy.recorder().record_to(target.as_ref()).map_err(|error| {
        let path = target.map(|target| target.path.display().to_string()).unwrap_or_default();
        let message = format!("{path} cannot be written: {error}");
        LoadError::one(config, wanted.map_or(0, |record| record.line), "monitoring.record", message, None)
    })
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
        // Without files of its own it wants what the system has, which is missed when it is needed and not before.
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
        match tls::load(files) {
            Ok(loaded) => own = Some(loaded),
            Err(wrong) => {
                let key = format!("server.tls.{}", wrong.part());
                note(files.line, key, proxy::respond::chain(&wrong), wrong.help());
            }
        }
    }
    error.map_or(Ok(own), Err)
}

/// Raises the limit of open files as far as it may, and sees whether that is enough.
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
