//! Loads the approaches that a configuration names, and reports what is wrong with it as problems of the configuration.

use std::sync::Arc;

use super::Approaches;
use crate::approach::Unavailable;
use crate::approach::record::{Recorder, Target};
use crate::config::{Config, LoadError};
use crate::proxy::request::Approach;
use crate::proxy::respond::chain;

/// The approaches of a configuration. Those in files, and those with a configuration of their own, are loaded and tried now;
/// the others when they are first asked for, as each takes a part of a second to compile.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load(config: &Config, before: Option<&Approaches>) -> Result<Arc<Approaches>, LoadError> {
    let mut approaches = Approaches::new(config, before);
    let settings = Arc::clone(&approaches.settings);
    let mut problems: Option<LoadError> = None;
    let mut note = |line: usize, key: String, message: String| {
        let one = LoadError::one(config, line, &key, message, None);
        match &mut problems {
            Some(problems) => problems.problems.extend(one.problems),
            None => problems = Some(one),
        }
    };
    let unknown = |name: &str| {
        let names: Vec<&str> = approaches.registry.names().collect();
        format!("no approach is called `{name}`; there are {}", names.join(", "))
    };
    for (place, (name, line)) in settings.allow.iter().flatten().enumerate() {
        if !approaches.registry.contains(name) {
            note(*line, format!("approach.allow[{place}]"), unknown(name));
        }
    }
    for entry in settings.entries.iter().filter(|entry| !approaches.registry.contains(&entry.name)) {
        let name = &entry.name;
        let message = format!("{}; give it a `path`, or put its file at approaches/{name}.wasm", unknown(name));
        note(entry.line, format!("approaches.{name}"), message);
    }
    let chosen = |text: &str| -> Result<Approach, String> {
        let approach: Approach = text.parse().map_err(|malformed| format!("{malformed}"))?;
        approaches.menu.check(&approach).map_err(|unavailable| unavailable.to_string())?;
        Ok(approach)
    };
    let mut default = None;
    if let Some((text, line)) = &settings.default {
        match chosen(text) {
            Ok(Approach::Plain) => {}
            Ok(approach) => default = Some(approach),
            Err(message) => note(*line, "approach.default".to_owned(), message),
        }
    }
    let mut of_routes = std::collections::HashMap::new();
    for (place, route) in config.routes.iter().enumerate() {
        if let Some((text, line)) = &route.approach {
            match chosen(text) {
                Ok(approach) => drop(of_routes.insert(route.name.clone(), approach)),
                Err(message) => note(*line, format!("routes[{place}].approach"), message),
            }
        }
    }
    let in_files = settings.found.keys().chain(settings.entries.iter().map(|entry| &entry.name));
    for name in in_files {
        let entry = approaches.entry(name);
        let has_config = entry.config.as_object().is_some_and(|config| !config.is_empty());
        let is_file = entry.path.is_some() || entry.image.is_some() || settings.found.contains_key(name);
        if !approaches.registry.contains(name) || !(is_file || has_config) {
            continue;
        }
        let key = format!("approaches.{name}");
        match approaches.registry.load(name) {
            Ok(approach) => {
                if let Err(wrong) = approach.check_now(&entry.config.to_string()) {
                    note(entry.line, format!("{key}.config"), wrong);
                }
            }
            Err(error @ Unavailable::Unloadable(_)) => note(entry.line, key, chain(&error)),
            Err(_) => {}
        }
    }
    match problems {
        Some(problems) => Err(problems),
        None => {
            (approaches.default, approaches.of_routes) = (default, of_routes);
            Ok(Arc::new(approaches))
        }
    }
}

/// Opens the record of runs that a configuration wants, unless the one before writes to the same file already.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn record(config: &Config, approaches: &Approaches, before: Option<&Approaches>) -> Result<(), LoadError> {
    let Some(wanted) = &config.approaches.record else { return Ok(()) };
    let target = Target { path: wanted.path.clone(), max_bytes: wanted.max_bytes };
    let same = before.and_then(|before| before.recorder.get()).filter(|recorder| *recorder.target() == target);
    let recorder = match same {
        Some(recorder) => Arc::clone(recorder),
        None => Recorder::open(target).map_err(|error| {
            let message = format!("{} cannot be written: {error}", wanted.path.display());
            LoadError::one(config, wanted.line, "approach.record", message, None)
        })?,
    };
    // There is none yet: these approaches are new.
    let _ = approaches.recorder.set(recorder);
    Ok(())
}
