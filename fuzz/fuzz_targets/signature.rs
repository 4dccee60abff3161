//! Whoever has a secret that is in force finds its signature, as the official library makes it, and nothing else is signed.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use notifications::domain::{Secret, sign};
use standardwebhooks::Webhook;
use world::Moment;

/// A message with the secrets of its endpoint.
#[derive(Arbitrary, Debug)]
struct Made<'a> {
    /// Keys, each with the microseconds that it has left, where it ends.
    keys: Vec<(&'a [u8], Option<i8>)>,
    id: &'a str,
    at_secs: i32,
    micros: u16,
    body: &'a str,
}

fuzz_target!(|made: Made<'_>| {
    let Made { keys, id, at_secs, micros, body } = made;
    let at_micros = i64::from(at_secs) * 1_000_000 + i64::from(micros);
    let kept = |(key, left): &(&[u8], Option<i8>)| {
        let mut secret = Secret::of(key);
        secret.until = left.map(|left| Moment::from_micros(at_micros + i64::from(left)));
        // As the database has it.
        let written = serde_json::to_string(&secret).expect("a secret can be written");
        let read: Secret = serde_json::from_str(&written).expect("what was written is read");
        assert!(read == secret, "{written}");
        read
    };
    let secrets: Vec<Secret> = keys.iter().map(kept).collect();

    let mut expected = Vec::new();
    for (secret, (key, _)) in secrets.iter().zip(&keys) {
        let receiver = Webhook::new(secret.expose()).expect("a secret that the official library takes");
        let signature = |by: &Webhook| by.sign(id, at_secs.into(), body.as_bytes()).expect("a text");
        let by_key = Webhook::from_bytes(key.to_vec()).expect("any key will do");
        assert_eq!(signature(&receiver), signature(&by_key), "another key than the one that was given");
        if secret.until.is_none_or(|until| until.micros() > at_micros) {
            expected.push(signature(&receiver));
        }
    }
    assert_eq!(sign(&secrets, id, Moment::from_micros(at_micros), body), expected.join(" "));
});
