use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use db::{Database, Location, MemoryDisk, NewEvent, Options};
use futures_util::FutureExt;
use keys::{Created, Keyring, NewKey};
use telemetry::Meters;
use web::{Gate, Limits, Scope};
use world::World;

use crate::asking::{Answer, ask, get};
use crate::running::{Running, memory, producer, say};

/// A stream of events that is read message by message.
struct Stream {
    read: BufReader<TcpStream>,
    buffer: String,
}

/// What a stream says at once, without the empty line after it.
#[derive(Debug, PartialEq, Eq)]
struct Said(String);

impl Said {
    fn line(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    fn position(&self) -> Option<i64> {
        let data: serde_json::Value = serde_json::from_str(self.line("data:")?).ok()?;
        data["position"].as_i64()
    }
}

impl Stream {
    fn open(address: SocketAddr, query: &str, last: Option<&str>) -> Self {
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        Self::with(address, query, &last)
    }

    /// Opens one with these headers too.
    fn with(address: SocketAddr, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the program listens");
        stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a socket has a time-out");
        let request = format!(
            "GET /v1/events/shop{query} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the program reads");
        let mut opened = Self { read: BufReader::new(stream), buffer: String::new() };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(opened.read.read_line(&mut head).expect("a head") > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(opened.next().expect("a first word").line("retry:").is_some());
        opened
    }

    /// What is said next; none at the end.
    fn next(&mut self) -> Option<Said> {
        loop {
            if let Some((said, rest)) = self.buffer.split_once("\n\n") {
                let said = Said(said.to_owned());
                self.buffer = rest.to_owned();
                return Some(said);
            }
            let mut length = String::new();
            self.read.read_line(&mut length).expect("a chunk");
            let length = usize::from_str_radix(length.trim(), 16).expect("the length of a chunk");
            let mut chunk = vec![0; length + 2];
            self.read.read_exact(&mut chunk).expect("a whole chunk");
            if length == 0 {
                return None;
            }
            self.buffer.push_str(std::str::from_utf8(&chunk[..length]).expect("text"));
        }
    }

    fn all(mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn within(database: &Database, limits: &Limits) -> Running {
    Running::within(vec![producer(database)], &Meters::new(), Limits { drain_secs: 5, ..limits.clone() })
}

fn waits(address: SocketAddr, query: &str) -> Answer {
    ask(address, "GET", &format!("/v1/events/shop{query}"), "prefer: wait=30\r\n", "")
}

#[test]
fn a_stream_without_news_says_that_it_is_there_and_leads_past_what_nobody_wanted() {
    let database = memory("shop");
    let running = within(&database, &Limits { heartbeat_secs: 1, ..Limits::default() });
    let mut stream = Stream::open(running.address, "?subject=a", None);
    say(&database, &[("Said", "b"), ("Said", "b")]);
    let beat = std::iter::from_fn(|| stream.next()).take(10).find(|said| {
        assert!(said.0.starts_with(": ") && said.line("data:").is_none(), "{said:?}");
        let next = get(running.address, &format!("/v1/events/shop?after={}", said.line("id:").expect("a cursor")));
        next.json()["items"] == serde_json::json!([])
    });
    let id = beat.expect("a cursor after all that was said").line("id:").map(str::to_owned);
    say(&database, &[("Said", "a")]);
    let mut resumed = Stream::open(running.address, "?subject=a", id.as_deref());
    for stream in [&mut stream, &mut resumed] {
        let event = std::iter::from_fn(|| stream.next()).find(|said| said.line("event:").is_some());
        assert_eq!(event.and_then(|said| said.position()), Some(3));
    }
}

#[test]
fn a_stream_after_the_latest_begins_with_what_is_said_next_and_goes_on_from_there() {
    let database = memory("shop");
    say(&database, &[("Said", "a"), ("Said", "a")]);
    let running = within(&database, &Limits::default());
    let mut stream = Stream::open(running.address, "?after=latest", None);
    say(&database, &[("Said", "b"), ("Said", "a")]);
    let first = stream.next().expect("an event");
    assert_eq!(first.position(), Some(3));
    // A browser that comes back asks for the same address, and says what it heard last.
    let mut again = Stream::open(running.address, "?after=latest", first.line("id:"));
    assert_eq!(again.next().and_then(|said| said.position()), Some(4));
}

#[test]
fn a_stream_that_ends_before_it_had_anything_to_say_leads_past_what_it_looked_through() {
    let database = memory("shop");
    say(&database, &[("Said", "b"), ("Said", "b")]);
    let mut running = within(&database, &Limits::default());
    let stream = Stream::open(running.address, "?subject=a", None);
    let all = get(running.address, "/v1/events/shop").json();
    running.stop();
    let last = stream.all().pop().expect("a last word");
    assert_eq!((last.line("event:"), last.line("id:")), (Some("end"), all["next"].as_str()));
}

fn keyring() -> Keyring {
    let database = Database::open(
        keys::NAME,
        Location::Memory(MemoryDisk::empty()),
        Options::default(),
        World::real(),
        keys::MIGRATIONS,
    );
    let opened = Keyring::open(database.expect("a database"));
    opened.now_or_never().expect("memory answers at once").expect("keys")
}

/// Makes a key; how it is shown.
fn key(keyring: &Keyring, name: &str) -> String {
    let name: ids::Name = name.parse().expect("a name");
    let scopes = [Scope::Admin].into_iter().collect();
    let created = keyring.create(NewKey { owner: name.clone(), name, scopes, expires_at: None });
    match created.now_or_never().expect("memory answers at once").expect("a key") {
        Created::New(issued) => format!("authorization: Bearer {}\r\n", issued.text.expose()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_ends_when_its_key_is_accepted_no_more() {
    let (database, keyring) = (memory("shop"), keyring());
    let limits = Limits { heartbeat_secs: 1, drain_secs: 5, ..Limits::default() };
    let gate = Gate::kept_by(&keyring, false, &limits);
    let running = Running::behind(gate, vec![producer(&database)], &Meters::new(), limits);
    let is_over = |stream: &mut Stream| {
        let last = std::iter::from_fn(|| stream.next()).take(100).find(|said| said.line("event:") == Some("end"));
        let last = last.expect("a last word");
        assert!(last.0.contains("\"reason\":\"not-let-in\"") && last.line("id:").is_some(), "{last:?}");
        assert_eq!(stream.next(), None);
    };
    let mut without = Stream::open(running.address, "", None);
    let (one, other) = (key(&keyring, "one"), key(&keyring, "other"));
    is_over(&mut without);

    let [mut silent, mut busy] = ["?subject=nobody", ""].map(|query| Stream::with(running.address, query, &one));
    let mut accepted = Stream::with(running.address, "", &other);
    keyring.revoke("one".parse().expect("a name")).now_or_never().expect("at once").expect("it is revoked");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..60 {
                say(&database, &[("Said", "a")]);
                sleep(Duration::from_millis(50));
            }
        });
        is_over(&mut silent);
        is_over(&mut busy);
    });
    let heard = std::iter::from_fn(|| accepted.next()).filter_map(|said| said.position());
    assert!(heard.take(60).eq(1..=60), "the other goes on");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test listens beside itself")]
fn who_joins_in_while_things_are_said_hears_each_of_them_once_and_in_order() {
    const SAID: usize = 3_000;
    let database = memory("shop");
    let running = within(&database, &Limits::default());
    let address = running.address;
    let listens: Vec<_> = (0..24)
        .map(|number| {
            let query = ["", "?subject=a", "?type=Said", "?type=Said&subject=a"][number % 4];
            let every: &[i64] = [&[1, 2, 3][..], &[1, 2], &[1, 3], &[1]][number % 4];
            let wanted = (0..).step_by(3).flat_map(|first| every.iter().map(move |of| first + of));
            let wanted: Vec<i64> = wanted.take(every.len() * SAID / 3).collect();
            spawn(move || {
                sleep(Duration::from_millis(3 * number as u64));
                let mut stream = Stream::open(address, query, None);
                let heard = std::iter::from_fn(|| stream.next()).filter_map(|said| said.position());
                assert!(heard.take(wanted.len()).eq(wanted), "{query}");
            })
        })
        .collect();
    for number in 0..SAID / 3 {
        say(&database, &[("Said", "a"), ("Asked", "a"), ("Said", "b")]);
        if number % 10 == 0 {
            sleep(Duration::from_millis(1));
        }
    }
    for listens in listens {
        listens.join().expect("each of them once and in order");
    }
}

#[test]
fn who_reads_too_slowly_is_cut_off_and_told_where_to_go_on() {
    let database = memory("shop");
    let meters = Meters::new();
    let limits = Limits { backlog_bytes: 64 * 1024, drain_secs: 5, ..Limits::default() };
    let running = Running::within(vec![producer(&database)], &meters, limits);
    let slow = Stream::open(running.address, "", None);
    // Whoever is behind yet reads on at a pace of their own, however slow.
    testkit::eventually("it has joined those who are told", || {
        get(running.address, "/metrics").body.contains("banyan_event_streams{service=\"shop\"} 1")
    });
    let large = |number: i64| NewEvent {
        stream: ids::Number::from_column(number),
        version: 1,
        subject: "a".to_owned(),
        kind: "Said",
        schema: 1,
        occurred_at: world::Moment::from_micros(0),
        by: db::Context::system("test", db::Trace { trace_id: 1, span_id: 1, is_sampled: true }),
        body: format!("\"{}\"", "x".repeat(200_000)),
    };
    let is_cut_off = || meters.render().contains("banyan_event_streams_cut_off_total{service=\"shop\"} 1");
    // More than the buffers of the connection take.
    for number in 1..=200 {
        let said = database.write(move |tx| {
            tx.publish(large(number));
            Ok(())
        });
        said.now_or_never().expect("memory answers at once").expect("it is said");
        sleep(Duration::from_millis(5));
        if is_cut_off() {
            break;
        }
    }
    testkit::eventually("it is cut off", is_cut_off);
    let heard = slow.all();
    let last = heard.last().expect("a last word");
    assert_eq!(last.line("event:"), Some("end"), "{last:?}");
    let farewell: serde_json::Value = serde_json::from_str(last.line("data:").expect("a farewell")).expect("JSON");
    assert_eq!(farewell["reason"], "too-slow");
    let resume = farewell["resume_after"].as_str().expect("a cursor");
    let mut resumed = Stream::open(running.address, "", Some(resume));
    let next = heard.iter().filter_map(Said::position).max().expect("some were heard") + 1;
    assert_eq!(resumed.next().and_then(|said| said.position()), Some(next));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures how long it takes")]
fn a_program_that_stops_says_so_in_every_stream() {
    let database = memory("shop");
    let mut running = within(&database, &Limits::default());
    let streams = ["", "?subject=nobody"].map(|query| Stream::open(running.address, query, None));
    say(&database, &[("Said", "a")]);
    sleep(Duration::from_millis(200));
    running.stop();
    let began = Instant::now();
    for stream in streams {
        let heard = stream.all();
        let last = heard.last().expect("a last word");
        assert!(last.0.contains("\"reason\":\"stopping\"") && last.line("id:").is_some(), "{last:?}");
    }
    running.end().expect("a good end");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test waits beside itself")]
fn so_many_streams_are_served_and_one_more_is_told_when_to_come_again() {
    let database = memory("shop");
    let running = within(&database, &Limits { streams: 2, ..Limits::default() });
    let address = running.address;
    let mut open: Vec<_> = (0..2).map(|_| Stream::open(address, "", None)).collect();
    let stream = || ask(address, "GET", "/v1/events/shop", "accept: text/event-stream\r\n", "");
    let refused = stream();
    assert_eq!((refused.status, refused.code()), (503, "too-many-listeners".to_owned()));
    assert!(refused.head.contains("retry-after: 5"), "{}", refused.head);
    let waiting = [spawn(move || waits(address, "")), spawn(move || waits(address, ""))];
    sleep(Duration::from_millis(500));
    let refused = waits(address, "");
    assert_eq!((refused.status, refused.code()), (503, "too-many-listeners".to_owned()), "as many may wait");
    // Who goes away makes room, also without a word.
    open.pop();
    testkit::eventually("a stream that its reader has left is gone", || {
        get(address, "/metrics").body.contains("banyan_event_streams{service=\"shop\"} 1")
    });
    drop(Stream::open(address, "", None));
    say(&database, &[("Said", "a")]);
    assert_eq!(waiting.map(|waiting| waiting.join().expect("an answer").status), [200, 200]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test waits beside itself")]
fn those_who_listen_take_no_place_of_requests_that_are_worked_on() {
    let database = memory("shop");
    let running = within(&database, &Limits { open_requests: 2, ..Limits::default() });
    let address = running.address;
    let streams: Vec<_> = (0..5).map(|_| Stream::open(address, "", None)).collect();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let one = spawn(move || waits(address, "?type=Asked"));
            sleep(Duration::from_millis(50));
            one
        })
        .collect();
    assert_eq!(get(address, "/v1/events").status, 200);
    say(&database, &[("Said", "a"), ("Asked", "a")]);
    for one in waiting {
        assert_eq!(one.join().expect("an answer").json()["items"][0]["position"], 2);
    }
    drop(streams);
}

#[test]
fn who_waits_in_vain_is_led_past_what_was_said_to_others() {
    let database = memory("shop");
    let running = within(&database, &Limits::default());
    let says = database.clone();
    let path = "/v1/events/shop?subject=nobody";
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            sleep(Duration::from_millis(300));
            say(&says, &[("Said", "a"), ("Said", "b")]);
        });
        ask(running.address, "GET", path, "prefer: wait=1\r\n", "")
    });
    let next = answer.json()["next"].as_str().expect("a cursor").to_owned();
    assert_eq!(get(running.address, &format!("/v1/events/shop?after={next}")).json()["items"], serde_json::json!([]));
}

#[test]
fn a_stream_from_a_place_that_cannot_be_is_refused_like_a_page() {
    let database = memory("shop");
    say(&database, &[("Said", "a"), ("Said", "b")]);
    let cursor = {
        let running = within(&database, &Limits::default());
        get(running.address, "/v1/events/shop").json()["next"].as_str().expect("a cursor").to_owned()
    };
    let running = within(&memory("shop"), &Limits::default());
    let headers = format!("accept: text/event-stream\r\nlast-event-id: {cursor}\r\n");
    let answer = ask(running.address, "GET", "/v1/events/shop", &headers, "");
    assert_eq!((answer.status, answer.code()), (410, "cursor-of-another-life".to_owned()));
}
