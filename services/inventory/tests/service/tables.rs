//! Stock comes in and goes out as tables.

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::shop::{Running, everywhere};

impl Running {
    /// Sends a table; gives back the status, and the lines of the answer or the problem.
    fn import(&self, path: &str, content_type: &str, table: &str) -> (u16, Vec<Value>) {
        let request = Request::builder().method(Method::PUT).uri(path).header("content-type", content_type);
        let (status, text) = self.text(request.body(Body::from(table.to_owned())).expect("a request"));
        (status, text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
    }

    fn text(&self, request: Request<Body>) -> (u16, String) {
        let answer = async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
    }
}

fn done(rows: u64, counted: u64, counted_before: u64, refused: u64) -> Value {
    json!({"done": {
        "rows": rows, "counted": counted, "counted_before": counted_before, "refused": refused, "dry_run": false
    }})
}

#[test]
fn a_table_is_counted_row_by_row_and_what_is_wrong_is_said_with_its_row() {
    everywhere(|shop| {
        let table = "sku,warehouse,counted,external_id\nA,main,5,4711\nA,main,6,\n,main,1,\nB,main,-1,\nB,no place,1,\nC,north,0,\nD,main,1\n";
        let (status, lines) = shop.import("/v1/stock-imports/monday", "text/csv", table);
        assert_eq!(status, 200);
        let refused: Vec<_> = lines.iter().filter_map(|line| line["refused"]["row"].as_u64()).collect();
        assert_eq!(refused, [3, 4, 5, 6, 8], "{lines:?}");
        let details: Vec<_> = lines.iter().filter_map(|line| line["refused"]["detail"].as_str()).collect();
        for (detail, says) in details.iter().zip(["row 2", "the SKU is missing", "counted:", "warehouse:", "3 fields"])
        {
            assert!(detail.contains(says), "{detail}");
        }
        assert_eq!(lines.last(), Some(&done(7, 2, 0, 5)));
        assert_eq!(shop.level("A")["on_hand"], 5);
        assert_eq!(shop.level("C")["on_hand"], 0);
        shop.books_follow_from_the_journal();
    });
}

#[test]
fn a_table_that_is_sent_again_counts_nothing_again_and_goes_on_where_it_was() {
    everywhere(|shop| {
        let row = |number: u64| format!("SKU-{number},{number}\n");
        let some: String = (1..=300).map(row).collect();
        let all: String = (1..=1_000).map(row).collect();
        let path = "/v1/stock-imports/first?in=main";
        let header = "sku,counted\n";
        let (_, lines) = shop.import(path, "text/csv", &format!("{header}{some}"));
        assert_eq!(lines.last(), Some(&done(300, 300, 0, 0)));
        // Somebody sells in between; a row that was counted before does not undo it.
        let sold = json!({"type": "adjust", "sku": "SKU-7", "warehouse": "main", "quantity": -2, "reason": "sold"});
        assert_eq!(shop.put("/v1/stock-movements/sold", &sold).0, 201);
        let (_, lines) = shop.import(path, "text/csv", &format!("{header}{all}"));
        assert_eq!(lines.last(), Some(&done(1_000, 700, 300, 0)));
        assert_eq!(shop.level("SKU-7")["on_hand"], 5);
        assert_eq!(shop.level("SKU-1000")["on_hand"], 1_000);
        let (_, lines) = shop.import(path, "text/csv", "sku,counted\nSKU-1,2\n");
        assert!(lines[0]["refused"]["detail"].as_str().unwrap().contains("another name"), "{lines:?}");
        assert_eq!(shop.level("SKU-1")["on_hand"], 1);
    });
}

#[test]
fn a_dry_run_says_what_is_wrong_and_counts_nothing() {
    everywhere(|shop| {
        let table = "{\"Artikel\":\"A\",\"Lager\":\"main\",\"Bestand\":5}\n{\"Artikel\":\"B\",\"Lager\":\"main\",\"Bestand\":\"many\"}\n";
        let path = "/v1/stock-imports/dry?dry_run=true&sku=Artikel&warehouse=Lager&counted=Bestand";
        let (_, lines) = shop.import(path, "application/x-ndjson", table);
        assert_eq!(lines[0]["refused"]["row"], 2);
        let sums = &lines[1]["done"];
        assert_eq!((&sums["rows"], &sums["counted"], &sums["dry_run"]), (&json!(2), &json!(1), &json!(true)));
        assert_eq!(shop.get("/v1/stock/A").0, 404);
        // In earnest, under the same name: a dry run has taken none.
        let (_, lines) = shop.import(&path.replace("dry_run=true&", ""), "application/x-ndjson", table);
        assert_eq!(lines.last(), Some(&done(2, 1, 0, 1)));
    });
}

#[test]
fn a_table_without_the_columns_is_refused_as_a_whole() {
    everywhere(|shop| {
        let (status, problem) = shop.import("/v1/stock-imports/x", "text/csv", "article,stock\nA,5\n");
        assert_eq!((status, problem[0]["code"].as_str()), (422, Some("invalid-request")));
        assert!(problem[0]["errors"][0]["detail"].as_str().unwrap().contains("?sku="), "{problem:?}");
        assert_eq!(shop.import("/v1/stock-imports/x", "text/plain", "sku\n").0, 415);
        assert_eq!(shop.import("/v1/stock-imports/x?colour=red", "text/csv", "sku\n").0, 400);
        assert_eq!(shop.import(&format!("/v1/stock-imports/{}", "x".repeat(41)), "text/csv", "sku\n").0, 422);
    });
}

#[test]
fn what_is_exported_can_be_imported() {
    everywhere(|shop| {
        for number in 0..1_001 {
            shop.receive(&format!("m-{number}"), &format!("SKU-{:04}", number / 2), ["main", "north"][number % 2], 3);
        }
        assert_eq!(shop.put("/v1/reservations/r", &json!({"lines": [{"sku": "SKU-0000", "quantity": 2}]})).0, 201);
        let get = |accept: &str| Request::get("/v1/stock-export").header("accept", accept).body(Body::empty()).unwrap();
        let (status, table) = shop.text(get("text/csv"));
        assert_eq!((status, table.lines().count()), (200, 1_002));
        assert_eq!(table.lines().next(), Some("sku,warehouse,counted,reserved,committed,owed,available"));
        assert_eq!(table.lines().nth(1), Some("SKU-0000,main,3,2,0,0,1"));
        let (_, lines) = shop.import("/v1/stock-imports/back", "text/csv", &table);
        assert_eq!(lines.last(), Some(&done(1_001, 1_001, 0, 0)));
        let (_, json_lines) = shop.text(get("application/x-ndjson"));
        assert_eq!(json_lines.lines().count(), 1_001);
    });
}

#[test]
fn blanks_around_a_sku_belong_to_it_and_one_that_nobody_knows_is_a_slip() {
    everywhere(|shop| {
        shop.receive("m-1", " A", "main", 3);
        shop.receive("m-2", "B", "main", 4);
        let get = |accept: &str| Request::get("/v1/stock-export").header("accept", accept).body(Body::empty()).unwrap();
        for (name, content_type) in [("csv", "text/csv"), ("json", "application/x-ndjson")] {
            let (_, table) = shop.text(get(content_type));
            let (_, lines) = shop.import(&format!("/v1/stock-imports/{name}"), content_type, &table);
            assert_eq!(lines.last(), Some(&done(2, 2, 0, 0)), "{lines:?}");
        }
        assert_eq!((shop.get("/v1/stock/A").0, shop.level("%20A")["on_hand"].as_i64()), (404, Some(3)));
        let table = "sku;warehouse;counted\n A ; main ; 5\nB; main ; 6\n A;main;7\n ;main;1\nC\u{a0};main;1\n";
        let (_, lines) = shop.import("/v1/stock-imports/by-hand", "text/csv", table);
        let refused: Vec<_> = lines.iter().filter_map(|line| line["refused"]["row"].as_u64()).collect();
        let details: Vec<_> = lines.iter().filter_map(|line| line["refused"]["detail"].as_str()).collect();
        assert_eq!((refused, lines.last()), (vec![2, 5, 6], Some(&done(5, 2, 0, 3))), "{lines:?}");
        assert!(details.iter().all(|detail| detail.contains("blanks")), "{details:?}");
        assert_eq!((shop.level("B")["on_hand"].as_i64(), shop.level("%20A")["on_hand"].as_i64()), (Some(6), Some(7)));
        let (_, lines) = shop.import("/v1/stock-imports/dry?dry_run=true", "text/csv", table);
        assert_eq!(lines.last().map(|line| line["done"]["refused"].as_u64()), Some(Some(3)), "{lines:?}");
    });
}
