//! From a type to a component: the functions of the contract.

use crate::bindings::exports::pointsman::approach::meta::{Info, OptionInfo};
use crate::bindings::pointsman::approach::types as wit;
use crate::host::Host;
use crate::llm::{Backend, Llm};
use crate::{Approach, Problem, Request, options};

/// `runner.run`
///
/// # Errors
///
/// As the contract has it.
pub fn run<A: Approach>(request: &Request) -> Result<Vec<wit::Final>, Problem> {
    run_with::<A>(request, &Host)
}

pub(crate) fn run_with<A: Approach>(request: &Request, backend: &dyn Backend) -> Result<Vec<wit::Final>, Problem> {
    let options = read::<A>(&request.config).map_err(Problem::Unsuitable)?;
    A::run(request, options, &Llm::new(backend)).map(crate::Answer::into_finals)
}

/// `meta.describe`
pub fn describe<A: Approach>(name: &str, version: &str, description: &str) -> Info {
    let option = |(name, about): &(&str, &str)| OptionInfo { name: (*name).to_owned(), about: (*about).to_owned() };
    let (name, version, description) = (name.to_owned(), version.to_owned(), description.to_owned());
    let options = A::OPTIONS.iter().map(option).collect();
    Info { name, version, description, options, many: A::MANY, tools: A::TOOLS }
}

/// `meta.check`
///
/// # Errors
///
/// Says what is wrong with the options.
pub fn check<A: Approach>(config: &str) -> Result<(), String> {
    read::<A>(config).map(drop)
}

fn read<A: Approach>(config: &str) -> Result<A::Options, String> {
    let options = options::parse(config)?;
    A::check(&options)?;
    Ok(options)
}

/// Makes the crate's component: `export!(MyApproach);`, once, at the top of the crate. On targets other than
/// WebAssembly it only checks that the type is an [`Approach`], so that the crate can be tested natively.
#[macro_export]
macro_rules! export {
    ($approach:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            let _ = <$approach as $crate::Approach>::run;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct PointsmanComponent;

            impl $crate::bindings::exports::pointsman::approach::runner::Guest for PointsmanComponent {
                fn run(
                    request: $crate::Request,
                ) -> ::std::result::Result<
                    ::std::vec::Vec<$crate::bindings::pointsman::approach::types::Final>,
                    $crate::Problem,
                > {
                    $crate::hidden::run::<$approach>(&request)
                }
            }

            impl $crate::bindings::exports::pointsman::approach::meta::Guest for PointsmanComponent {
                fn describe() -> $crate::bindings::exports::pointsman::approach::meta::Info {
                    $crate::hidden::describe::<$approach>(
                        ::std::env!("CARGO_PKG_NAME"),
                        ::std::env!("CARGO_PKG_VERSION"),
                        ::std::env!("CARGO_PKG_DESCRIPTION"),
                    )
                }

                fn check(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::hidden::check::<$approach>(&config)
                }
            }

    $crate::bindings::export_component!(PointsmanComponent with_types_in $crate::bindings);
        };
    };
}
