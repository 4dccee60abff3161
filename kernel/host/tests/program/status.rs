use std::sync::Arc;

use events::TableFeed;
use host::{Column, Overview, Service};
use telemetry::Meters;

use crate::asking::{Answer, ask, get};
use crate::listening::{Mood, listening};
use crate::running::{Running, memory, producer, say};

/// Orders, and a shop that listens to them.
fn shop_and_orders(mood: &Mood) -> (db::Database, Vec<Service>) {
    let (orders, shop) = (memory("orders"), memory("shop"));
    let feed = orders.clone();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), mood, &Meters::new());
    (orders.clone(), vec![producer(&orders), shop])
}

/// What a page says, without its marks.
fn text(html: &str) -> String {
    let (_, body) = html.split_once("<main").expect("a page has a main part");
    let parts = body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_shows_services_the_feeds_between_them_and_what_happened_last() {
    let (orders, services) = shop_and_orders(&Mood::default());
    let life = orders.incarnation();
    let running = Running::of(services);
    say(&orders, &[("Said", "a"), ("Told", "b")]);
    testkit::eventually("the shop has dealt with both", || text(&get(running.address, "/").body).contains("listens 0"));
    let page = get(running.address, "/");
    assert!(page.status == 200 && page.head.contains("text/html"), "{}", page.head);
    let text = text(&page.body);
    for said in [
        "All is well",
        &format!("orders works 2 0 0 of 0 memory {life}"),
        "shop works 0 0 1 of 1 memory",
        "shop orders listens 0 – 0 0",
        "Every event was dealt with",
        "system → orders Told b because of test",
    ] {
        assert!(text.to_lowercase().contains(&said.to_lowercase()), "{said} is missing: {text}");
    }
    let (first, last) = (text.find("orders Told b"), text.find("orders Said a"));
    assert!(first < last, "the newest stands first: {text}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    let page = get(running.address, "/");
    for header in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "script-src 'none'",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: same-origin",
    ] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    for outside in ["http://", "https://", "<script", "src=", "@import", "url(", " style=", " onclick", " onload"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}

#[test]
fn the_page_asks_for_itself_anew_only_when_that_is_wanted() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    assert!(!get(running.address, "/").head.contains("\nrefresh:"));
    assert!(get(running.address, "/?refresh=5").head.contains("\nrefresh: 5\r\n"));
    for wrong in ["/?refresh=1", "/?refresh=soon", "/?refesh=5"] {
        assert_eq!(get(running.address, wrong).code(), "invalid-request", "{wrong}");
    }
}

#[test]
fn what_others_have_written_cannot_become_a_part_of_the_page() {
    let (orders, services) = shop_and_orders(&Mood::default());
    let running = Running::of(services);
    say(&orders, &[("Said", "<script>alert(1)</script>\" onload=\"x")]);
    let page = get(running.address, "/").body;
    assert!(!page.contains("<script") && !page.contains("\" onload"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&quot;x"), "{page}");
}

#[test]
fn a_dead_letter_needs_somebody_and_a_parked_event_does_not() {
    let mood = Mood::default();
    let (orders, services) = shop_and_orders(&mood);
    let running = Running::of(services);
    mood.tries_again();
    say(&orders, &[("Said", "a")]);
    testkit::eventually("it is parked", || text(&get(running.address, "/").body).contains("not now"));
    let page = text(&get(running.address, "/").body);
    assert!(page.contains("All is well") && page.contains("Said orders 1 a shop"), "{page}");
    mood.gives_up();
    testkit::eventually("it is given up", || text(&get(running.address, "/").body).contains("not ever"));
    let page = get(running.address, "/").body;
    assert!(page.contains("<title>1 thing needs somebody · Banyan</title>"), "{page}");
    assert!(page.contains("<a href=\"#dead-letters\">1 dead letter waits</a>"), "{page}");
    assert!(text(&page).contains("Said orders 1 a shop"), "{page}");
}

/// Sends what the form of a page sends.
fn send(running: &Running, path: &str, form: &str) -> Answer {
    let headers = "content-type: application/x-www-form-urlencoded\r\naccept: text/html\r\n";
    ask(running.address, "POST", path, headers, form)
}

#[test]
fn a_dead_letter_is_shown_whole_and_settled_by_a_form_that_asks_why() {
    let mood = Mood::default();
    let (orders, services) = shop_and_orders(&mood);
    let running = Running::of(services);
    mood.gives_up();
    say(&orders, &[("Said", "a <b>"), ("Said", "b")]);
    let page = || text(&get(running.address, "/").body);
    testkit::eventually("both are given up", || page().contains("2 dead letters wait"));
    let shown = get(running.address, "/put-aside/shop/orders/1");
    assert!(shown.status == 200 && shown.head.contains("script-src 'none'"), "{}", shown.head);
    for said in ["Said about a &lt;b&gt;", "shop could not deal with it: not ever", "{ &quot;a&quot;: 1 }"] {
        assert!(text(&shown.body).contains(said), "{said} is missing: {}", text(&shown.body));
    }
    let refused = send(&running, "/put-aside/shop/orders/1/discard", "reason=");
    assert!(refused.status == 422 && refused.body.contains("1 to 500 characters"), "{}", refused.body);
    let discarded = send(&running, "/put-aside/shop/orders/1/discard", "reason=a+test+%3Corder%3E");
    assert!(discarded.status == 303 && discarded.head.contains("location: /#settled"), "{}", discarded.head);
    mood.is_well();
    assert_eq!(send(&running, "/put-aside/shop/orders/2/replay", "reason=mended").status, 303);
    testkit::eventually("it was dealt with", || page().contains("All is well"));
    for said in [
        "local discarded Said orders 1 a &lt;b&gt; shop a test &lt;order&gt;",
        "local replayed Said orders 2 b shop mended",
    ] {
        assert!(page().contains(said), "{said} is missing: {}", page());
    }
    let gone = send(&running, "/put-aside/shop/orders/1/discard", "reason=again");
    assert!(gone.status == 404 && gone.body.contains("There is no such dead letter"), "{}", gone.body);
    assert_eq!(get(running.address, "/put-aside/shop/orders/1").code(), "unknown-dead-letter", "no browser asks");
}

#[test]
fn what_a_program_sends_as_something_else_than_a_form_is_refused() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    let path = "/put-aside/shop/orders/1/discard";
    let json = ask(running.address, "POST", path, "content-type: application/json\r\n", "{\"reason\":\"x\"}");
    assert_eq!(json.code(), "unsupported-media-type");
    assert_eq!(send(&running, path, "reason=x&reason=y").status, 400);
    assert_eq!(send(&running, path, "reasn=x").status, 400);
}

#[test]
fn a_service_shows_tables_of_its_own_things() {
    static GOODS: Overview = Overview {
        title: "Goods",
        about: "By kind.",
        none: "There are none.",
        columns: &[Column::Text("Kind"), Column::Number("Pieces")],
        rows: |_| Ok(vec![vec!["tea & <b>".to_owned(), "7".to_owned()]]),
    };
    static NOTHING: Overview = Overview { title: "Losses", rows: |_| Ok(Vec::new()), ..GOODS };
    static BROKEN: Overview =
        Overview { title: "Returns", rows: |_| Err(db::Failure::Corrupt("secret".to_owned())), ..GOODS };
    let overviews = vec![GOODS, NOTHING, BROKEN];
    let running = Running::of(vec![Service { overviews, ..producer(&memory("shop")) }]);
    let page = get(running.address, "/").body;
    let text = text(&page);
    assert!(text.contains("Goods By kind. Kind Pieces tea &amp; &lt;b&gt; 7"), "{text}");
    assert!(text.contains("Losses There are none.") && text.contains("Returns They cannot be told now."), "{text}");
    assert!(!page.contains("secret"), "{page}");
}
