//! Makes everything that a configuration needs, for a start and for a reload alike.
//!
//! All that can fail comes first, in [`assemble`], and changes nothing; [`Assembly::put_together`] cannot fail.

use std::sync::Arc;

use super::advice;
use super::contents::Contents;
use super::load::{self, strategy_problem};
use crate::config::{Config, LoadError, StrategyChoice};
use crate::metrics::Metrics;
use crate::provider::client::Drafts;
use crate::provider::{Fleet, facts};
use crate::proxy::approach::{self, Approaches};
use crate::routing::{Route, RouteFacts, Routes, Strategy};
use crate::strategy::{Recording, Shadowed, Shadows, Succession};

/// The strategy of one route, alive.
#[derive(Clone)]
pub struct Live {
    /// The name of its route.
    pub route: String,
    /// The strategy that decides.
    pub strategy: Arc<Succession>,
    /// Its shadows.
    pub shadows: Option<Arc<Shadows>>,
}

/// The parts in force that the next configuration goes on with.
pub struct Before<'a> {
    pub fleet: &'a Fleet,
    pub routes: &'a Routes,
    pub live: &'a [Live],
    pub approaches: &'a Approaches,
}

/// Everything that one configuration needs, checked and ready, but not yet in force.
pub struct Assembly {
    pub config: Config,
    pub contents: Contents,
    pub advice: Vec<String>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The strategies, one for each route; that of the route of everything is the last.
    pub live: Vec<Live>,
    pub approaches: Arc<Approaches>,
    recordings: Vec<Recording>,
    drafts: Drafts,
}

/// Reads, compiles and tries all that a configuration names. Takes from tens of milliseconds to minutes.
///
/// # Errors
///
/// [`LoadError`] in the form of the configuration's own problems, where it is at fault.
pub fn assemble(config: Config, before: Option<&Before<'_>>) -> anyhow::Result<Assembly> {
    let live = strategies(&config, before.map(|before| before.live).unwrap_or_default())?;
    let approaches_before = before.map(|before| before.approaches);
    let approaches = approach::load(&config, approaches_before)?;
    approach::record(&config, &approaches, approaches_before)?;
    let tls = load::load_tls(&config)?;
    let drafts = Fleet::drafts(&config, before.map(|before| before.fleet))?;
    let contents = Contents::of(&config.names);
    let advice = advice(&config, &live);
    let recordings = live.iter().map(|live| load::recording(&config, live)).collect::<Result<Vec<_>, _>>()?;
    Ok(Assembly { config, contents, advice, tls, live, approaches, recordings, drafts })
}

/// Loads the strategies of all routes; those of the same component share what was compiled.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn strategies(config: &Config, before: &[Live]) -> Result<Vec<Live>, LoadError> {
    let known = |route: &str| before.iter().find(|live| live.route == route);
    let kin = before.last().map(|live| Arc::clone(&live.strategy));
    let facts = facts::everything(config);
    let mut all = Vec::with_capacity(config.routes.len() + 1);
    let shadows = known(Route::EVERYTHING).and_then(|live| live.shadows.as_ref());
    let shadows = load::load_shadows(config, &facts, shadows)?;
    let strategy = one(&config.strategy, facts, known(Route::EVERYTHING), kin.as_deref());
    let strategy = strategy.map_err(|error| strategy_problem(config, &config.strategy, "routing.strategy", &error))?;
    let everything = Live { route: Route::EVERYTHING.to_owned(), strategy, shadows };
    for (index, route) in config.routes.iter().enumerate() {
        let key = format!("routes[{index}].strategy");
        let (choice, key) = match &route.strategy {
            Some(choice) => (choice, key.as_str()),
            None => (&config.strategy, "routing.strategy"),
        };
        let (facts, known) = (facts::on(route, config), known(&route.name));
        // They watch the strategy of all routes that have no shadows of their own.
        let shadows = match &route.strategy {
            Some(_) => None,
            None => load::load_shadows(config, &facts, known.and_then(|live| live.shadows.as_ref()))?,
        };
        let strategy = one(choice, facts, known, Some(&everything.strategy));
        let strategy = strategy.map_err(|error| strategy_problem(config, choice, key, &error))?;
        all.push(Live { route: route.name.clone(), strategy, shadows });
    }
    all.push(everything);
    Ok(all)
}

/// The strategy of one route. It succeeds `known` if the route had one before, and otherwise shares the counters of its
/// `kin`.
fn one(
    choice: &StrategyChoice,
    facts: RouteFacts,
    known: Option<&Live>,
    kin: Option<&Succession>,
) -> Result<Arc<Succession>, crate::wasm::LoadError> {
    match known {
        Some(known) => known.strategy.reload(choice, facts),
        None => match kin {
            Some(kin) => kin.beside(choice, facts),
            None => Succession::start(choice, facts),
        },
    }
}

impl Assembly {
    /// Makes the providers and routes, and lets the record of decisions go on with them. The new limits of providers
    /// have no effect before [`Fleet::take_over`].
    pub fn put_together(&mut self, metrics: &Metrics, before: Option<&Before<'_>>) -> (Arc<Fleet>, Routes) {
        let Self { config, live, recordings, drafts, .. } = self;
        metrics.labelled.configure(&config.monitoring.labels, config.model_names());
        let fleet = Fleet::new(config, std::mem::take(drafts), metrics, before.map(|before| before.fleet));
        for (live, recording) in live.iter().zip(recordings.drain(..)) {
            live.strategy.recorder().go_on(recording);
        }
        let strategies: Vec<_> = live.iter().map(|live| metrics.timed(live.deciding())).collect();
        (fleet, Routes::of_config(config, &strategies, before.map(|before| before.routes)))
    }
}

impl Live {
    /// The strategy, with its shadows if it has any.
    fn deciding(&self) -> Arc<dyn Strategy> {
        match &self.shadows {
            Some(shadows) => Arc::new(Shadowed::new(Arc::clone(&self.strategy), Arc::clone(shadows))),
            None => Arc::clone(&self.strategy) as Arc<dyn Strategy>,
        }
    }
}
