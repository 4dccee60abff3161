//! Requests to addresses of others: what is refused is never connected to.

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use web::{Outbound, Reach, Target, Unanswered};

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_name_or_an_address_that_leads_to_this_machine_is_refused_when_it_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it can be asked without waiting");
    let port = listener.local_addr().expect("an address").port();
    let outbound = Outbound::new(Reach::Public, WITHIN);
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433"] {
        // As if the name had led elsewhere when it was registered.
        let target = Target::read(&format!("http://{host}:{port}/"), Reach::Everywhere).expect("a URL");
        let answer = outbound.post(&target, &[], Bytes::from("{}"), WITHIN).await;
        assert!(matches!(answer, Err(Unanswered::Refused(_))), "{host}: {answer:?}");
        assert!(listener.accept().is_err(), "{host} was connected to");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_before_it_is_asked() {
    for host in ["localhost", "2130706433", "0x7f.1"] {
        let target = Target::read(&format!("https://{host}/"), Reach::Public).expect("no more is seen without looking");
        assert!(target.look_up(Reach::Public, WITHIN).await.is_err(), "{host}");
        assert!(target.look_up(Reach::Everywhere, WITHIN).await.is_ok(), "{host}");
    }
    let nowhere = Target::read("https://nobody.invalid/", Reach::Public).expect("a URL");
    assert_eq!(nowhere.look_up(Reach::Public, WITHIN).await, Ok(()), "it leads nowhere, and may later lead somewhere");
}

#[test]
fn what_is_no_place_to_ask_says_what_is_expected() {
    let refused = |url: &str, reach| Target::read(url, reach).map_err(|fault| fault.to_string()).err();
    for (url, said) in [
        ("hooks", "https://"),
        ("/hooks", "https://"),
        ("ftp://a.example/", "https://"),
        ("http://a.example/", "https://"),
        ("https://user:secret@a.example/", "user's name"),
        ("https://a.example/#there", "fragment"),
        ("https://a.example:0/", "port"),
        ("https://a.example:65536/", "port"),
        ("https://10.0.0.1/", "private network"),
        ("https://[fd00::1]/", "private network"),
        ("https://a b.example/", "a URL such as"),
    ] {
        assert!(refused(url, Reach::Public).is_some_and(|detail| detail.contains(said)), "{url}");
    }
    for url in
        ["https://a.example", "https://a.example:8443/hooks?x=1", "https://[2606:4700::1111]/", "https://1.1.1.1/"]
    {
        assert_eq!(refused(url, Reach::Public), None, "{url}");
    }
    assert_eq!(refused("http://127.0.0.1:8080/", Reach::Everywhere), None);
}
