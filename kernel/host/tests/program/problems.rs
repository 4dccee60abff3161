use host::Service;
use web::ProblemKind;

use crate::asking::{ask, get};
use crate::running::{Running, memory, producer};

static SOLD_OUT: ProblemKind =
    ProblemKind { code: "sold-out", status: 409, title: "Sold <out>", help: "Wait for `next` week & ask again." };

static KINDS: &[&ProblemKind] = &[&SOLD_OUT];

fn running() -> Running {
    Running::of(vec![Service { kinds: KINDS, ..producer(&memory("shop")) }])
}

#[test]
fn a_problem_has_a_page_that_needs_nothing_from_elsewhere() {
    let page = get(running().address, "/problems/sold-out");
    assert!(page.status == 200 && page.head.contains("text/html"), "{}", page.head);
    assert!(page.body.contains("Sold &lt;out&gt;") && page.body.contains("<code>next</code> week &amp; ask again"));
    assert!(page.body.contains("color-scheme:light dark"));
    for outside in ["http://", "https://", "<script", "src=", "@import"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}

#[test]
fn a_problem_is_told_as_json_to_those_who_ask_for_it() {
    let running = running();
    let told = ask(running.address, "GET", "/problems/sold-out", "accept: application/json\r\n", "").json();
    assert_eq!((&told["status"], &told["help"]), (&409.into(), &SOLD_OUT.help.into()));
    let all = ask(running.address, "GET", "/problems", "accept: application/json\r\n", "").json();
    let codes: Vec<_> =
        all["items"].as_array().expect("items").iter().filter_map(|kind| kind["code"].as_str()).collect();
    assert!(
        ["internal", "not-ready", "sold-out", "unknown-service"].iter().all(|code| codes.contains(code)),
        "{codes:?}"
    );
    assert!(get(running.address, "/problems").body.contains("href=\"/problems/sold-out\""));
}

#[test]
fn a_code_that_nobody_says_has_no_page() {
    let answer = get(running().address, "/problems/none");
    assert_eq!((answer.status, answer.code()), (404, "not-found".to_owned()));
}
