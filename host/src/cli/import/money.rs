//! Budgets and rates: LiteLLM's words for money in ours.

use serde_yaml::{Mapping, Value};

use super::output::figure;
use crate::config::{PriceTier, Rates};

/// So many dollars in a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Budget {
    pub usd: f64,
    /// The time, as `per` names it.
    pub per: String,
}

impl Budget {
    /// A budget of LiteLLM's; without a time it is for good. The error is a note for the report.
    pub fn of(usd: Option<f64>, time: Option<&str>) -> Result<Self, &'static str> {
        // As the configuration allows it.
        let Some(usd) = usd.filter(|usd| (0.5..=9e15).contains(&(usd * 1e9))) else {
            return Err("is not an amount that a budget can have, and was left out");
        };
        let per = time.map_or(Some("total".to_owned()), per);
        per.map(|per| Self { usd, per }).ok_or("is for a time that has no counterpart, so the budget was left out")
    }

    /// As the configuration writes it, with the zone in which its days begin.
    pub fn written(&self, zone: Option<&str>) -> Mapping {
        let mut budget: Mapping =
            [("usd".into(), figure(self.usd)), ("per".into(), self.per.as_str().into())].into_iter().collect();
        if let Some(zone) = zone.filter(|_| matches!(self.per.as_str(), "hour" | "day" | "week" | "month")) {
            budget.insert("time_zone".into(), zone.into());
        }
        budget
    }
}

/// The time of a budget from LiteLLM's text for it, which begins days, weeks and months where the calendar does.
fn per(text: &str) -> Option<String> {
    match text {
        "1h" => Some("hour".to_owned()),
        "24h" | "1d" => Some("day".to_owned()),
        "7d" | "1w" => Some("week".to_owned()),
        "30d" | "1mo" => Some("month".to_owned()),
        _ => {
            let days: u32 = text.strip_suffix('d')?.parse().ok()?;
            (1..=366).contains(&days).then(|| format!("{days}d"))
        }
    }
}

/// Rates as `prices` writes them.
pub(super) fn written(rates: &Rates, tiers: &[PriceTier]) -> Mapping {
    let mapping = |rates: &Rates| rates.set().map(|(name, rate)| (name.into(), figure(rate))).collect::<Mapping>();
    let mut all = mapping(rates);
    if !tiers.is_empty() {
        let tier = |tier: &PriceTier| {
            let above = [(Value::from("above"), Value::from(tier.above))];
            Value::Mapping(above.into_iter().chain(mapping(&tier.rates)).collect())
        };
        all.insert("tiers".into(), Value::Sequence(tiers.iter().map(tier).collect()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_have_the_times_of_the_calendar_where_litellm_means_them() {
        let per = |time: &str| Budget::of(Some(5.0), Some(time)).map(|budget| budget.per).unwrap_or_default();
        let times = ["1h", "24h", "7d", "30d", "1mo", "14d", "30s", "x"].map(per);
        assert_eq!(times, ["hour", "day", "week", "month", "month", "14d", "", ""]);
        assert_eq!(Budget::of(Some(5.0), None).unwrap().per, "total");
        for none in [None, Some(0.0), Some(-1.0), Some(1e10)] {
            assert!(Budget::of(none, None).is_err(), "{none:?}");
        }
        let zone = |time: &str| Budget::of(Some(5.0), Some(time)).unwrap().written(Some("Europe/Berlin"));
        assert!(zone("1d").contains_key("time_zone") && !zone("14d").contains_key("time_zone"));
    }
}
