//! A route: its models, the targets that may serve them, their tiers, and the strategy that decides.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::eligible::{Eligible, EligibleSet};
use super::hedging::Hedging;
use super::unserved::Unserved;
use super::{ModelKey, Observer, Report, Strategy};
use crate::config;

/// A provider and the model that it is asked for: what a strategy chooses among.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The provider, by its place in the order of the configuration.
    pub provider: u32,
    /// Unique within the route: the provider's name, and where several targets share a provider also the model.
    pub name: String,
    /// True when it is held back until the others have failed.
    pub fallback: bool,
    /// The prices of a million tokens, of the request and of the answer.
    pub price: Option<(f64, f64)>,
    /// The provider's own name for the model, if the route fixes it; a `*` in it is replaced by the text that the `*`
    /// of the route's pattern stood for.
    model: Option<String>,
    /// The key of that model, unless it has a `*`.
    key: Option<ModelKey>,
}

impl Target {
    /// All providers, each asked for the model that the client names.
    pub fn all(providers: &[config::Provider]) -> Vec<Self> {
        let target = |(provider, config): (u32, &config::Provider)| Self {
            provider,
            name: config.name.clone(),
            fallback: config.fallback_only,
            price: config.price.map(|price| (price.input, price.output)),
            model: None,
            key: None,
        };
        (0..).zip(providers).map(target).collect()
    }

    /// The targets that a route names, or all providers where it names none.
    pub fn of(route: &config::Route, providers: &[config::Provider]) -> Vec<Self> {
        if route.targets.is_empty() {
            return Self::all(providers);
        }
        let name = |target: &config::Target| {
            let provider = &providers[target.provider].name;
            let alone = route.targets.iter().filter(|other| other.provider == target.provider).count() == 1;
            match &target.model {
                Some(model) if !alone => format!("{provider}/{model}"),
                Some(_) | None => provider.clone(),
            }
        };
        let target = |target: &config::Target| Self {
            provider: u32::try_from(target.provider).unwrap_or(u32::MAX),
            name: name(target),
            fallback: target.tier == config::TargetTier::Fallback,
            price: target.price.map(|price| (price.input, price.output)),
            key: target.model.as_deref().filter(|model| !model.contains('*')).map(ModelKey::of),
            model: target.model.clone(),
        };
        route.targets.iter().map(target).collect()
    }

    /// True when the route says which model it is asked for.
    pub fn names_its_model(&self) -> bool {
        self.model.is_some()
    }

    /// The provider's own name for the model that a client asks for; `taken` is the text that the `*` of the route
    /// stood for.
    pub fn model_for<'m>(&'m self, provider: &'m config::Provider, asked: &'m str, taken: &str) -> Cow<'m, str> {
        match &self.model {
            None => provider.model_for(asked),
            Some(model) if self.key.is_some() => Cow::Borrowed(model),
            Some(model) => Cow::Owned(model.replacen('*', taken, 1)),
        }
    }

    /// The key under which rate limits are remembered for the model, if the client asks for `asked`.
    pub fn key(&self, asked: ModelKey) -> ModelKey {
        self.key.unwrap_or(asked)
    }
}

/// One route of a configuration.
pub struct Route {
    /// Its name in logs, metrics and headers.
    pub name: String,
    /// The models that it is for; empty for the route of everything.
    models: Vec<String>,
    targets: Vec<Target>,
    /// The provider of each target, for those who go through all of them.
    providers: Vec<u32>,
    eligible: Eligible,
    /// Endpoints and models that targets have said they do not serve.
    pub unserved: Unserved,
    strategy: Arc<dyn Strategy>,
    /// The timeouts that override those of a provider.
    pub timeouts: Option<config::RouteTimeouts>,
    /// The models to ask for when no target could serve the request.
    pub fallbacks: config::Fallbacks,
    /// The hedging, if there is any: when a second attempt starts beside one that is slow.
    pub hedging: Option<Hedging>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl Route {
    /// The name of the route that a configuration without routes has.
    pub const EVERYTHING: &str = "default";

    /// A route to `targets`, of these `providers`. Sets of targets that `predecessor` had too keep their counts.
    pub fn new(
        name: &str,
        models: &[String],
        targets: Vec<Target>,
        providers: &[config::Provider],
        strategy: Arc<dyn Strategy>,
        predecessor: Option<&Route>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            models: models.to_vec(),
            eligible: Eligible::new(&targets, providers, predecessor.map(|before| &before.eligible)),
            providers: targets.iter().map(|target| target.provider).collect(),
            targets,
            unserved: Unserved::default(),
            strategy,
            timeouts: None,
            fallbacks: config::Fallbacks::default(),
            hedging: None,
        }
    }

    /// A route that the configuration names.
    pub fn named(
        route: &config::Route,
        providers: &[config::Provider],
        strategy: Arc<dyn Strategy>,
        predecessor: Option<&Route>,
    ) -> Self {
        let timeouts = (route.timeouts != config::RouteTimeouts::default()).then_some(route.timeouts);
        let targets = Target::of(route, providers);
        let plain = Self::new(&route.name, &route.models, targets, providers, strategy, predecessor);
        let before = predecessor.and_then(|before| before.hedging.as_ref());
        let hedging = route.hedge.map(|hedge| Hedging::new(hedge, before));
        Self { timeouts, fallbacks: route.fallbacks.clone(), hedging, ..plain }
    }

    /// The route of everything that belongs to no other: to all providers, in the order of the configuration.
    pub fn everything(
        providers: &[config::Provider],
        strategy: Arc<dyn Strategy>,
        predecessor: Option<&Route>,
    ) -> Self {
        Self::new(Self::EVERYTHING, &[], Target::all(providers), providers, strategy, predecessor)
    }

    /// True when the configuration names it, and it is not the route of everything.
    pub fn is_named(&self) -> bool {
        !self.models.is_empty()
    }

    /// True when other models may be asked for when it cannot serve one of its own.
    pub fn falls_back(&self) -> bool {
        let config::Fallbacks { on_failure, on_context_window, on_content_policy, .. } = &self.fallbacks;
        !(on_failure.is_empty() && on_context_window.is_empty() && on_content_policy.is_empty())
    }

    /// The targets in the order of the configuration.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The providers of the targets, in the order of these.
    pub fn providers(&self) -> &[u32] {
        &self.providers
    }

    /// The target at an index that came out of a decision.
    pub fn target(&self, index: u32) -> &Target {
        &self.targets[index as usize]
    }

    /// The strategy that orders the candidates.
    pub fn strategy(&self) -> &dyn Strategy {
        self.strategy.as_ref()
    }

    /// The targets that serve `model`; an empty name is a request without one, which all serve.
    pub fn eligible(&self, model: &str) -> Arc<EligibleSet> {
        self.eligible.of(model)
    }

    /// The targets that serve whatever they are asked for.
    pub fn unlisted(&self) -> &Arc<EligibleSet> {
        self.eligible.unlisted()
    }

    /// The models that it is for, as the configuration names them; none of the route of everything.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The names of models, without any `*`, that it is for.
    pub fn named_models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(String::as_str).filter(|name| !name.contains('*'))
    }

    /// The part of `model` that the `*` stands for in the pattern that it matched; empty if that has none.
    pub fn taken<'m>(&self, model: &'m str) -> &'m str {
        if self.models.iter().any(|name| name == model) {
            return "";
        }
        let taken = |pattern: &str| {
            let (before, after) = pattern.split_once('*')?;
            model.strip_prefix(before)?.strip_suffix(after)
        };
        self.models.iter().find_map(|pattern| taken(pattern)).unwrap_or_default()
    }
}

impl Observer for Route {
    fn ended(&self, report: Report) {
        self.strategy.learn(report);
    }
}

/// The routes of one configuration.
#[derive(Debug)]
pub struct Routes {
    /// In the order of the configuration, and behind them the route of everything.
    routes: Vec<Arc<Route>>,
    everything: Arc<Route>,
    /// The first route of each exact name.
    exact: HashMap<String, usize, RandomState>,
    patterns: Patterns,
}

/// Names with one `*`, by the text before it: however many there are, a model is looked up once per length of those
/// texts.
#[derive(Debug, Default)]
struct Patterns(BTreeMap<usize, HashMap<String, Vec<(String, usize)>>>);

impl Patterns {
    fn put(&mut self, before: &str, after: &str, route: usize) {
        let of_length = self.0.entry(before.len()).or_default();
        of_length.entry(before.to_owned()).or_default().push((after.to_owned(), route));
    }

    /// The first route that has a name which fits.
    fn first(&self, model: &str) -> Option<usize> {
        let lengths = self.0.range(..=model.len());
        let fitting = lengths.flat_map(|(&length, patterns)| {
            let begin = model.get(..length).and_then(|before| patterns.get(before));
            begin.into_iter().flatten().filter(move |(after, _)| model[length..].ends_with(after.as_str()))
        });
        fitting.map(|(_, route)| *route).min()
    }
}

impl Routes {
    /// The routes that the configuration names, and the one of everything else.
    pub fn new(named: Vec<Arc<Route>>, everything: Arc<Route>) -> Self {
        let (mut names, mut patterns) = (HashMap::new(), Patterns::default());
        for (index, route) in named.iter().enumerate() {
            for name in &route.models {
                match name.split_once('*') {
                    Some((before, after)) => patterns.put(before, after, index),
                    None => {
                        names.entry(name.clone()).or_insert(index);
                    }
                }
            }
        }
        // A pattern that is listed before an exact name takes that name.
        let first = |name: &str, own: usize| patterns.first(name).map_or(own, |other| own.min(other));
        let exact = names.into_iter().map(|(name, own)| (first(&name, own), name)).map(|(route, name)| (name, route));
        let exact = exact.collect();
        let mut routes = named;
        routes.push(Arc::clone(&everything));
        Self { routes, everything, exact, patterns }
    }

    /// The routes of a configuration, each with its strategy; the route of everything is the last. A route continues
    /// the counts of its predecessor of the same name.
    pub fn of_config(config: &config::Config, strategies: &[Arc<dyn Strategy>], predecessor: Option<&Routes>) -> Self {
        let known = |name: &str| Some(&**predecessor?.by_name(name)?);
        let (providers, last) = (&config.providers, config.routes.len());
        let named = config.routes.iter().zip(strategies).map(|(route, strategy)| {
            Arc::new(Route::named(route, providers, Arc::clone(strategy), known(&route.name)))
        });
        let everything = Route::everything(providers, Arc::clone(&strategies[last]), known(Route::EVERYTHING));
        Self::new(named.collect(), Arc::new(everything))
    }

    /// The route of a model: the first that it fits. An empty name is a request without a model, which belongs to the
    /// route of everything; so does all where the configuration has no routes.
    pub fn of(&self, model: &str) -> Option<&Arc<Route>> {
        if self.routes.len() == 1 || model.is_empty() {
            return Some(&self.everything);
        }
        let index = self.exact.get(model).copied().or_else(|| self.patterns.first(model));
        index.map(|index| &self.routes[index])
    }

    /// True when the configuration has routes, beside that of everything.
    pub fn are_named(&self) -> bool {
        self.routes.len() > 1
    }

    /// The route of all providers, for requests that belong to no other.
    pub fn everything(&self) -> &Arc<Route> {
        &self.everything
    }

    /// All of them, that of everything last.
    pub fn all(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Candidate, Decision, Facts, Origin, StrategyHealth};

    struct Nothing;

    impl Strategy for Nothing {
        fn name(&self) -> &str {
            "nothing"
        }

        fn decide(&self, _: &Facts<'_>, candidates: &[Candidate]) -> Decision {
            Decision::default_order(candidates, Origin::Abstained)
        }

        fn reason(&self, _: u32) -> Option<String> {
            None
        }

        fn health(&self) -> StrategyHealth {
            StrategyHealth::default()
        }

        fn wants_prompt(&self) -> bool {
            false
        }
        fn learn(&self, _: Report) {}
    }

    fn routes(lists: &[&str]) -> Routes {
        let routes: String = lists.iter().map(|models| format!("  - {{models: [{models}]}}\n")).collect();
        let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\nroutes:\n{routes}");
        let config = config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
        let strategies = vec![Arc::new(Nothing) as Arc<dyn Strategy>; lists.len() + 1];
        Routes::of_config(&config, &strategies, None)
    }

    #[test]
    fn the_first_route_that_fits_is_taken_whether_by_name_or_by_pattern() {
        let routes = routes(&["gpt-4o, 'o*-mini'", "'gpt-5*x'", "'gpt-*'", "'*-instruct'", "llama"]);
        for (model, route) in [
            ("gpt-4o", Some("gpt-4o")),
            ("o3-mini", Some("gpt-4o")),
            ("gpt-4", Some("gpt-*")),
            ("gpt-4-instruct", Some("gpt-*")),
            ("llama", Some("llama")),
            ("llama-instruct", Some("*-instruct")),
            ("gpt-5-x", Some("gpt-5*x")),
            ("gpt-5", Some("gpt-*")),
            ("o-min", None),
            ("ö*", None),
            ("", Some(Route::EVERYTHING)),
        ] {
            assert_eq!(routes.of(model).map(|route| route.name.as_str()), route, "{model}");
        }
    }

    #[test]
    fn the_star_takes_what_stood_in_its_place() {
        let routes = routes(&["plain, 'a*z', 'b-*'"]);
        let route = &routes.all()[0];
        for (model, taken) in [("plain", ""), ("a-z", "-"), ("az", ""), ("b-c", "c"), ("other", "")] {
            assert_eq!(route.taken(model), taken, "{model}");
        }
    }
}
