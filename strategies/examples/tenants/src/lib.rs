//! Gives each tenant targets of its own, which nobody else uses. Who the tenant is says an attribute of the request, such
//! as a header that a gateway has checked.
//!
//! An example of attributes, of leaving targets out for good, and of a config with names that become indices once.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_guest::{Candidates, Decision, Request, Setup, Strategy, TargetIndex};
use serde::Deserialize;

/// The configuration under `strategies.tenants.config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The attribute that names the tenant: one of `routing.attributes`.
    pub attribute: String,
    /// The targets of each tenant, by their names.
    pub tenants: BTreeMap<String, Vec<String>>,
}

/// The strategy `tenants`.
#[derive(Debug)]
pub struct Tenants {
    attribute: String,
    tenants: BTreeMap<String, BTreeSet<TargetIndex>>,
    /// All targets that are some tenant's.
    taken: BTreeSet<TargetIndex>,
}

const OWN: &str = "the targets of this tenant";
const SHARED: &str = "the targets that are nobody's own";

impl Strategy for Tenants {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[OWN, SHARED];
    const STATELESS: bool = true;

    fn new(setup: &Setup, Config { attribute, tenants }: Config) -> Result<Self, String> {
        setup.wants_attribute(&attribute).map_err(|error| format!("config.attribute: {error}"))?;
        let indices = |(tenant, names): (String, Vec<String>)| {
            let indices: Result<BTreeSet<_>, _> = names.iter().map(|name| setup.index_of(name)).collect();
            match indices {
                Ok(indices) if indices.is_empty() => {
                    Err(format!("config.tenants.{tenant}: must name a target at least"))
                }
                Ok(indices) => Ok((tenant, indices)),
                Err(error) => Err(format!("config.tenants.{tenant}: {error}")),
            }
        };
        let tenants = tenants.into_iter().map(indices).collect::<Result<BTreeMap<_, _>, _>>()?;
        let taken = tenants.values().flatten().copied().collect();
        Ok(Self { attribute, tenants, taken })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        match request.attribute(&self.attribute).and_then(|tenant| self.tenants.get(tenant)) {
            Some(own) => candidates.filter(|c| own.contains(&c.index())).weighted(request.seq).because(OWN),
            None => candidates.filter(|c| !self.taken.contains(&c.index())).weighted(request.seq).because(SHARED),
        }
    }
}

pointsman_guest::export!(Tenants);

#[cfg(test)]
mod tests;
