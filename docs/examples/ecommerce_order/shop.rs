//! The shop's handlers, and the systems that they call: a warehouse, a payment gateway, a mail server.
//!
//! The systems are stand-ins that live in memory. They answer as their real counterparts do on a bad day, and they
//! keep what they did under the idempotency keys that they were given, so that a repeated call does nothing twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker::{Context, Parents, StepContext, StepError, TaskerBuilder, handler};

/// An order, as the shop's web site hands it over.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) customer: Customer,
    pub(crate) lines: Vec<Line>,
    pub(crate) coupon: Option<String>,
    pub(crate) payment_token: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Customer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) country: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

/// What an order costs, in cents.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Price {
    pub(crate) goods: u64,
    pub(crate) discount: u64,
    pub(crate) shipping: u64,
    pub(crate) tax: u64,
    pub(crate) total: u64,
}

#[derive(Deserialize)]
struct Priced {
    price_cart: Price,
}

#[derive(Deserialize)]
struct Authorized {
    price_cart: Price,
    authorize_payment: String,
}

#[derive(Deserialize)]
struct Paid {
    price_cart: Price,
    reserve_stock: Vec<String>,
    capture_payment: String,
}

/// A booked order: the result of the task.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Booking {
    pub(crate) invoice: String,
    pub(crate) order_id: String,
    pub(crate) customer: String,
    pub(crate) total: u64,
    pub(crate) charge: String,
    pub(crate) reservations: Vec<String>,
}

#[derive(Deserialize)]
struct Booked {
    price_cart: Price,
    book_order: Booking,
}

/// A product on sale.
#[derive(Clone, Debug)]
struct Product {
    cents: u64,
    in_stock: u32,
}

/// The systems around the shop.
#[derive(Debug, Default)]
struct Systems {
    products: BTreeMap<String, Product>,
    reservations: BTreeMap<String, Vec<String>>,
    captured: BTreeMap<String, u64>,
    bookings: BTreeMap<String, Booking>,
    mails: BTreeMap<String, String>,
}

/// A shop. Copies are the same shop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shop(Arc<Mutex<Systems>>);

/// Returns the directory of this example.
pub(crate) fn directory() -> PathBuf {
    // Where the example lies does not depend on where it is run.
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/ecommerce_order"
    ))
}

/// Reads the orders of the day.
pub(crate) fn orders() -> Result<Vec<serde_json::Value>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(directory().join("data/orders.json"))?;
    Ok(serde_json::from_str(&text)?)
}

impl Shop {
    /// Opens a shop that sells what is in its catalogue.
    pub(crate) fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(directory().join("data/catalogue.csv"))?;
        let mut products = BTreeMap::new();
        for line in text.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let [sku, _, cents, in_stock] = cells[..] else {
                return Err(format!("the catalogue has a line of {} cells: {line}", cells.len()).into());
            };
            let product = Product {
                cents: cents.parse()?,
                in_stock: in_stock.parse()?,
            };
            products.insert(sku.to_owned(), product);
        }
        let systems = Systems {
            products,
            ..Systems::default()
        };
        Ok(Self(Arc::new(Mutex::new(systems))))
    }

    /// Gives a Tasker the handlers of the shop.
    pub(crate) fn handlers(&self, mut builder: TaskerBuilder) -> TaskerBuilder {
        let shop = self.clone();
        let price = handler(move |Context(order): Context<Order>| {
            let shop = shop.clone();
            async move { shop.price(&order) }
        });
        let shop = self.clone();
        let reserve = handler(move |ctx: StepContext, Context(order): Context<Order>| {
            let shop = shop.clone();
            async move { shop.reserve(&ctx.idempotency_key(), &order) }
        });
        let authorize = handler(
            |ctx: StepContext, Context(order): Context<Order>, Parents(priced): Parents<Priced>| async move {
                authorize(&ctx, &order.payment_token, priced.price_cart.total).await
            },
        );
        let shop = self.clone();
        let capture = handler(
            move |ctx: StepContext, Parents(authorized): Parents<Authorized>| {
                let shop = shop.clone();
                async move { shop.capture(&ctx.idempotency_key(), &authorized) }
            },
        );
        let shop = self.clone();
        let book = handler(
            move |Context(order): Context<Order>, Parents(paid): Parents<Paid>| {
                let shop = shop.clone();
                async move { Ok::<_, StepError>(shop.book(&order, paid)) }
            },
        );
        let shop = self.clone();
        let confirm = handler(
            move |ctx: StepContext, Context(order): Context<Order>, Parents(booked): Parents<Booked>| {
                let shop = shop.clone();
                async move { shop.confirm(&ctx, &order, &booked) }
            },
        );
        for (name, handler) in [
            ("price_cart", price),
            ("reserve_stock", reserve),
            ("authorize_payment", authorize),
            ("capture_payment", capture),
            ("book_order", book),
            ("send_confirmation", confirm),
        ] {
            builder = builder.handler_in("shop", name, "1.0.0", handler);
        }
        builder
    }

    /// Returns what was taken from customers, in cents.
    pub(crate) fn takings(&self) -> u64 {
        self.systems().captured.values().sum()
    }

    /// Returns the mails that were sent, by address.
    pub(crate) fn mails(&self) -> Vec<(String, String)> {
        let systems = self.systems();
        systems
            .mails
            .iter()
            .map(|(to, text)| (to.clone(), text.clone()))
            .collect()
    }

    fn systems(&self) -> MutexGuard<'_, Systems> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn price(&self, order: &Order) -> Result<Price, StepError> {
        let systems = self.systems();
        let mut goods = 0;
        for line in &order.lines {
            let product = systems.products.get(&line.sku).ok_or_else(|| {
                StepError::permanent("unknown_product", format!("there is no product `{}`", line.sku))
            })?;
            goods += product.cents * u64::from(line.quantity);
        }
        let percent = match order.coupon.as_deref() {
            None => 0,
            Some("WELCOME10") => 10,
            Some("TEAM20") => 20,
            Some(other) => {
                return Err(StepError::permanent(
                    "unknown_coupon",
                    format!("there is no coupon `{other}`"),
                ));
            }
        };
        let discount = goods * percent / 100;
        let shipping = if goods - discount >= 10_000 { 0 } else { 690 };
        let taxed = goods - discount + shipping;
        let tax = taxed * tax_percent(&order.customer.country) / 100;
        Ok(Price {
            goods,
            discount,
            shipping,
            tax,
            total: taxed + tax,
        })
    }

    /// Puts goods aside. A reservation lapses after half an hour by itself, so a failed order blocks nothing for long.
    fn reserve(&self, key: &str, order: &Order) -> Result<Vec<String>, StepError> {
        let mut systems = self.systems();
        if let Some(known) = systems.reservations.get(key) {
            return Ok(known.clone());
        }
        for line in &order.lines {
            let left = systems
                .products
                .get(&line.sku)
                .map_or(0, |product| product.in_stock);
            if left < line.quantity {
                let message = format!("of `{}` there are {left}, not {}", line.sku, line.quantity);
                return Err(StepError::permanent("out_of_stock", message));
            }
        }
        let mut reserved = Vec::new();
        for line in &order.lines {
            if let Some(product) = systems.products.get_mut(&line.sku) {
                product.in_stock -= line.quantity;
            }
            reserved.push(format!("{}x{}", line.quantity, line.sku));
        }
        systems.reservations.insert(key.to_owned(), reserved.clone());
        Ok(reserved)
    }

    /// Takes the money, once for each key.
    fn capture(&self, key: &str, authorized: &Authorized) -> Result<String, StepError> {
        let total = authorized.price_cart.total;
        self.systems().captured.entry(key.to_owned()).or_insert(total);
        Ok(authorized.authorize_payment.replacen("auth", "charge", 1))
    }

    fn book(&self, order: &Order, paid: Paid) -> Booking {
        let mut systems = self.systems();
        let booking = systems
            .bookings
            .entry(order.order_id.clone())
            .or_insert_with(|| Booking {
                invoice: format!("INV-{}", order.order_id),
                order_id: order.order_id.clone(),
                customer: order.customer.name.clone(),
                total: paid.price_cart.total,
                charge: paid.capture_payment,
                reservations: paid.reserve_stock,
            });
        booking.clone()
    }

    /// Sends the mail. The server of `example.net` lets every new sender wait, as greylisting servers do.
    fn confirm(&self, ctx: &StepContext, order: &Order, booked: &Booked) -> Result<(), StepError> {
        if order.customer.email.ends_with("@example.net") && ctx.attempt() == 1 {
            return Err(StepError::retryable("451 greylisted, try again later").with_code("SMTP_451"));
        }
        let Booking {
            invoice, customer, ..
        } = &booked.book_order;
        let euros = format!(
            "{}.{:02}",
            booked.price_cart.total / 100,
            booked.price_cart.total % 100
        );
        let text = format!("Dear {customer}, thank you for your order. {invoice} is about {euros} euros.");
        self.systems().mails.insert(order.customer.email.clone(), text);
        Ok(())
    }
}

fn tax_percent(country: &str) -> u64 {
    match country {
        "DE" => 19,
        "IT" => 22,
        "IE" | "PL" => 23,
        "SE" | "DK" => 25,
        "ES" => 21,
        _ => 0,
    }
}

/// Asks the gateway for the money. Its test cards behave as their names say, the first time that they are used.
async fn authorize(ctx: &StepContext, token: &str, cents: u64) -> Result<String, StepError> {
    match (token, ctx.attempt()) {
        ("tok_declined", _) => Err(
            StepError::permanent("card_declined", "the bank declines the card")
                .with_context(&serde_json::json!({ "cents": cents })),
        ),
        ("tok_busy", 1) => Err(StepError::retryable("the gateway is busy")
            .with_code("HTTP_429")
            .retry_after(Duration::from_secs(3))),
        ("tok_hangs", 1 | 2) => std::future::pending().await,
        _ => Ok(format!("auth_{cents}_{}", token.trim_start_matches("tok_"))),
    }
}
