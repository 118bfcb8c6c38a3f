//! No namespace starves another.

use std::collections::{BTreeSet, VecDeque};

use tasker_engine::{Claim, StepBuilder, Template};

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
