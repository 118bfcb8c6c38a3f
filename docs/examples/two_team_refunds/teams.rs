//! Two teams, each with its own namespace, templates and handlers. Some have the same names, and mean other things.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tasker::{
    Context, LoadOptions, Parents, StepContext, StepError, TaskId, TaskRequest, TaskerBuilder, Template,
    TemplateFaults, handler,
};

type BoxError = Box<dyn std::error::Error>;

/// Up to this amount customer success decides by itself.
const WITHOUT_MANAGER: u64 = 10_000;

/// A ticket, as the help desk has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ticket {
    pub(crate) ticket_id: String,
    pub(crate) customer: String,
    #[serde(default = "standard")]
    pub(crate) tier: String,
    pub(crate) payment_id: String,
    pub(crate) cents: u64,
    pub(crate) days_since_purchase: u32,
}

fn standard() -> String {
    "standard".to_owned()
}

/// What the payments team is asked for.
#[derive(Clone, Debug, Deserialize)]
struct Refund {
    payment_id: String,
    cents: u64,
}

/// A payment that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Payment {
    payment_id: String,
    cents: u64,
    method: String,
}

/// Who approved a refund.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Approval {
    pub(crate) approved_by: String,
}

#[derive(Deserialize)]
struct Approved {
    approve: Approval,
}

#[derive(Deserialize)]
struct Started {
    approve: Approval,
    start_refund: TaskId,
}

#[derive(Deserialize)]
struct Checked {
    validate: Payment,
}

#[derive(Deserialize)]
struct Given {
    validate: Payment,
    call_gateway: String,
}

/// What the payments team keeps.
#[derive(Debug, Default)]
struct Books {
    payments: BTreeMap<String, Payment>,
    /// What was given back, by the key under which it was.
    refunds: BTreeMap<String, u64>,
}

/// The books of the payments team. Copies are the same books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payments(Arc<Mutex<Books>>);

/// Returns the directory of this example.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/two_team_refunds"
    ))
}

/// Reads the tickets.
pub(crate) fn tickets() -> Result<Vec<Ticket>, BoxError> {
    let text = std::fs::read_to_string(directory().join("data/tickets.json"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Loads the template that the payments team publishes for others.
pub(crate) fn payments_template(options: &LoadOptions<'_>) -> Result<Arc<Template>, TemplateFaults> {
    Ok(Template::load(&directory().join("payments.yaml"), options)?.template)
}

impl Payments {
    /// Opens the books with the payments that were made.
    pub(crate) fn open() -> Result<Self, BoxError> {
        let text = std::fs::read_to_string(directory().join("data/payments.json"))?;
        let payments: Vec<Payment> = serde_json::from_str(&text)?;
        let books = Books {
            payments: payments
                .into_iter()
                .map(|payment| (payment.payment_id.clone(), payment))
                .collect(),
            ..Books::default()
        };
        Ok(Self(Arc::new(Mutex::new(books))))
    }

    /// Returns what was given back in all, in cents.
    pub(crate) fn given_back(&self) -> u64 {
        self.books().refunds.values().sum()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, refund: &Refund) -> Result<Payment, StepError> {
        let books = self.books();
        let id = &refund.payment_id;
        let payment = books.payments.get(id).ok_or_else(|| {
            StepError::permanent("payment_not_found", format!("there is no payment `{id}`"))
        })?;
        if refund.cents > payment.cents {
            let message = format!(
                "{} cents are more than the {} that were paid",
                refund.cents, payment.cents
            );
            return Err(StepError::permanent("refund_exceeds_payment", message));
        }
        Ok(payment.clone())
    }

    /// Gives a Tasker the handlers of the payments team, version 2.1.0.
    pub(crate) fn handlers(&self, builder: TaskerBuilder) -> TaskerBuilder {
        let books = self.clone();
        let validate = handler(move |Context(refund): Context<Refund>| {
            let books = books.clone();
            async move { books.find(&refund) }
        });
        let books = self.clone();
        let gateway = handler(
            move |ctx: StepContext, Context(refund): Context<Refund>, Parents(checked): Parents<Checked>| {
                let books = books.clone();
                async move {
                    if checked.validate.method == "wallet" && ctx.attempt() == 1 {
                        return Err(StepError::retryable("the wallet's gateway is being restarted")
                            .with_code("HTTP_503"));
                    }
                    // The gateway gives back once for each key, however often it is asked.
                    books
                        .books()
                        .refunds
                        .entry(ctx.idempotency_key())
                        .or_insert(refund.cents);
                    Ok(format!("re_{}", refund.payment_id))
                }
            },
        );
        let ledger = handler(
            async |Context(refund): Context<Refund>, Parents(given): Parents<Given>| {
                let left = given.validate.cents - refund.cents;
                Ok::<_, StepError>(
                    json!({ "gateway_id": given.call_gateway, "refunded": refund.cents, "left": left }),
                )
            },
        );
        builder
            .handler_in("payments", "validate", "2.1.0", validate)
            .handler_in("payments", "call_gateway", "2.1.0", gateway)
            .handler_in("payments", "update_ledger", "2.1.0", ledger)
    }
}

/// Gives a Tasker the handlers of customer success, version 1.3.0. They know of the payments team only its template.
pub(crate) fn customer_success(builder: TaskerBuilder, payments: Arc<Template>) -> TaskerBuilder {
    let validate = handler(async |Context(ticket): Context<Ticket>| {
        if ticket.payment_id.is_empty() {
            return Err(StepError::permanent("no_payment", "the ticket names no payment"));
        }
        Ok(ticket.ticket_id)
    });
    let policy = handler(async |Context(ticket): Context<Ticket>| {
        let days = if ticket.tier == "gold" { 60 } else { 30 };
        if ticket.days_since_purchase > days {
            let message = format!(
                "{} days after the purchase, but {days} are allowed",
                ticket.days_since_purchase
            );
            return Err(StepError::permanent("outside_policy", message));
        }
        Ok(days)
    });
    let approve = handler(async |Context(ticket): Context<Ticket>| {
        if ticket.cents > WITHOUT_MANAGER {
            // A person decides: the step is resolved by hand, with an approval as its result.
            let message = format!("{} cents need a manager", ticket.cents);
            return Err(StepError::permanent("needs_manager", message));
        }
        Ok(Approval {
            approved_by: "policy".to_owned(),
        })
    });
    let start = handler(
        move |ctx: StepContext, Context(ticket): Context<Ticket>, Parents(approved): Parents<Approved>| {
            let payments = Arc::clone(&payments);
            async move {
                let request = TaskRequest::new(payments)
                    .context(json!({ "payment_id": ticket.payment_id, "cents": ticket.cents, "ticket": ticket.ticket_id }))
                    .reason(format!("approved by {}", approved.approve.approved_by))
                    .idempotency_key(&ticket.ticket_id);
                ctx.create_task(request)
            }
        },
    );
    let update = handler(
        async |Context(ticket): Context<Ticket>, Parents(started): Parents<Started>| {
            Ok::<_, StepError>(json!({
                "ticket": ticket.ticket_id,
                "status": "refund started",
                "approved_by": started.approve.approved_by,
                "refund_task": started.start_refund,
            }))
        },
    );
    builder
        .handler_in("customer_success", "validate", "1.3.0", validate)
        .handler_in("customer_success", "check_policy", "1.3.0", policy)
        .handler_in("customer_success", "approve", "1.3.0", approve)
        .handler_in("customer_success", "start_refund", "1.3.0", start)
        .handler_in("customer_success", "update_ticket", "1.3.0", update)
}
