//! The e-commerce order.

use std::sync::Arc;

use tasker::{TaskRequest, TaskState, UnknownHandlers};

use super::{attempts, on_every_store, same};

#[path = "../../docs/examples/ecommerce_order/shop.rs"]
mod shop;

use shop::{Booking, Shop};

const WELL: &str = "price_cart: 0 start, 0 succeed
    reserve_stock: 0 start, 0 succeed
    authorize_payment: 0 start, 0 succeed
    capture_payment: 0 start, 0 succeed
    book_order: 0 start, 0 succeed
    send_confirmation: 0 start, 0 succeed";

/// Of each order, what it costs if it is booked, and what happened.
fn expected() -> [(&'static str, Option<u64>, String); 8] {
    let mailed_late = |at: u32| format!("{at} start, {at} fail SMTP_451, {0} start, {0} succeed", at + 1);
    let booked_at = |authorize: &str, at: u32, mail: &str| {
        format!(
            "price_cart: 0 start, 0 succeed
             reserve_stock: 0 start, 0 succeed
             authorize_payment: {authorize}
             capture_payment: {at} start, {at} succeed
             book_order: {at} start, {at} succeed
             send_confirmation: {mail}"
        )
    };
    let failed = |price: &str, reserve: &str, authorize: &str| {
        format!(
            "price_cart: {price}
             reserve_stock: {reserve}
             authorize_payment: {authorize}
             capture_payment:
             book_order:
             send_confirmation:"
        )
    };
    let busy = "0 start, 0 fail HTTP_429, 3 start, 3 succeed";
    let hangs = "0 start, 2 fail timeout, 3 start, 5 fail timeout, 7 start, 7 succeed";
    let ok = "0 start, 0 succeed";
    [
        ("A-1001", Some(18_600), WELL.to_owned()),
        ("A-1002", Some(71_656), booked_at(ok, 0, &mailed_late(0))),
        ("A-1003", Some(15_350), booked_at(busy, 3, "3 start, 3 succeed")),
        ("A-1004", Some(14_354), booked_at(hangs, 7, "7 start, 7 succeed")),
        ("A-1005", None, failed(ok, ok, "0 start, 0 fail card_declined")),
        ("A-1006", None, failed(ok, "0 start, 0 fail out_of_stock", ok)),
        ("A-1007", None, failed("0 start, 0 fail unknown_product", "", "")),
        ("A-1008", Some(29_760), booked_at(busy, 3, &mailed_late(3))),
    ]
}

#[test]
fn every_order_runs_as_its_readme_says() {
    on_every_store(async |builder| {
        let shop = Shop::open().unwrap();
        let tasker = shop.handlers(builder).build().unwrap();
        let path = shop::directory().join("order.yaml");
        let template = tasker.load(path, UnknownHandlers::Refuse).unwrap().template;
        let orders = shop::orders().unwrap();
        assert_eq!(orders.len(), 8);
        for (order, (id, total, ran)) in orders.into_iter().zip(expected()) {
            assert_eq!(order["order_id"], id);
            let request = TaskRequest::new(Arc::clone(&template))
                .context(order)
                .idempotency_key(id);
            let report = tasker.run(request.clone()).await.unwrap();
            same(&attempts(&tasker, report.task_id).await, &ran, id);
            let booking = report
                .result
                .map(|result| serde_json::from_value::<Booking>(result).unwrap());
            assert_eq!(booking.as_ref().map(|booking| booking.total), total, "{id}");
            let state = if total.is_some() {
                TaskState::Complete
            } else {
                TaskState::Error
            };
            assert_eq!(report.state, state, "{id}");
            // The web site sends it once more: it is the same order.
            assert_eq!(tasker.run(request).await.unwrap().task_id, report.task_id);
        }
        assert_eq!(shop.takings(), 149_720);
        let mails = shop.mails();
        assert_eq!(mails.len(), 5);
        assert!(
            mails.contains(&(
                "aiko@example.com".to_owned(),
                "Dear Aiko Tanaka, thank you for your order. INV-A-1003 is about 153.50 euros.".to_owned()
            )),
            "{mails:?}"
        );
    });
}

#[test]
fn a_faulty_order_is_refused_before_it_is_a_task() {
    on_every_store(async |builder| {
        let tasker = Shop::open().unwrap().handlers(builder).build().unwrap();
        let path = shop::directory().join("order.yaml");
        let template = tasker.load(path, UnknownHandlers::Refuse).unwrap().template;
        let mut order = shop::orders().unwrap().remove(0);
        order["lines"] = serde_json::json!([]);
        let error = tasker
            .run(TaskRequest::new(template).context(order))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("lines"), "{error}");
        assert!(
            tasker
                .store()
                .events(tasker::Position(0), 1)
                .await
                .unwrap()
                .is_empty()
        );
    });
}
