//! No namespace starves another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tasker_engine::{Claim, Entropy, SeededEntropy, StepBuilder, Template};

use super::within;
use crate::harness::Harness;
use crate::outcome::succeed;

fn namespace(claim: &Claim) -> String {
    claim.task.template.namespace().to_string()
}

pub(super) async fn namespaces_take_turns(h: &Harness) {
    for name in ["east", "west", "north"] {
        for _ in 0..4 {
            h.create(within(name)).await;
        }
    }
    let mut recent: VecDeque<String> = VecDeque::new();
    for _ in 0..12 {
        recent.push_back(namespace(&h.claim(1).await[0]));
        if recent.len() == 3 {
            assert_eq!(recent.iter().collect::<BTreeSet<_>>().len(), 3, "{recent:?}");
            recent.pop_front();
        }
    }
}

pub(super) async fn a_low_priority_in_another_namespace_is_not_starved(h: &Harness) {
    for _ in 0..8 {
        let mut task = h.new_task(within("urgent"));
        task.priority = 100;
        h.create_all(vec![task]).await;
    }
    h.create(within("patient")).await;
    let mut served = Vec::new();
    for _ in 0..2 {
        served.extend(h.claim(2).await.iter().map(namespace));
    }
    assert!(served.contains(&"patient".to_owned()), "{served:?}");
}

pub(super) async fn a_chain_does_not_starve_another_namespace(h: &Harness) {
    let names: Vec<String> = (0..8).map(|number| format!("link_{number}")).collect();
    let links = names.iter().enumerate().map(|(number, name)| {
        let step = StepBuilder::new(name, "any");
        if number == 0 {
            step
        } else {
            step.depends_on([&names[number - 1]])
        }
    });
    let builder = Template::builder("chain").namespace("busy");
    h.create(
        links
            .fold(builder, |builder, step| builder.step(step))
            .build()
            .unwrap(),
    )
    .await;
    let mut claims = h.claim(1).await;
    h.create(within("patient")).await;
    for _ in 0..3 {
        claims = h.turn(claims.iter().map(succeed).collect(), 1).await.claims;
        if claims.iter().any(|claim| namespace(claim) == "patient") {
            return;
        }
    }
    panic!("three turns went to the chain alone");
}

pub(super) async fn a_namespace_without_work_takes_no_turn(h: &Harness) {
    h.create(within("idle")).await;
    let claim = h.claim_one().await;
    h.end(succeed(&claim)).await;
    for _ in 0..3 {
        h.create(within("busy")).await;
    }
    for _ in 0..3 {
        assert_eq!(namespace(&h.claim(1).await[0]), "busy");
    }
}

/// Tasks come and go at random in six namespaces, most of the work and the highest priorities in one of them.
pub(super) async fn a_namespace_with_work_waits_no_longer_than_twice_their_number(h: &Harness) {
    const NAMES: [&str; 6] = ["north", "east", "south", "west", "sea", "sky"];
    let dice = SeededEntropy::new(0xFA1);
    let below = move |limit: u64| dice.next_u64() % limit;
    let mut waits: BTreeMap<String, usize> = BTreeMap::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut held: Vec<Claim> = Vec::new();
    let mut longest = 0;
    for batch in 0..400 {
        for _ in 0..below(4) {
            // Half of all tasks are the first one's.
            let name = NAMES[usize::try_from(below(12)).unwrap().saturating_sub(6)];
            let mut task = h.new_task(within(name));
            task.priority = if name == "north" {
                100
            } else {
                i16::try_from(below(5)).unwrap()
            };
            h.create_all(vec![task]).await;
            *open.entry(name.to_owned()).or_default() += 1;
        }
        open.retain(|_, count| *count > 0);
        let with_work = open.len();
        let outcomes = held.iter().map(succeed).collect();
        held = h
            .turn(outcomes, u32::try_from(1 + below(3)).unwrap())
            .await
            .claims;
        for claim in &held {
            *open.get_mut(&namespace(claim)).unwrap() -= 1;
        }
        let served: BTreeSet<String> = held.iter().map(namespace).collect();
        waits.retain(|name, _| open.contains_key(name));
        for name in open.keys() {
            let wait = waits.entry(name.clone()).or_default();
            *wait = if served.contains(name) { 0 } else { *wait + 1 };
            longest = longest.max(*wait);
            assert!(
                *wait < 2 * with_work,
                "batch {batch}: `{name}` waits for {wait} of {with_work}"
            );
        }
    }
    assert!(longest > 2, "nothing ever waited");
}
