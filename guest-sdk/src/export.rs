//! Turns a type into a component: the functions of the contract, and the instance behind them.

use std::cell::RefCell;

use crate::bindings::exports::pointsman::strategy::meta::Info;
use crate::bindings::pointsman::strategy::types as wit;
use crate::decision::Reason;
use crate::draw::Table;
use crate::{Candidates, Outcome, Request, Setup, Strategy, Target, config};

/// The one instance that a component holds, from `init` on. A component has a single thread and the host never calls
/// into a call, so the cell is never borrowed twice.
#[derive(Debug)]
pub struct Running<S>(RefCell<Option<Started<S>>>);

#[derive(Debug)]
pub(crate) struct Started<S> {
    strategy: S,
    targets: Vec<Target>,
    table: Table,
    /// The texts of [`Strategy::reasons`].
    pub(crate) own_reasons: Vec<String>,
}

impl<S: Strategy> Started<S> {
    pub(crate) fn new(setup: wit::Setup) -> Result<Self, String> {
        let (setup, config) = Setup::new(setup);
        let strategy = S::new(&setup, config::parse(&config)?)?;
        let own_reasons = strategy.reasons();
        let targets = setup.into_targets();
        let table = Table::new(&targets);
        Ok(Self { strategy, targets, table, own_reasons })
    }

    pub(crate) fn route(&mut self, request: &Request, facts: &[wit::Candidate]) -> crate::Decision {
        self.strategy.route(request, &Candidates::new(&self.targets, facts).with_table(&self.table))
    }

    /// The text of a reason; an error about one that nobody has declared.
    pub(crate) fn text_of(&self, reason: Reason) -> Result<&str, String> {
        match reason {
            Reason::Declared(text) if S::REASONS.contains(&text) => Ok(text),
            Reason::Declared(text) => Err(format!("the reason {text:?} is not one of REASONS: {:?}", S::REASONS)),
            Reason::Own(number) => self.own_reasons.get(number).map(String::as_str).ok_or_else(|| {
                format!("the reason {number} is not one of reasons(), which are {}", self.own_reasons.len())
            }),
        }
    }

    pub(crate) fn observe(&mut self, outcomes: &[Outcome]) {
        self.strategy.observe(outcomes);
    }
}

impl<S: Strategy> Running<S> {
    /// The state before `init`.
    #[expect(clippy::new_without_default, reason = "a static needs a const function")]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// `router.init`
    pub fn init(&self, setup: wit::Setup) -> Result<(), String> {
        self.0.replace(Some(Started::new(setup)?));
        Ok(())
    }

    /// `router.route`
    pub fn route(&self, request: &Request, facts: &[wit::Candidate]) -> Result<wit::Decision, String> {
        match &mut *self.0.borrow_mut() {
            Some(started) => started.route(request, facts).into_wit::<S>(),
            None => Err("route was called before init".to_owned()),
        }
    }

    /// `feedback.observe`
    pub fn observe(&self, outcomes: &[Outcome]) {
        if let Some(started) = &mut *self.0.borrow_mut() {
            started.observe(outcomes);
        }
    }

    /// `meta.describe`
    pub fn describe(&self, name: &str, version: &str, description: &str) -> Info {
        let declared = ["unspecified"].iter().chain(S::REASONS).map(|reason| (*reason).to_owned());
        let started = self.0.borrow();
        let own = started.iter().flat_map(|started| started.own_reasons.iter().cloned());
        let reasons = declared.chain(own).collect();
        let (name, version, description) = (name.to_owned(), version.to_owned(), description.to_owned());
        Info { name, version, description, reasons, observes: S::OBSERVES }
    }
}

/// Makes the crate's component: `export!(MyStrategy);`, once, at the top of the crate. On targets other than WebAssembly
/// it only checks that the type is a [`Strategy`], so that the crate can be tested natively.
#[macro_export]
macro_rules! export {
    ($strategy:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            let _ = <$strategy as $crate::Strategy>::new;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static POINTSMAN_RUNNING: $crate::hidden::Running<$strategy> =
                    const { $crate::hidden::Running::new() };
            }

            struct PointsmanComponent;

            impl $crate::bindings::exports::pointsman::strategy::router::Guest for PointsmanComponent {
                fn init(
                    setup: $crate::bindings::pointsman::strategy::types::Setup,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    POINTSMAN_RUNNING.with(|running| running.init(setup))
                }

                fn route(
                    request: $crate::Request,
                    candidates: ::std::vec::Vec<$crate::bindings::pointsman::strategy::types::Candidate>,
                ) -> ::std::result::Result<
                    $crate::bindings::pointsman::strategy::types::Decision,
                    ::std::string::String,
                > {
                    POINTSMAN_RUNNING.with(|running| running.route(&request, &candidates))
                }
            }

            impl $crate::bindings::exports::pointsman::strategy::meta::Guest for PointsmanComponent {
                fn describe() -> $crate::bindings::exports::pointsman::strategy::meta::Info {
                    POINTSMAN_RUNNING.with(|running| {
                        running.describe(
                            ::std::env!("CARGO_PKG_NAME"),
                            ::std::env!("CARGO_PKG_VERSION"),
                            ::std::env!("CARGO_PKG_DESCRIPTION"),
                        )
                    })
                }
            }

            impl $crate::bindings::exports::pointsman::strategy::feedback::Guest for PointsmanComponent {
                fn observe(outcomes: ::std::vec::Vec<$crate::Outcome>) {
                    POINTSMAN_RUNNING.with(|running| running.observe(&outcomes));
                }
            }

            impl $crate::bindings::exports::pointsman::strategy::state::Guest for PointsmanComponent {
                fn is_stateless() -> bool {
                    <$strategy as $crate::Strategy>::STATELESS
                }
            }

            $crate::bindings::export_component!(PointsmanComponent with_types_in $crate::bindings);
        };
    };
}
