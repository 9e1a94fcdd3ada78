//! A guest that speaks one of the versions of the contract, and the calls as the rest of the host makes them.
//!
//! Each version has functions and types of its own, generated from its WIT; that they are called in the same way is
//! written down once, in the macro `speak`.

use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Result, Store};

use super::previous::v0_1::types as v0_1_types;
use super::previous::v0_2::types as v0_2_types;
use super::types::Decision;
use super::{previous, state, types};
use crate::routing::{Candidate, Facts, Report, TargetFacts};
use crate::strategy::instance::Setup;
use crate::wasm::sandbox::Sandbox;

/// A version of the contract that this host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 0.1
    V0_1,
    /// 0.2
    V0_2,
    /// 0.3
    V0_3,
}

impl Version {
    /// All of them, the newest first.
    pub const ALL: [Version; 3] = [Version::V0_3, Version::V0_2, Version::V0_1];

    /// The package's version up to the last part, which does not matter.
    pub fn prefix(self) -> &'static str {
        match self {
            Version::V0_1 => "0.1.",
            Version::V0_2 => "0.2.",
            Version::V0_3 => "0.3.",
        }
    }

    /// The version that a number stands for.
    pub fn of(number: &str) -> Option<Self> {
        Version::ALL.into_iter().find(|version| number.starts_with(version.prefix()))
    }
}

/// Which optional interfaces a component exports.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// `meta`
    pub meta: bool,
    /// `feedback`
    pub feedback: bool,
    /// `state`, which came with 0.3
    pub state: bool,
}

/// A strategy's information about itself; empty for one without `meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// The texts of a decision's reasons.
    pub reasons: Vec<String>,
    /// True when it wants reports of attempts.
    pub observes: bool,
}

/// The indices of the contract's functions in a component.
pub enum Indices {
    /// Of version 0.1.
    V0_1(v0_1::Indices),
    /// Of version 0.2.
    V0_2(v0_2::Indices),
    /// Of version 0.3.
    V0_3(v0_3::Indices),
}

/// The functions of one instance.
pub enum Guest {
    /// Of version 0.1.
    V0_1(v0_1::Guest),
    /// Of version 0.2.
    V0_2(v0_2::Guest),
    /// Of version 0.3.
    V0_3(v0_3::Guest),
}

/// Makes what strategies may import available, in every version.
pub fn link(linker: &mut Linker<Sandbox>) -> Result<()> {
    super::host_log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    previous::v0_2::host_log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    previous::v0_1::host_log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)
}

impl Indices {
    /// Finds the functions in a component of this version.
    pub fn new(version: Version, pre: &InstancePre<Sandbox>, hooks: Hooks) -> Result<Self> {
        Ok(match version {
            Version::V0_1 => Indices::V0_1(v0_1::Indices::new(pre, hooks)?),
            Version::V0_2 => Indices::V0_2(v0_2::Indices::new(pre, hooks)?),
            Version::V0_3 => Indices::V0_3(v0_3::Indices::new(pre, hooks)?),
        })
    }

    /// Finds them in an instance.
    pub fn load(&self, store: &mut Store<Sandbox>, instance: &wasmtime::component::Instance) -> Result<Guest> {
        Ok(match self {
            Indices::V0_1(indices) => Guest::V0_1(indices.load(store, instance)?),
            Indices::V0_2(indices) => Guest::V0_2(indices.load(store, instance)?),
            Indices::V0_3(indices) => Guest::V0_3(indices.load(store, instance)?),
        })
    }
}

impl Guest {
    /// `router.init`
    pub fn init(&self, store: &mut Store<Sandbox>, setup: &Setup) -> Result<Result<(), String>> {
        match self {
            Guest::V0_1(guest) => guest.init(store, setup),
            Guest::V0_2(guest) => guest.init(store, setup),
            Guest::V0_3(guest) => guest.init(store, setup),
        }
    }

    /// `router.route`
    pub fn route(
        &self,
        store: &mut Store<Sandbox>,
        facts: &Facts<'_>,
        candidates: &[Candidate],
    ) -> Result<Result<Decision, String>> {
        match self {
            Guest::V0_1(guest) => guest.route(store, facts, candidates),
            Guest::V0_2(guest) => guest.route(store, facts, candidates),
            Guest::V0_3(guest) => guest.route(store, facts, candidates),
        }
    }

    /// `meta.describe`, if it is exported.
    pub fn describe(&self, store: &mut Store<Sandbox>) -> Result<Option<Info>> {
        match self {
            Guest::V0_1(guest) => guest.describe(store),
            Guest::V0_2(guest) => guest.describe(store),
            Guest::V0_3(guest) => guest.describe(store),
        }
    }

    /// `state.is-stateless`; false if it is not exported.
    pub fn is_stateless(&self, store: &mut Store<Sandbox>) -> Result<bool> {
        match self {
            Guest::V0_1(guest) => guest.is_stateless(store),
            Guest::V0_2(guest) => guest.is_stateless(store),
            Guest::V0_3(guest) => guest.is_stateless(store),
        }
    }

    /// True when `feedback` is exported.
    pub fn has_feedback(&self) -> bool {
        match self {
            Guest::V0_1(guest) => guest.feedback.is_some(),
            Guest::V0_2(guest) => guest.feedback.is_some(),
            Guest::V0_3(guest) => guest.feedback.is_some(),
        }
    }

    /// `feedback.observe`, if it is exported.
    pub fn observe(&self, store: &mut Store<Sandbox>, reports: &[Report]) -> Result<()> {
        match self {
            Guest::V0_1(guest) => guest.observe(store, reports),
            Guest::V0_2(guest) => guest.observe(store, reports),
            Guest::V0_3(guest) => guest.observe(store, reports),
        }
    }
}

/// The module of one version, whose generated code is in `$bindings`. `$with_setup` calls a closure with the arguments
/// of `init`, and `$candidates` turns candidates into those of the version.
macro_rules! speak {
    ($name:ident, $bindings:path, $with_setup:path, $candidates:expr) => {
        /// One version of the contract.
        pub mod $name {
            use wasmtime::component::{Instance, InstancePre};
            use wasmtime::{Result, Store};

            use super::{Candidate, Decision, Facts, Hooks, Info, Report, Sandbox, Setup, state};
            use $bindings as bindings;

            /// The indices of the functions in a component.
            pub struct Indices {
                router: bindings::router::GuestIndices,
                meta: Option<bindings::meta::GuestIndices>,
                feedback: Option<bindings::feedback::GuestIndices>,
                state: Option<state::GuestIndices>,
            }

            /// The functions of one instance.
            pub struct Guest {
                router: bindings::router::Guest,
                meta: Option<bindings::meta::Guest>,
                pub(super) feedback: Option<bindings::feedback::Guest>,
                state: Option<state::Guest>,
            }

            impl Indices {
                pub(super) fn new(pre: &InstancePre<Sandbox>, hooks: Hooks) -> Result<Self> {
                    Ok(Self {
                        router: bindings::router::GuestIndices::new(pre)?,
                        meta: hooks.meta.then(|| bindings::meta::GuestIndices::new(pre)).transpose()?,
                        feedback: hooks.feedback.then(|| bindings::feedback::GuestIndices::new(pre)).transpose()?,
                        state: hooks.state.then(|| state::GuestIndices::new(pre)).transpose()?,
                    })
                }

                pub(super) fn load(&self, store: &mut Store<Sandbox>, instance: &Instance) -> Result<Guest> {
                    Ok(Guest {
                        router: self.router.load(&mut *store, instance)?,
                        meta: self.meta.as_ref().map(|meta| meta.load(&mut *store, instance)).transpose()?,
                        feedback: self.feedback.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
                        state: self.state.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
                    })
                }
            }

            impl Guest {
                pub(super) fn init(&self, store: &mut Store<Sandbox>, setup: &Setup) -> Result<Result<(), String>> {
                    $with_setup(setup, |setup| self.router.call_init(store, setup))
                }

                pub(super) fn route(
                    &self,
                    store: &mut Store<Sandbox>,
                    facts: &Facts<'_>,
                    candidates: &[Candidate],
                ) -> Result<Result<Decision, String>> {
                    let answer = self.router.call_route(store, facts.into(), &$candidates(candidates))?;
                    Ok(answer.map(Decision::from))
                }

                pub(super) fn describe(&self, store: &mut Store<Sandbox>) -> Result<Option<Info>> {
                    let Some(meta) = &self.meta else { return Ok(None) };
                    let bindings::meta::Info { name, version, description, reasons, observes } =
                        meta.call_describe(store)?;
                    Ok(Some(Info { name, version, description, reasons, observes }))
                }

                pub(super) fn is_stateless(&self, store: &mut Store<Sandbox>) -> Result<bool> {
                    self.state.as_ref().map_or(Ok(false), |state| state.call_is_stateless(store))
                }

                pub(super) fn observe(&self, store: &mut Store<Sandbox>, reports: &[Report]) -> Result<()> {
                    let Some(feedback) = &self.feedback else { return Ok(()) };
                    let outcomes: Vec<_> = reports.iter().map(bindings::types::Outcome::from).collect();
                    feedback.call_observe(store, &outcomes)
                }
            }
        }
    };
}

speak!(v0_1, crate::strategy::contract::previous::v0_1, super::with_providers_v0_1, super::as_before);
speak!(v0_2, crate::strategy::contract::previous::v0_2, super::with_providers_v0_2, super::as_before);
speak!(v0_3, crate::strategy::contract, super::with_setup_v0_3, std::convert::identity);

fn with_setup_v0_3<R>(setup: &Setup, call: impl FnOnce(types::Setup<'_>) -> R) -> R {
    let lists: Vec<Lists<'_>> = setup.targets.iter().map(Lists::of).collect();
    let targets = setup.targets.iter().zip(&lists).map(|(facts, lists)| types::Target {
        name: &facts.name,
        provider: &facts.provider,
        model: &facts.model,
        kind: facts.kind,
        weight: facts.weight,
        fallback_only: facts.fallback_only,
        max_concurrent: facts.max_concurrent,
        models: &lists.models,
        context: facts.context,
        price: facts.price.map(|(input, output)| types::Price { input, output }),
        labels: &lists.labels,
    });
    let targets: Vec<_> = targets.collect();
    let attributes: Vec<&str> = setup.attributes.iter().map(String::as_str).collect();
    let Setup { route, prompt, config, .. } = setup;
    call(types::Setup { route, targets: &targets, attributes: &attributes, prompt: *prompt, config })
}

fn with_providers_v0_2<R>(setup: &Setup, call: impl FnOnce(v0_2_types::Setup<'_>) -> R) -> R {
    let lists: Vec<Lists<'_>> = setup.targets.iter().map(Lists::of).collect();
    let providers = setup.targets.iter().zip(&lists).map(|(facts, lists)| v0_2_types::Provider {
        name: &facts.name,
        kind: facts.kind,
        weight: facts.weight,
        fallback_only: facts.fallback_only,
        max_concurrent: facts.max_concurrent,
        models: &lists.models,
        price: facts.price.map(|(input, output)| types::Price { input, output }),
        labels: &lists.labels,
    });
    let providers: Vec<_> = providers.collect();
    call(v0_2_types::Setup { providers: &providers, config: &setup.config })
}

fn with_providers_v0_1<R>(setup: &Setup, call: impl FnOnce(v0_1_types::Setup<'_>) -> R) -> R {
    let lists: Vec<Lists<'_>> = setup.targets.iter().map(Lists::of).collect();
    let providers = setup.targets.iter().zip(&lists).map(|(facts, lists)| v0_1_types::Provider {
        name: &facts.name,
        kind: facts.kind,
        weight: facts.weight,
        fallback_only: facts.fallback_only,
        max_concurrent: facts.max_concurrent,
        models: &lists.models,
    });
    let providers: Vec<_> = providers.collect();
    call(v0_1_types::Setup { providers: &providers, config: &setup.config })
}

/// Candidates as 0.1 and 0.2 have them.
fn as_before(candidates: &[Candidate]) -> Vec<v0_2_types::Candidate> {
    candidates.iter().map(v0_2_types::Candidate::from).collect()
}

/// The lists of a target's facts, borrowed as the generated code wants them.
struct Lists<'a> {
    models: Vec<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Lists<'a> {
    fn of(facts: &'a TargetFacts) -> Self {
        Self {
            models: facts.models.iter().map(String::as_str).collect(),
            labels: facts.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        }
    }
}
