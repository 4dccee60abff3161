//! Nobody comes in with a key that was not given.
#![no_main]

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use db::{Database, Location, MemoryDisk, Options};
use keys::{Keyring, NewKey, Scope};
use libfuzzer_sys::fuzz_target;
use web::{Gate, Limits};
use world::World;

/// A gate that knows one key, and counts nobody's tries.
fn kept(world: &World, limits: &Limits) -> Gate {
    let memory = Location::Memory(MemoryDisk::empty());
    let database =
        Database::open(keys::NAME, memory, Options::default(), world.clone(), keys::MIGRATIONS).expect("a database");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let keyring = runtime.block_on(async {
        let keyring = Keyring::open(database).await.expect("keys");
        let name: ids::Name = "shop".parse().expect("a name");
        let scopes = [Scope::StockRead].into_iter().collect();
        keyring.create(NewKey { owner: name.clone(), name, scopes, expires_at: None }).await.expect("a key");
        keyring
    });
    Gate::kept_by(&keyring, false, &Limits { address_requests_per_sec: 0, ..*limits })
}

fuzz_target!(|made: (bool, &[u8])| {
    let (is_bearer, text) = made;
    let text = if is_bearer { [b"Bearer bk_", text].concat() } else { text.to_vec() };
    let Ok(value) = HeaderValue::from_bytes(&text) else { return };
    let request = Request::get("/v1/stock/a").header("authorization", value).body(Body::empty()).expect("a request");
    let told = fuzz::with(kept, |shop| shop.ask(request));
    assert_eq!(told.status, 401);
});
