use std::fs;
use std::future::pending;
use std::sync::{Arc, mpsc};

use db::{Asked, Context, Database, Kind, Location, Options, Perform, Trace, open_desk};
use host::{Service, Task};
use tokio::runtime::Builder;
use web::Routes;
use world::World;

use crate::running::Running;

/// How little this thread weighs: -20 to 19.
fn niceness() -> i32 {
    let stat = fs::read_to_string("/proc/thread-self/stat").expect("/proc is there");
    let after_name = stat.rsplit(')').next().expect("a line");
    after_name.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
}

/// What a task, the desk and a reader of a service run at.
fn of_service(gives_way: bool) -> [i32; 3] {
    let folder = tempfile::tempdir().expect("a folder");
    let (location, options) =
        (Location::File(folder.path().join("shop.db")), Options { gives_way, ..Options::default() });
    let database = Database::open("shop", location, options, World::real(), &[]).expect("a database");
    let perform: Perform<(), i32> = Arc::new(|_, asked| Ok(asked.iter().map(|_| niceness()).collect()));
    let kind = Kind { key_of: |()| 0, weigh: |()| 1 };
    let (desk, workers) = open_desk(&database, &kind, &perform, Vec::new(), &Arc::default()).expect("a desk");
    let (tell, told) = mpsc::channel();
    let calls = async move {
        tell.send(niceness()).expect("the test waits for it");
        pending::<()>().await;
    };
    let tasks = vec![Task { name: "calls", run: Box::pin(calls) }];
    let _running = Running::of(vec![Service { tasks, ..Service::new(&database, Routes::default(), &desk, workers) }]);
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let asked = Asked::new((), Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }));
    let of_desk = runtime.block_on(desk.ask(asked)).expect("it is performed");
    let of_reader = runtime.block_on(database.read(|_| Ok(niceness()))).expect("it is read");
    [told.recv().expect("the task runs"), of_desk, of_reader]
}

#[test]
fn the_threads_of_a_service_that_gives_way_weigh_less_than_those_of_others() {
    let own = niceness();
    assert_eq!(of_service(false), [own; 3]);
    assert_eq!(of_service(true), [(own + 10).min(19); 3]);
}
