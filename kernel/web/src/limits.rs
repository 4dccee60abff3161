//! How much of everything the server grants.

use serde::{Deserialize, Serialize};

/// How long and how much the server waits, reads and holds; an operator may change each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Seconds that a request may take before nobody waits for it any more; what it asked for
    /// with `Prefer: wait` comes on top.
    pub request_secs: u64,
    /// Seconds within which a TLS hand-shake must be done and the head of a request must have come,
    /// and for which an idle connection is kept.
    pub head_secs: u64,
    /// Seconds within which the body of a request must have come.
    pub body_secs: u64,
    /// Seconds for which a client may leave an answer unread before its connection is closed.
    pub write_secs: u64,
    /// Bytes of a request's head; at least 8192.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Requests that are worked on at once; one more is answered with `overloaded`.
    pub open_requests: usize,
    /// Streams of events that are open at once, and as many requests that wait for events; one more is
    /// answered with `too-many-listeners`. Also as many that wait for something else (`Prefer: wait`); one
    /// more is answered at once. None of them counts as a request that is worked on.
    pub streams: usize,
    /// Seconds after which a stream without news says that it is still there.
    pub heartbeat_secs: u64,
    /// Bytes of events that may wait for the reader of a stream; one who lets more come is cut off.
    pub backlog_bytes: usize,
    /// Connections that are held at once; one more is answered with `overloaded` and closed.
    pub connections: usize,
    /// Requests that a key may make each second in the long run; 0 for as many as it likes.
    pub key_requests_per_sec: u32,
    /// Requests that a key may make at once after a pause.
    pub key_burst: u32,
    /// Requests without an accepted key that an address may make each second in the long run; 0 for
    /// as many as it likes.
    pub address_requests_per_sec: u32,
    /// Requests without an accepted key that an address may make at once after a pause.
    pub address_burst: u32,
    /// Seconds that open requests get to finish when the server stops; who waits (`Prefer: wait`) is answered after
    /// half of them.
    pub drain_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_secs: 30,
            head_secs: 15,
            body_secs: 15,
            write_secs: 30,
            head_bytes: 32 * 1024,
            body_bytes: 1024 * 1024,
            open_requests: 4_096,
            streams: 12_000,
            heartbeat_secs: 15,
            backlog_bytes: 1024 * 1024,
            connections: 20_000,
            key_requests_per_sec: 2_000,
            key_burst: 4_000,
            address_requests_per_sec: 50,
            address_burst: 200,
            drain_secs: 20,
        }
    }
}
