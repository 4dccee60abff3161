//! What is said of a SKU, and what follows for promises of it.

use serde_json::json;

use crate::shop::{everywhere, lines};

#[test]
fn nothing_is_newly_promised_of_what_is_discontinued_and_what_is_promised_stays_so() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        shop.receive("m-2", "b", "main", 5);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 2)])).0, 201);
        assert_eq!(shop.get("/v1/skus/a"), (200, json!({"sku": "a", "discontinued": false, "backorder_limit": 0})));
        for _ in 0..2 {
            let (status, said) = shop.put("/v1/skus/a", &json!({"discontinued": true}));
            assert_eq!((status, said), (200, json!({"sku": "a", "discontinued": true, "backorder_limit": 0})));
        }
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!((&stock["discontinued"], &stock["available"]), (&json!(true), &json!(3)));
        for _ in 0..2 {
            let (status, no) = shop.put("/v1/reservations/r-2", &lines(&[("a", 1), ("b", 1), ("a", 1)]));
            let short = json!([{"sku": "a", "wanted": 2, "available": 0}]);
            assert_eq!((status, &no["code"], &no["short"]), (409, &json!("discontinued"), &short));
        }
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "discontinued");
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        shop.receive("m-3", "a", "main", 1);
        assert_eq!(shop.put("/v1/skus/a", &json!({"discontinued": false})).0, 200);
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 4)])).0, 201);
        assert_eq!(shop.put("/v1/skus/a", &json!({"discontinued": 1})).1["errors"][0]["pointer"], "/discontinued");
    });
}

#[test]
fn an_edit_of_a_sku_that_has_changed_meanwhile_is_refused() {
    everywhere(|shop| {
        let edit = |tag: &str, discontinued: bool| shop.edit("/v1/skus/a", tag, &json!({"discontinued": discontinued}));
        assert_eq!(edit("\"0\"", true).0, 200);
        let (status, no) = edit("\"0\"", false);
        assert_eq!((status, &no["code"]), (412, &json!("precondition-failed")));
        assert_eq!((edit("\"1\"", false).0, edit("*", true).0), (200, 200));
    });
}
