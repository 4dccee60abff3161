//! The limit of whatever is asked over HTTP: handlers that read the same request and do nothing with it.
//!
//! They are served as the program serves its own, in a process of their own as the program is: one that shares its
//! threads with those who ask is woken for less than any server can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use world::World;

use super::shop::{Server, free_address};
use crate::stop::Stop;

/// How they are served.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where they listen
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// The same document as a reservation's, parsed and forgotten.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is parsed, and that is all")]
struct Parsed {
    lines: Vec<ParsedLine>,
    #[serde(default)]
    hold_secs: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is parsed, and that is all")]
struct ParsedLine {
    sku: Value,
    quantity: Value,
    #[serde(default)]
    warehouse: Value,
}

/// Serves them until the process is ended.
pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Stop::failed)?;
    let reserve = |web::Body(_, _): web::Body<Parsed>| async { "" };
    let read = |web::Segment(_): web::Segment<ids::Sku>| async { "" };
    let says = |id| web::Operation::new(id, "Reads the request and forgets it", "");
    let routes = web::Routes::default()
        .put("/v1/reservations/{id}", web::Access::Everybody, reserve, says("reserve"))
        .get("/v1/stock/{sku}", web::Access::Everybody, read, says("read"));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(Stop::failed)?;
        let limits = web::Limits::default();
        let guarded = web::guard(routes, web::Gate::open(), &World::real(), &limits, Arc::new(|_| {}));
        web::serve(listener, guarded, &limits, std::future::pending()).await;
        Ok(())
    })
}

/// Starts them, and waits until they answer.
pub(super) async fn start() -> Result<Server, Stop> {
    let address = free_address()?;
    let server = Server::start(address, |command| {
        command.args(["bench", "empty", "--listen", &address.to_string()]);
    })?;
    for _ in 0..2_000 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(Stop::Failed("the empty handlers do not come up".to_owned()))
}
