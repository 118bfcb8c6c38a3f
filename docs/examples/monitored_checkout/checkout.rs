//! The carts of an hour, and the handlers that check them out.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tasker::{Context, Entropy, SeededEntropy, StepContext, StepError, TaskerBuilder, handler};

/// From this risk on nothing is charged.
const TOO_RISKY: u32 = 95;

/// A cart at the till.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cart {
    pub(crate) cart_id: String,
    pub(crate) channel: String,
    pub(crate) method: String,
    pub(crate) items: u64,
    pub(crate) cents: u64,
    pub(crate) risk: u32,
    /// How often the bank says no before it says yes.
    pub(crate) declines: u32,
}

impl Cart {
    /// Tells whether the fraud service objects.
    pub(crate) fn is_flagged(&self) -> bool {
        self.risk >= TOO_RISKY
    }
}

/// Returns the directory of this example.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/monitored_checkout"
    ))
}

/// Makes so many carts up; the same seed makes the same ones.
pub(crate) fn carts(seed: u64, count: u32) -> Vec<Cart> {
    let dice = SeededEntropy::new(seed);
    let below = |limit: u64| dice.next_u64() % limit;
    let cart = |number| {
        let items = 1 + below(6);
        let prices = (0..items).map(|_| 490 + 10 * below(900));
        let declines = match below(100) {
            0..70 => 0,
            70..90 => 1,
            90..96 => 2,
            _ => 3,
        };
        Cart {
            cart_id: format!("C-{number:04}"),
            channel: ["web", "web", "app", "store"][usize::try_from(below(4)).unwrap_or(0)].to_owned(),
            method: ["card", "card", "wallet", "transfer"][usize::try_from(below(4)).unwrap_or(0)].to_owned(),
            items,
            cents: prices.sum(),
            risk: u32::try_from(below(100)).unwrap_or(0),
            declines,
        }
    };
    (1..=count).map(cart).collect()
}

/// Gives a Tasker the handlers of the checkout.
pub(crate) fn handlers(builder: TaskerBuilder) -> TaskerBuilder {
    let open = handler(async |ctx: StepContext, Context(cart): Context<Cart>| {
        let said = json!({ "channel": cart.channel, "items": cart.items, "cents": cart.cents });
        ctx.publish("checkout.opened", &said)
    });
    let assess = handler(async |ctx: StepContext, Context(cart): Context<Cart>| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if cart.is_flagged() {
            ctx.publish(
                "fraud.flagged",
                &json!({ "risk": cart.risk, "cents": cart.cents }),
            )?;
            let message = format!("the fraud service gives a risk of {}", cart.risk);
            return Err(StepError::permanent("too_risky", message));
        }
        Ok(cart.risk)
    });
    let charge = handler(async |ctx: StepContext, Context(cart): Context<Cart>| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if ctx.attempt() <= cart.declines {
            ctx.publish(
                "payment.declined",
                &json!({ "method": cart.method, "cents": cart.cents }),
            )?;
            return Err(StepError::retryable("the bank declines").with_code("declined"));
        }
        // Whoever reads events must not learn it, so it is masked on the way: `telemetry.filter_parameters` has `token`.
        let token = format!("ch_{}", cart.cart_id);
        let said = json!({ "method": cart.method, "cents": cart.cents, "charge_token": token });
        ctx.publish("payment.captured", &said)?;
        Ok(token)
    });
    let hand_over = handler(async |ctx: StepContext, Context(cart): Context<Cart>| {
        ctx.publish(
            "checkout.completed",
            &json!({ "channel": cart.channel, "cents": cart.cents }),
        )
    });
    builder
        .handler_in("checkout", "open_cart", "1.0.0", open)
        .handler_in("checkout", "assess_risk", "1.0.0", assess)
        .handler_in("checkout", "charge", "1.0.0", charge)
        .handler_in("checkout", "hand_over", "1.0.0", hand_over)
}
