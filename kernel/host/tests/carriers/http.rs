//! A program that serves the producer's feed on a socket, always at the same address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use events::Feed;
use host::{HttpFeed, Program, Service};
use telemetry::Meters;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use web::{Client, Gate, Limits, Routes};
use world::World;

use crate::Carrier;
use crate::producer::Producer;

pub(crate) struct Http {
    address: Option<SocketAddr>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Where the consumers fetch.
    runtime: Runtime,
}

impl Default for Http {
    fn default() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Self { address: None, running: None, runtime }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.lose_producer();
    }
}

impl Carrier for Http {
    fn feed(&self) -> Arc<dyn Feed> {
        let url = format!("http://{}", self.address.expect("a producer was carried"));
        let client = Client::new(&url).expect("an address");
        Arc::new(HttpFeed::of("producer", client, &World::real(), self.runtime.handle()))
    }

    #[expect(clippy::disallowed_methods, reason = "a test runs the producer's program beside itself")]
    fn carry(&mut self, producer: &Producer) {
        self.lose_producer();
        let service = Service {
            name: "producer",
            database: producer.database.clone(),
            routes: Routes::default(),
            kinds: &[],
            workers: Vec::new(),
            tasks: Vec::new(),
            listens: Vec::new(),
            overviews: Vec::new(),
            tell: Box::new(|_| {}),
            waiting: Box::new(|| 0),
            close: Box::new(|| {}),
        };
        let address = self.address.unwrap_or_else(|| "127.0.0.1:0".parse().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let program = Program::new(&World::real(), Gate::open(), Limits::default(), &Meters::new()).with(service);
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.expect("the address is free again");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                program.run(listener, async { drop(stopped.await) }).await.expect("nothing breaks");
            });
        });
        self.address = Some(told.recv().expect("the program listens"));
        self.running = Some((stop, thread));
    }

    fn lose_producer(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().expect("the program ends in good order");
        }
    }
}
