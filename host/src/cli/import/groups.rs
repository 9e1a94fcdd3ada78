//! Model groups become routes: a target for each deployment, with weights, tiers and timeouts.

use super::deployment::{Deployment, Endpoint};
use super::output::{Price, RouteOut, TargetOut, TimeoutsOut, figure};
use super::report::{About, Report, Status};

/// The deployments of one name.
#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub deployments: Vec<Deployment>,
}

/// Puts a deployment list under its group's name.
pub(super) fn collect(groups: &mut Vec<Group>, name: String, deployments: Vec<Deployment>) {
    match groups.iter_mut().find(|group| group.name == name) {
        Some(group) => group.deployments.extend(deployments),
        None => groups.push(Group { name, deployments }),
    }
}

/// The routes in LiteLLM's order of search: exact names first, then patterns, the most specific first; and the
/// endpoints in the order of their targets. `shuffled` means LiteLLM's simple shuffle, which uses weights.
pub(super) fn routes(groups: Vec<Group>, shuffled: bool, report: &mut Report) -> (Vec<RouteOut>, Vec<Endpoint>) {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut routes = Vec::new();
    for mut group in groups {
        let about = About::Group(group.name.clone());
        if group.deployments.is_empty() {
            let note = "has no deployment left, so no route was made for it";
            report.say(&About::File, format!("model group {}", group.name), Status::Manual, note);
            // Its lines have no route where they could be written.
            for line in report.lines.iter_mut().filter(|line| line.about == about) {
                line.about = About::File;
            }
            continue;
        }
        let timeouts = timeouts(&mut group.deployments);
        let weights = weights(&group, shuffled, report);
        let tiers = tiers(&group, report);
        let mut targets: Vec<TargetOut> = Vec::new();
        for ((deployment, weight), tier) in group.deployments.into_iter().zip(weights).zip(tiers) {
            let known = endpoints.iter().position(|known| *known == deployment.endpoint);
            let endpoint = known.unwrap_or_else(|| {
                endpoints.push(deployment.endpoint.clone());
                endpoints.len() - 1
            });
            let target = target(deployment, endpoint, weight, tier);
            match targets.iter_mut().find(|known| (known.endpoint, &known.model) == (target.endpoint, &target.model)) {
                Some(known) => {
                    known.amount = Some(known.amount.unwrap_or(1.0) + target.amount.unwrap_or(1.0));
                    let note = "has the same deployment twice; it became one target with the sum of the weights";
                    report.say(&about, format!("model group {}", group.name), Status::Approximate, note);
                }
                None => targets.push(target),
            }
        }
        routes.push(RouteOut {
            group: group.name.clone(),
            models: vec![group.name],
            targets,
            strategy: None,
            timeouts,
            fallbacks: None,
        });
    }
    routes.sort_by_key(|route| {
        let ends = route.group.split_once('*').map(|(before, after)| std::cmp::Reverse((before.len(), after.len())));
        (ends.is_some(), ends)
    });
    (routes, endpoints)
}

fn target(deployment: Deployment, endpoint: usize, weight: Option<f64>, fallback: bool) -> TargetOut {
    let Deployment { model, price, rates, context, labels, .. } = deployment;
    TargetOut {
        endpoint,
        provider: String::new(),
        model,
        amount: weight,
        weight: None,
        tier: fallback.then_some("fallback"),
        rates,
        price: price.map(|(input, output)| Price { input: figure(input), output: figure(output) }),
        context,
        labels: (!labels.is_empty())
            .then(|| labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
    }
}

/// The route's timeouts if all deployments agree; otherwise each keeps its own, at a provider of its own.
fn timeouts(deployments: &mut [Deployment]) -> Option<TimeoutsOut> {
    let first = deployments.first().and_then(|deployment| deployment.timeout);
    let agreed = first.filter(|_| deployments.iter().all(|deployment| deployment.timeout == first));
    if agreed.is_none() {
        for deployment in deployments.iter_mut() {
            deployment.endpoint.request = deployment.timeout.filter(|seconds| *seconds > 0.0);
        }
    }
    let streams = deployments.iter().filter_map(|deployment| deployment.stream_timeout);
    let first_token = streams.reduce(f64::max).filter(|seconds| *seconds > 0.0);
    let request = agreed.filter(|seconds| *seconds > 0.0);
    (request.is_some() || first_token.is_some())
        .then(|| TimeoutsOut { request: request.map(figure), first_token: first_token.map(figure) })
}

/// The weight of each target. LiteLLM goes by the first of `weight`, `rpm` and `tpm` that the first deployment has.
fn weights(group: &Group, shuffled: bool, report: &mut Report) -> Vec<Option<f64>> {
    type Figure = fn(&Deployment) -> Option<f64>;
    let kinds: [(&str, Figure); 3] = [("weight", |it| it.weight), ("rpm", |it| it.rpm), ("tpm", |it| it.tpm)];
    let kinds = if shuffled { &kinds[..] } else { &kinds[..1] };
    let first = group.deployments.first();
    let Some((name, of)) = kinds.iter().find(|(_, of)| first.is_some_and(|first| of(first).is_some())) else {
        return vec![None; group.deployments.len()];
    };
    let about = About::Group(group.name.clone());
    if *name != "weight" && group.deployments.len() > 1 {
        let key = format!(".litellm_params.{name}");
        for line in report.lines.iter_mut().filter(|line| line.about == about && line.key.ends_with(&key)) {
            line.note.push_str("; it is also the weight of the target, because LiteLLM distributes requests by it");
        }
    }
    if group.deployments.iter().any(|deployment| of(deployment).is_none_or(|weight| weight == 0.0)) {
        let note = format!(
            "deployments without a {name}, or with 0, get no request in LiteLLM; here they are in the tier fallback"
        );
        report.say(&about, format!("model group {}", group.name), Status::Approximate, note);
    }
    let alone = group.deployments.len() == 1 && *name != "weight";
    group.deployments.iter().map(|deployment| of(deployment).filter(|_| !alone)).collect()
}

/// Decides which targets are in the tier fallback.
fn tiers(group: &Group, report: &mut Report) -> Vec<bool> {
    let orders = group.deployments.iter().filter_map(|deployment| deployment.order);
    let least = orders.clone().reduce(f64::min);
    let mut different: Vec<f64> = orders.collect();
    different.sort_by(f64::total_cmp);
    different.dedup();
    if different.len() > 2 {
        let note = "has more than two values of `order`; all but the first become the tier fallback";
        report.say(&About::Group(group.name.clone()), format!("model group {}", group.name), Status::Approximate, note);
    }
    group.deployments.iter().map(|deployment| least.is_some() && deployment.order != least).collect()
}
