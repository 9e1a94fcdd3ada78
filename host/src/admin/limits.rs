//! The limits of clients, groups and routes: for metrics, and as the configuration writes them.

use jiff::civil::Time;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::config::Period;
use crate::limits::{Account, Meter, Moment, Owner, Rule, Unit};
use crate::metrics::state::LimitState;
use crate::proxy::Proxy;

/// The most owners of one kind that are shown: each is some time series.
const SHOWN: usize = 1000;

/// The limits of all owners, of each kind the first by name. Those of providers' accounts are shown with their provider.
pub(super) fn states(proxy: &Proxy) -> Vec<LimitState> {
    let (now, mut accounts) = (proxy.means().moment(Instant::now()), proxy.generation().accounts.book().accounts());
    accounts.sort_by(|one, other| one.owner().cmp(other.owner()));
    let mut shown = [0_usize; Owner::KINDS.len()];
    accounts.retain(|account| {
        let kind = account.owner().kind();
        shown[kind] += 1;
        shown[kind] <= SHOWN && !matches!(account.owner(), Owner::Account(_))
    });
    accounts.iter().flat_map(|account| of_account(account, now)).collect()
}

fn of_account(account: &Account, now: Moment) -> Vec<LimitState> {
    let owner = account.owner().to_string();
    let state = |limit: String, most: f64, remaining: f64| LimitState { owner: owner.clone(), limit, most, remaining };
    let of_meter = |meter: &Meter| {
        // Billionths of a dollar.
        let (name, unit) = if meter.unit == Unit::Money {
            (format!("usd:{}", meter.name), 1e9)
        } else {
            (meter.name.to_string(), 1.0)
        };
        state(name, meter.amount() as f64 / unit, meter.remaining(now) as f64 / unit)
    };
    let mut states: Vec<_> = account.meters().iter().map(of_meter).collect();
    if let Some((limit, held)) = account.parallel() {
        states.push(state("parallel".to_owned(), limit.into(), limit.saturating_sub(held).into()));
    }
    states
}

/// `limits` and `budget` of an account, in the words of the configuration.
pub(super) fn written(account: &Account) -> Map<String, Value> {
    let meters = |is_money: bool| account.meters().iter().filter(move |meter| (meter.unit == Unit::Money) == is_money);
    let mut limits: Map<String, Value> =
        meters(false).map(|meter| (meter.name.to_string(), meter.amount().into())).collect();
    if let Some((parallel, _)) = account.parallel() {
        limits.insert("parallel".to_owned(), parallel.into());
    }
    if let Some(tokens) = account.tokens_per_request() {
        limits.insert("tokens_per_request".to_owned(), tokens.into());
    }
    let budgets: Vec<Value> = meters(true).map(budget).collect();
    let mut all = Map::new();
    if !limits.is_empty() {
        all.insert("limits".to_owned(), limits.into());
    }
    if !budgets.is_empty() {
        all.insert("budget".to_owned(), budgets.into());
    }
    all
}

fn budget(meter: &Meter) -> Value {
    let mut budget = json!({"usd": meter.amount() as f64 / 1e9, "per": &*meter.name});
    let Rule::Budget { calendar, .. } = &meter.rule else { return budget };
    let (period, zone, at) = calendar.parts();
    match period {
        Period::Week(day) if day != jiff::civil::Weekday::Monday => {
            budget["starts"] = format!("{day:?}").to_ascii_lowercase().into();
        }
        Period::Month(day) if day != 1 => budget["starts"] = day.into(),
        _ => {}
    }
    if let Some(name) = zone.iana_name().filter(|name| *name != "UTC") {
        budget["time_zone"] = name.into();
    }
    if at != Time::midnight() {
        budget["at"] = at.strftime("%H:%M").to_string().into();
    }
    budget
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;
    use crate::limits::Book;

    #[test]
    fn limits_are_written_as_they_were_read() {
        let group = json!({
            "name": "g",
            "limits": {"rpm": 5, "tpd": 70_000, "parallel": 3, "tokens_per_request": 900},
            "budget": [
                {"usd": 0.5, "per": "hour"},
                {"usd": 50.0, "per": "week", "starts": "friday", "time_zone": "Europe/Berlin", "at": "06:30"},
                {"usd": 9.0, "per": "month", "starts": 15},
                {"usd": 7.25, "per": "30d"},
                {"usd": 1000.0, "per": "total"},
            ],
        });
        let providers = json!([{"name": "a", "base_url": "http://a/v1", "api_key": "k"}]);
        let config = json!({"providers": providers, "clients": {"groups": [&group]}}).to_string();
        let config = parse(&config, Path::new("x.yaml"), &|_| None, &["round_robin"]).unwrap();
        let account = Book::default().account(Owner::Group("g".into()), &config.clients.groups[0].limits);
        let written = written(&account);
        assert_eq!((&written["limits"], &written["budget"]), (&group["limits"], &group["budget"]));
    }
}
