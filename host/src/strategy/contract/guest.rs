//! A guest that speaks one of the versions of the contract, and the calls as the rest of the host makes them.
//!
//! Each version has functions and types of its own, generated from its WIT; that they are called in the same way is
//! written down once, in the macro `speak`.

use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Result, Store};

use super::types::{Candidate, Decision, Outcome, Price};
use super::{previous, types};
use crate::routing::{Facts, TargetFacts};
use crate::wasm::sandbox::Sandbox;

/// A version of the contract that this host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 0.1
    V0_1,
    /// 0.2
    V0_2,
}

impl Version {
    /// All of them, the newest first.
    pub const ALL: [Version; 2] = [Version::V0_2, Version::V0_1];

    /// The package's version up to the part that does not matter.
    pub fn prefix(self) -> &'static str {
        match self {
            Version::V0_1 => "0.1.",
            Version::V0_2 => "0.2.",
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
}

/// What a strategy says of itself; for one without `meta`, nothing.
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
    /// Whether it wants reports of attempts.
    pub observes: bool,
}

/// Where a component has the functions of the contract.
pub enum Indices {
    /// Of version 0.1.
    V0_1(v0_1::Indices),
    /// Of version 0.2.
    V0_2(v0_2::Indices),
}

/// The functions of one instance.
pub enum Guest {
    /// Of version 0.1.
    V0_1(v0_1::Guest),
    /// Of version 0.2.
    V0_2(v0_2::Guest),
}

/// Makes what strategies may import available, in every version.
pub fn link(linker: &mut Linker<Sandbox>) -> Result<()> {
    super::host_log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    previous::host_log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)
}

impl Indices {
    /// Finds the functions in a component of this version.
    pub fn new(version: Version, pre: &InstancePre<Sandbox>, hooks: Hooks) -> Result<Self> {
        Ok(match version {
            Version::V0_1 => Indices::V0_1(v0_1::Indices::new(pre, hooks)?),
            Version::V0_2 => Indices::V0_2(v0_2::Indices::new(pre, hooks)?),
        })
    }

    /// Finds them in an instance.
    pub fn load(&self, store: &mut Store<Sandbox>, instance: &wasmtime::component::Instance) -> Result<Guest> {
        Ok(match self {
            Indices::V0_1(indices) => Guest::V0_1(indices.load(store, instance)?),
            Indices::V0_2(indices) => Guest::V0_2(indices.load(store, instance)?),
        })
    }
}

impl Guest {
    /// `router.init`
    pub fn init(
        &self,
        store: &mut Store<Sandbox>,
        providers: &[TargetFacts],
        config: &str,
    ) -> Result<Result<(), String>> {
        match self {
            Guest::V0_1(guest) => guest.init(store, providers, config),
            Guest::V0_2(guest) => guest.init(store, providers, config),
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
            Guest::V0_1(guest) => guest.router.call_route(store, facts.into(), candidates),
            Guest::V0_2(guest) => guest.router.call_route(store, facts.into(), candidates),
        }
    }

    /// `meta.describe`, if it is exported.
    pub fn describe(&self, store: &mut Store<Sandbox>) -> Result<Option<Info>> {
        match self {
            Guest::V0_1(guest) => guest.describe(store),
            Guest::V0_2(guest) => guest.describe(store),
        }
    }

    /// Whether `feedback` is exported.
    pub fn has_feedback(&self) -> bool {
        match self {
            Guest::V0_1(guest) => guest.feedback.is_some(),
            Guest::V0_2(guest) => guest.feedback.is_some(),
        }
    }

    /// `feedback.observe`, if it is exported.
    pub fn observe(&self, store: &mut Store<Sandbox>, outcomes: &[Outcome]) -> Result<()> {
        match self {
            Guest::V0_1(guest) => guest.observe(store, outcomes),
            Guest::V0_2(guest) => guest.observe(store, outcomes),
        }
    }
}

/// One version, whose generated code is in `$bindings`. `$provider` makes its `provider` of what every version has, of
/// the facts, and of the list of labels.
macro_rules! speak {
    ($name:ident, $bindings:path, $provider:expr) => {
        /// One version of the contract.
        pub mod $name {
            use wasmtime::component::{Instance, InstancePre};
            use wasmtime::{Result, Store};

            use super::{Hooks, Info, Lists, Outcome, Sandbox, TargetFacts};
            use $bindings as bindings;

            /// Where a component has the functions.
            pub struct Indices {
                router: bindings::router::GuestIndices,
                meta: Option<bindings::meta::GuestIndices>,
                feedback: Option<bindings::feedback::GuestIndices>,
            }

            /// The functions of one instance.
            pub struct Guest {
                pub(super) router: bindings::router::Guest,
                meta: Option<bindings::meta::Guest>,
                pub(super) feedback: Option<bindings::feedback::Guest>,
            }

            impl Indices {
                pub(super) fn new(pre: &InstancePre<Sandbox>, hooks: Hooks) -> Result<Self> {
                    Ok(Self {
                        router: bindings::router::GuestIndices::new(pre)?,
                        meta: hooks.meta.then(|| bindings::meta::GuestIndices::new(pre)).transpose()?,
                        feedback: hooks.feedback.then(|| bindings::feedback::GuestIndices::new(pre)).transpose()?,
                    })
                }

                pub(super) fn load(&self, store: &mut Store<Sandbox>, instance: &Instance) -> Result<Guest> {
                    Ok(Guest {
                        router: self.router.load(&mut *store, instance)?,
                        meta: self.meta.as_ref().map(|meta| meta.load(&mut *store, instance)).transpose()?,
                        feedback: self.feedback.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
                    })
                }
            }

            impl Guest {
                pub(super) fn init(
                    &self,
                    store: &mut Store<Sandbox>,
                    providers: &[TargetFacts],
                    config: &str,
                ) -> Result<Result<(), String>> {
                    let lists: Vec<Lists<'_>> = providers.iter().map(Lists::of).collect();
                    let providers: Vec<_> = providers.iter().zip(&lists).map($provider).collect();
                    self.router.call_init(store, bindings::types::Setup { providers: &providers, config })
                }

                pub(super) fn describe(&self, store: &mut Store<Sandbox>) -> Result<Option<Info>> {
                    let Some(meta) = &self.meta else { return Ok(None) };
                    let bindings::meta::Info { name, version, description, reasons, observes } =
                        meta.call_describe(store)?;
                    Ok(Some(Info { name, version, description, reasons, observes }))
                }

                pub(super) fn observe(&self, store: &mut Store<Sandbox>, outcomes: &[Outcome]) -> Result<()> {
                    match &self.feedback {
                        Some(feedback) => feedback.call_observe(store, outcomes),
                        None => Ok(()),
                    }
                }
            }
        }
    };
}

speak!(v0_1, crate::strategy::contract::previous, |(facts, lists)| super::previous::types::Provider {
    name: &facts.name,
    kind: facts.kind,
    weight: facts.weight,
    fallback_only: facts.fallback_only,
    max_concurrent: facts.max_concurrent,
    models: &lists.models,
});

speak!(v0_2, crate::strategy::contract, |(facts, lists)| super::types::Provider {
    name: &facts.name,
    kind: facts.kind,
    weight: facts.weight,
    fallback_only: facts.fallback_only,
    max_concurrent: facts.max_concurrent,
    models: &lists.models,
    price: facts.price.map(|(input, output)| super::Price { input, output }),
    labels: &lists.labels,
});

/// The lists of a provider's facts, borrowed as the generated code wants them.
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
