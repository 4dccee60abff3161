use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use db::{Asked, Context, Kind, Perform, Trace, open_desk};
use host::Service;
use web::{Access, Operation, Routes};

use crate::asking::{ask, get};
use crate::running::{Running, memory, producer};

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn a_request_that_is_open_when_it_stops_is_answered_and_no_new_one_is_taken() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        "done"
    };
    let slowly = Operation::new("slow", "Takes its time", "Then it is done.");
    let service = Service {
        routes: Routes::default().get("/slow", Access::Everybody, slow, slowly),
        ..producer(&memory("shop"))
    };
    let mut running = Running::of(vec![service]);
    let address = running.address;
    let open = std::thread::spawn(move || get(address, "/slow"));
    std::thread::sleep(Duration::from_millis(150));
    running.stop();
    let answer = open.join().expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    running.end().expect("a good end");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_waits_at_a_desk_is_finished_before_the_program_ends() {
    const KIND: Kind<()> = Kind { key_of: |()| 0, weigh: |()| 1_000 };
    let (database, performed) = (memory("shop"), Arc::new(AtomicUsize::new(0)));
    let counted = performed.clone();
    let perform: Perform<(), ()> = Arc::new(move |_, asked| {
        std::thread::sleep(Duration::from_millis(20));
        counted.fetch_add(asked.len(), Ordering::Relaxed);
        Ok(vec![(); asked.len()])
    });
    let (desk, workers) = open_desk(&database, &KIND, &perform, Vec::new(), &Arc::default()).expect("a desk");
    let mut running = Running::of(vec![Service::new(&database, Routes::default(), &desk, workers)]);
    let by = Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true });
    let waiting: Vec<_> = (0..50).map(|_| desk.ask(Asked::new((), by.clone()))).collect();
    running.stop();
    running.end().expect("a good end");
    assert_eq!(performed.load(Ordering::Relaxed), 50);
    drop(waiting);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself, and measures how long it takes")]
fn somebody_who_waits_for_events_does_not_hold_the_program_up() {
    let mut running = Running::of(vec![producer(&memory("shop"))]);
    let (address, began) = (running.address, Instant::now());
    let open = std::thread::spawn(move || ask(address, "GET", "/v1/events/shop", "prefer: wait=30\r\n", ""));
    std::thread::sleep(Duration::from_millis(200));
    running.stop();
    assert_eq!(open.join().expect("an answer").status, 200);
    running.end().expect("a good end");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
