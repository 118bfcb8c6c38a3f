//! The built-in handler `sleep`.

use std::time::Duration;

use serde_json::json;
use tasker::{StepBuilder, Template, UnknownHandlers};
use tokio::time::Instant;

use crate::place::{builder, steps};

#[tokio::test(start_paused = true)]
async fn it_waits_in_the_store_and_charges_one_attempt() {
    let step = StepBuilder::new("night", "sleep")
        .config(json!({ "seconds": 3_600 }))
        .retry_limit(1);
    let template = Template::builder("night").step(step).build().unwrap();
    let begun = Instant::now();
    let report = builder().build().unwrap().run(template).await.unwrap();
    let slept = begun.elapsed();
    assert!(
        slept >= Duration::from_secs(3_600) && slept < Duration::from_secs(3_602),
        "{slept:?}"
    );
    assert_eq!(steps(&report), [("night", "complete", 1)]);
    assert_eq!(
        report.steps[0].result.as_ref().unwrap().to_value(),
        json!({ "slept_seconds": 3_600.0 })
    );
}

#[tokio::test(start_paused = true)]
async fn no_time_is_no_wait() {
    let step = StepBuilder::new("nap", "sleep").config(json!({ "seconds": 0 }));
    let template = Template::builder("nap").step(step).build().unwrap();
    let begun = Instant::now();
    builder().build().unwrap().run(template).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn its_configuration_is_checked() {
    let tasker = builder().build().unwrap();
    for (config, fault) in [
        (json!({}), "missing field `seconds`"),
        (
            json!({ "seconds": "5" }),
            "invalid type: string \"5\", expected f64",
        ),
        (
            json!({ "seconds": -1 }),
            "`seconds` is -1, but it must be a number that is at least 0",
        ),
        (
            json!({ "minutes": 1 }),
            "unknown field `minutes`, expected `seconds`",
        ),
    ] {
        let template = Template::builder("nap").step(StepBuilder::new("nap", "sleep").config(config));
        let faults = template
            .build_with(&tasker.load_options(UnknownHandlers::Refuse))
            .unwrap_err();
        assert_eq!(faults.to_string(), format!("`config` of step `nap`: {fault}"));
    }
}
