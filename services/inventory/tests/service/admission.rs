//! What streams for long, where the key with which it began is accepted no more.

use ::keys::{Created, Keyring, NewKey, Scope};
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use db::{Database, Location, MemoryDisk, Options};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use world::World;

use crate::shop::{Running, wait};

/// Inventory behind keys.
struct Guarded {
    keyring: Keyring,
    shop: Running,
}

impl Guarded {
    fn new() -> Self {
        let memory = || Location::Memory(MemoryDisk::empty());
        let database = Database::open(::keys::NAME, memory(), Options::default(), World::real(), ::keys::MIGRATIONS);
        let keyring = wait(Keyring::open(database.expect("a database"))).expect("keys");
        let gate = web::Gate::kept_by(&keyring, false, &web::Limits::default());
        Self { keyring, shop: Running::behind(gate, memory(), &inventory::Config::default()) }
    }

    /// Makes a key; what is sent of it.
    fn key(&self, name: &str) -> String {
        let name: ids::Name = name.parse().expect("a name");
        let scopes = [Scope::StockRead, Scope::StockWrite].into_iter().collect();
        match wait(self.keyring.create(NewKey { owner: name.clone(), name, scopes, expires_at: None })) {
            Ok(Created::New(issued)) => format!("Bearer {}", issued.text.expose()),
            other => panic!("{other:?}"),
        }
    }

    async fn revoke(&self, name: &str) {
        self.keyring.revoke(name.parse().expect("a name")).await.expect("it is revoked");
    }

    async fn ask(&self, method: Method, path: &str, key: &str, body: Body) -> Response {
        let request = Request::builder().method(method).uri(path).header("authorization", key);
        let request = request.header("content-type", "text/csv").body(body).expect("a request");
        let answer = self.shop.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }

    /// What a download tells, until its end or until it breaks off; the key of this name is revoked after its first
    /// piece.
    async fn download(&self, path: &str, key: &str, revoked: Option<&str>) -> Result<String, String> {
        let mut body = self.ask(Method::GET, path, key, Body::empty()).await.into_body();
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.map_err(|error| error.to_string())?.into_data().expect("bytes");
            if let (true, Some(name)) = (text.is_empty(), revoked) {
                self.revoke(name).await;
            }
            text.push_str(std::str::from_utf8(&piece).expect("text"));
        }
        Ok(text)
    }
}

fn rows(numbers: std::ops::Range<usize>) -> String {
    let rows: Vec<String> = numbers.map(|number| format!("s-{number:04},main,{}\n", number % 7)).collect();
    rows.concat()
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

#[test]
fn a_download_breaks_off_when_its_key_is_accepted_no_more() {
    let guarded = Guarded::new();
    let [one, other, third] = ["one", "other", "third"].map(|name| guarded.key(name));
    wait(async {
        // More than two pages of either.
        let table = format!("sku,warehouse,counted\n{}", rows(0..4_500));
        let counted = guarded.ask(Method::PUT, "/v1/stock-imports/all", &one, table.into()).await;
        let counted = counted.into_body().collect().await.expect("lines").to_bytes();
        assert_eq!(last_line(std::str::from_utf8(&counted).expect("text"))["done"]["counted"], 4_500);
        for (path, key, name) in [("/v1/availability-snapshot", &one, "one"), ("/v1/stock-export", &other, "other")] {
            let whole = guarded.download(path, &third, None).await.expect("all of it");
            assert_eq!(whole.lines().count(), 4_501, "{path}");
            let broken = guarded.download(path, key, Some(name)).await;
            assert!(broken.as_ref().is_err_and(|why| why.contains("accepted no more")), "{path}: {broken:?}");
        }
    });
}

#[test]
fn an_import_breaks_off_when_its_key_is_accepted_no_more_and_counts_nothing_after_that() {
    let guarded = Guarded::new();
    let [one, other] = ["one", "other"].map(|name| guarded.key(name));
    wait(async {
        let pieces = [format!("sku,warehouse,counted\n{}", rows(0..600)), rows(600..2_000)];
        let keyring = guarded.keyring.clone();
        let pieces = stream::iter(pieces.into_iter().enumerate()).then(move |(number, piece)| {
            let keyring = keyring.clone();
            async move {
                if number > 0 {
                    keyring.revoke("one".parse().expect("a name")).await.expect("it is revoked");
                }
                Ok::<_, std::io::Error>(piece)
            }
        });
        let answer = guarded.ask(Method::PUT, "/v1/stock-imports/all", &one, Body::from_stream(pieces)).await;
        let lines = answer.into_body().collect().await.expect("lines").to_bytes();
        let last = last_line(std::str::from_utf8(&lines).expect("text"));
        let why = last["broke_off"]["detail"].as_str().expect("why it broke off");
        assert!(why.contains("accepted no more") && why.contains("send the table again"), "{why}");
        let counted = guarded.download("/v1/stock-export", &other, None).await.expect("all of it");
        let counted = counted.lines().count() - 1;
        assert!((128..=600).contains(&counted), "{counted} rows were counted");
    });
}
