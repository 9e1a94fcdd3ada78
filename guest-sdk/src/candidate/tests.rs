//! The orders that candidates can be put in.

use super::*;
use crate::testing::fixture;

/// Four providers, of which the second is not offered.
fn with_candidates<R>(test: impl FnOnce(Candidates<'_>) -> R) -> R {
    let providers: Vec<_> = [
        fixture("a").weight(4.0),
        fixture("b"),
        fixture("c").max_concurrent(2).models(["m"]),
        fixture("d").kind("azure").fallback_only(),
    ]
    .into_iter()
    .map(crate::testing::TargetFixture::into_target)
    .collect();
    let facts = [(0, 3, 900), (2, 2, 0), (3, 0, 500)].map(|(target, in_flight, latency_us)| wit::Candidate {
        in_flight,
        latency_us,
        failure_permille: 7,
        ..crate::testing::idle(target)
    });
    test(Candidates::new(&providers, &facts))
}

fn names(order: &Order<'_>) -> String {
    order.iter().map(Candidate::name).collect()
}

#[test]
fn a_candidate_joins_what_is_said_once_with_what_is_measured() {
    with_candidates(|candidates| {
        let all: Vec<_> = candidates.iter().collect();
        assert_eq!(all.iter().map(|c| c.index()).collect::<Vec<_>>(), [0, 2, 3]);
        let [a, c, d] = all[..] else { panic!("three are offered") };
        assert_eq!((a.name(), a.weight(), a.in_flight(), a.max_concurrent(), a.is_full()), ("a", 4.0, 3, None, false));
        assert_eq!(
            (c.name(), c.max_concurrent(), c.is_full(), c.models()),
            ("c", Some(2), true, &["m".to_owned()][..])
        );
        assert_eq!((d.kind(), d.fallback_only(), d.failure_permille()), ("azure", true, 7));
        assert_eq!((a.latency(), c.latency()), (Some(Duration::from_micros(900)), None));
        assert_eq!(candidates.find(2).map(Candidate::name), Some("c"));
        assert!(candidates.find(1).is_none());
    });
}

#[test]
fn preferences_compose_from_the_last_to_the_first() {
    with_candidates(|candidates| {
        assert_eq!(names(&candidates.sort_by_key(Candidate::latency)), "cda");
        assert_eq!(names(&candidates.rotate(1).prefer(|c| c.latency().is_some())), "dac");
        assert_eq!(names(&candidates.prefer(|c| c.kind() == "azure").then(candidates.rotate(1))), "dac");
    });
}

#[test]
fn groups_are_ordered_each_for_itself_and_nobody_is_left_out() {
    with_candidates(|candidates| {
        let (azure, others) = candidates.split(|c| c.kind() == "azure");
        let order = others.rotate(1).then(azure.in_order());
        assert_eq!(names(&order), "cad");
        assert!(Decision::from(order).excluded.is_empty());
        let (many, none) = candidates.filter(|c| c.name() != "a").split(|_| true);
        let decision = Decision::from(none.weighted(0).then(many.in_order()));
        assert_eq!(
            (decision.order, decision.excluded),
            (Ok(vec![2, 3]), vec![0]),
            "what was left out before stays out"
        );
    });
}

#[test]
fn what_is_left_out_stays_out_and_the_others_share_alone() {
    with_candidates(|candidates| {
        let excluded = |decision: Decision| (decision.order, decision.excluded);
        let others = candidates.filter(|c| c.name() != "c");
        assert_eq!((others.len(), others.is_empty(), candidates.filter(|_| false).is_empty()), (2, false, true));
        let firsts = (0..100).filter(|seq| names(&others.rotate(*seq)) == "ad").count();
        assert_eq!(firsts, 50);
        assert_eq!(excluded(others.filter(|c| c.name() == "a").weighted(7).into()), (Ok(vec![0]), vec![2, 3]));
        let later = others.in_order().filter(|c| c.name() == "d").then(candidates.rotate(0));
        assert_eq!(excluded(later.into()), (Ok(vec![3]), vec![2, 0]));
        assert_eq!(excluded(candidates.in_order().then(others.rotate(0)).into()), (Ok(vec![0, 3]), vec![2]));
        assert_eq!(excluded(others.into()), (Ok(vec![0, 3]), vec![2]));
    });
}

#[test]
fn a_target_says_what_it_is_and_what_is_left() {
    let target = fixture("a/large").provider("a").model("large").context(1000).into_target();
    let facts = [wit::Candidate { requests_left: 500, tokens_left: 7, ..crate::testing::idle(0) }];
    let targets = [target];
    let candidates = Candidates::new(&targets, &facts);
    let only = candidates.find(0).expect("there");
    assert_eq!((only.name(), only.provider(), only.model()), ("a/large", "a", "large"));
    assert_eq!((only.context(), only.has_room_for(1000), only.has_room_for(1001)), (Some(1000), true, false));
    assert_eq!((only.requests_left(), only.tokens_left()), (500, 7));
}

#[test]
fn over_some_turns_each_pair_of_first_and_second_comes_equally_often() {
    with_candidates(|candidates| {
        let mut pairs = std::collections::BTreeMap::<_, u32>::new();
        for seq in 0..60 {
            *pairs.entry(names(&candidates.rotate(seq))[..2].to_owned()).or_default() += 1;
        }
        assert_eq!(pairs.into_values().collect::<Vec<_>>(), [10; 6]);
    });
}

#[test]
fn affinity_survives_the_loss_of_others() {
    with_candidates(|candidates| {
        let shorter = Candidates::new(candidates.targets, &candidates.facts[..2]);
        for key in 0..500_u32 {
            let before = names(&candidates.rendezvous(key.to_le_bytes()));
            assert_eq!(names(&shorter.rendezvous(key.to_le_bytes())), before.replace('d', ""));
        }
    });
}

#[test]
fn of_two_drawn_by_chance_the_better_one_comes_first() {
    with_candidates(|candidates| {
        let mut firsts = std::collections::BTreeMap::new();
        for one in 0..60_u32 {
            for other in 0..60 {
                let entropy = (one * 1092) | (other * 1092) << 16;
                let order = candidates.best_of_two(entropy, Candidate::in_flight);
                let mut seen = names(&order).into_bytes();
                seen.sort_unstable();
                assert_eq!(seen, b"acd");
                *firsts.entry(order.iter().next().expect("three").name()).or_insert(0) += 1;
            }
        }
        // Three pairs, drawn equally often: the least busy one wins two of them, the busiest none.
        assert_eq!(firsts.get("a"), None);
        let share = |name| f64::from(firsts[name]) / 3600.0;
        assert!((share("d") - 2.0 / 3.0).abs() < 0.02 && (share("c") - 1.0 / 3.0).abs() < 0.02, "{firsts:?}");
    });
}

#[test]
fn one_candidate_needs_no_draw() {
    let provider = [fixture("a").into_target()];
    let facts = [crate::testing::idle(0)];
    let candidates = Candidates::new(&provider, &facts);
    for entropy in [0, 1, u32::MAX] {
        assert_eq!(names(&candidates.best_of_two(entropy, Candidate::in_flight)), "a");
    }
}

#[test]
fn weights_that_are_ready_give_the_same_draws_and_the_host_adds_the_rest() {
    for count in [1_u32, 3, 4, 32, 33, 100] {
        let target = |index: u32| fixture(&index.to_string()).weight(f64::from(index * 7 % 5 + 1)).into_target();
        let targets: Vec<_> = (0..count).map(target).collect();
        let table = Table::new(&targets);
        let all: Vec<_> = (0..count).map(crate::testing::idle).collect();
        let indices = |order: &Order<'_>| order.iter().map(Candidate::index).collect::<Vec<_>>();
        for offered in
            [&all[..], &all[1..], &all[..count as usize / 2], &all[1..]].into_iter().filter(|some| !some.is_empty())
        {
            let candidates = Candidates::new(&targets, offered).with_table(&table);
            for seq in 0..200 {
                let order = candidates.weighted(seq);
                // Of a group nothing is ready, and the host could not tell what to add.
                let by_hand = candidates.split(|_| true).0.weighted_by(seq, Candidate::weight);
                assert_eq!(indices(&order), indices(&by_hand));
                let (decision, by_hand) = (Decision::from(order), Decision::from(by_hand));
                assert_eq!(decision.order.as_ref().map(Vec::len), Ok(offered.len().min(4)));
                assert!(decision.goes_on && !by_hand.goes_on);
                assert_eq!(decision.listed(offered).order, by_hand.order);
            }
        }
    }
}

#[test]
fn what_follows_by_itself_is_listed_as_soon_as_the_order_is_refined() {
    with_candidates(|candidates| {
        let order = Decision::from(candidates.in_order());
        assert_eq!((order.order.clone(), order.goes_on), (Ok(vec![0]), true));
        assert_eq!(
            order.excluding([2]).listed(&candidates.facts).order,
            Ok(vec![0, 3]),
            "those left out do not follow"
        );
        assert!(!candidates.in_order().is_empty());
        let each = candidates.in_order().because_each(|_| "so");
        assert_eq!((each.order, each.reasons.len(), each.goes_on), (Ok(vec![0, 2, 3]), 3, false));
        assert_eq!(names(&candidates.weighted(0).filter(|c| c.name() != "c").then(candidates.in_order())), "ad");
    });
}
