//! `monitoring.labels`: by what requests, tokens and cost are counted in metrics besides.

use std::collections::HashSet;

use super::problem::nearest;
use super::read::{Reader, Section};
use super::{Config, Route};

/// A label of metrics that is there where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricLabel {
    /// The class of the answer's status, such as `2xx`.
    Status,
    /// The model that was asked for, if the configuration names it.
    Model,
    /// The client.
    Client,
}

impl MetricLabel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Status, Self::Model, Self::Client];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Model => "model",
            Self::Client => "client",
        }
    }
}

/// The labels that are asked for, each once.
pub(super) fn labels(reader: &mut Reader<'_>, monitoring: &Section<'_>) -> Vec<MetricLabel> {
    let mut labels = Vec::new();
    for (at, node) in reader.list(monitoring, "labels") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        match MetricLabel::ALL.into_iter().find(|label| label.name() == found.text) {
            Some(label) if labels.contains(&label) => {}
            Some(label) => labels.push(label),
            None => {
                let names = MetricLabel::ALL.map(MetricLabel::name);
                let help = nearest(&found.text, &names).map(|near| format!("did you mean `{near}`?"));
                reader.not(&found.at, &format!("one of {}", names.join(", ")), &found.shown, help);
            }
        }
    }
    labels
}

impl Config {
    /// The names of models that it has, without those that are patterns: labels of metrics come from these.
    pub fn model_names(&self) -> HashSet<String> {
        let of_route = |route: &'_ Route| {
            let fallbacks = &route.fallbacks;
            let instead = [&fallbacks.on_failure, &fallbacks.on_context_window, &fallbacks.on_content_policy];
            instead.into_iter().flatten().chain(&route.models).cloned().collect::<Vec<_>>()
        };
        let routes = self.routes.iter().flat_map(of_route);
        let providers =
            self.providers.iter().flat_map(|provider| provider.models.iter().chain(provider.model_map.keys()));
        let prices = self.prices.models.iter().map(|price| &price.model);
        routes.chain(providers.chain(prices).cloned()).filter(|name| !name.contains('*')).collect()
    }
}
