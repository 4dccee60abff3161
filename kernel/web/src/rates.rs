//! How often somebody may ask: a bucket for each key, and for each address that comes without one.
//!
//! A bucket holds so many requests at most and is filled evenly. It is kept as one moment, when it
//! will be full again, so that nothing runs to fill it (the generic cell rate algorithm).
//! Source: <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::{HeaderName, HeaderValue, Response};
use ids::Number;
use world::Moment;

use crate::limits::Limits;

/// Who has a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// A key.
    Key(Number),
    /// An address; of IPv6 the half that a provider gives out.
    Address(IpAddr),
}

impl Who {
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(six) => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
            four @ IpAddr::V4(_) => four,
        })
    }
}

/// How great a bucket is and how fast it fills.
#[derive(Clone, Debug)]
struct Policy {
    name: &'static str,
    burst: i64,
    micros_each: i64,
    said: HeaderValue,
}

impl Policy {
    /// None where there is no limit.
    fn of(name: &'static str, per_sec: u32, burst: u32) -> Option<Self> {
        if per_sec == 0 {
            return None;
        }
        let burst = i64::from(burst.max(1));
        let micros_each = (1_000_000 / i64::from(per_sec)).max(1);
        let window_secs = secs(burst * micros_each);
        let said = format!("\"{name}\";q={burst};w={window_secs}");
        Some(Self { name, burst, micros_each, said: HeaderValue::from_str(&said).expect("names and numbers") })
    }

    fn full_after_micros(&self) -> i64 {
        self.burst * self.micros_each
    }
}

/// What a request has left of its bucket.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    policy: HeaderValue,
    state: String,
    /// After how many seconds to ask again, where there was nothing left.
    pub(crate) retry_after_secs: Option<u32>,
}

impl Drawn {
    /// Says it on the answer, as the IETF's draft has it.
    /// Source: <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers>.
    pub(crate) fn say<B>(self, response: &mut Response<B>) {
        const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
        const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
        response.headers_mut().insert(POLICY, self.policy);
        let state = HeaderValue::from_str(&self.state).expect("names and numbers");
        response.headers_mut().insert(LIMIT, state);
    }
}

/// Parts of the buckets with a lock each, so that requests seldom meet at one.
const PARTS: usize = 64;
/// Buckets in a part after which the full ones, which say nothing, are forgotten.
const MOST_IN_PART: usize = 4_096;

/// The buckets of all who ask; each kept as the moment in which it is full again.
#[derive(Debug)]
pub(crate) struct Rates {
    of_keys: Option<Policy>,
    of_addresses: Option<Policy>,
    parts: [Mutex<BTreeMap<Who, i64>>; PARTS],
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            of_keys: Policy::of("key", limits.key_requests_per_sec, limits.key_burst),
            of_addresses: Policy::of("address", limits.address_requests_per_sec, limits.address_burst),
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Takes one request out of somebody's bucket; none where there is no limit.
    pub(crate) fn draw(&self, who: Who, now: Moment) -> Option<Drawn> {
        let (policy, part) = match who {
            Who::Key(number) => (self.of_keys.as_ref()?, world::stable_hash(&number.to_column().to_le_bytes())),
            Who::Address(IpAddr::V4(four)) => (self.of_addresses.as_ref()?, world::stable_hash(&four.octets())),
            Who::Address(IpAddr::V6(six)) => (self.of_addresses.as_ref()?, world::stable_hash(&six.octets())),
        };
        let part = &self.parts[usize::try_from(part % PARTS as u64).unwrap_or(0)];
        let now = now.micros();
        let (wait, full_in) = {
            let mut buckets = part.lock().unwrap_or_else(PoisonError::into_inner);
            make_room(&mut buckets, now);
            let full_at = buckets.entry(who).or_insert(now);
            // A clock that was set back must not shut anybody out for longer than an empty bucket does.
            let before = (*full_at).clamp(now, now + policy.full_after_micros());
            let after = before + policy.micros_each;
            let wait = after - now - policy.full_after_micros();
            *full_at = if wait > 0 { before } else { after };
            (wait, *full_at - now)
        };
        let left = (policy.full_after_micros() - full_in) / policy.micros_each;
        Some(Drawn {
            policy: policy.said.clone(),
            state: format!("\"{}\";r={left};t={}", policy.name, secs(full_in)),
            retry_after_secs: (wait > 0).then(|| u32::try_from(secs(wait)).unwrap_or(u32::MAX)),
        })
    }
}

/// Forgets buckets that are full; where there are too many others, all: better for a moment to let
/// somebody ask more often than to run out of memory.
fn make_room(buckets: &mut BTreeMap<Who, i64>, now: i64) {
    if buckets.len() >= MOST_IN_PART {
        buckets.retain(|_, full_at| *full_at > now);
        if buckets.len() > MOST_IN_PART / 2 {
            buckets.clear();
        }
    }
}

/// Whole seconds, the last one begun.
fn secs(micros: i64) -> i64 {
    micros.max(0).div_euclid(1_000_000) + i64::from(micros.max(0) % 1_000_000 > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ids::Number;
    use world::{Moment, World};

    use super::{MOST_IN_PART, Rates, Who};
    use crate::limits::Limits;

    const KEY: Who = Who::Key(Number::from_column(1));

    fn rates() -> Rates {
        Rates::new(&Limits { key_requests_per_sec: 2, key_burst: 4, ..Limits::default() })
    }

    /// How many of so many requests are let in, and after how many seconds the last should come again.
    fn asked(rates: &Rates, who: Who, now: Moment, times: usize) -> (usize, Option<u32>) {
        let drawn: Vec<_> = (0..times).map(|_| rates.draw(who, now).expect("a limit").retry_after_secs).collect();
        (drawn.iter().filter(|wait| wait.is_none()).count(), drawn.last().copied().flatten())
    }

    #[test]
    fn a_bucket_empties_and_is_filled_evenly() {
        let (rates, world) = (rates(), World::simulated(1));
        let drawn = rates.draw(KEY, world.now()).expect("a limit");
        assert_eq!((drawn.policy.to_str().unwrap(), &*drawn.state), ("\"key\";q=4;w=2", "\"key\";r=3;t=1"));
        assert_eq!(asked(&rates, KEY, world.now(), 10), (3, Some(1)));
        world.advance(Duration::from_millis(499));
        assert_eq!(asked(&rates, KEY, world.now(), 1).0, 0);
        world.advance(Duration::from_millis(1));
        assert_eq!(asked(&rates, KEY, world.now(), 2).0, 1);
        world.advance(Duration::from_secs(60));
        assert_eq!(asked(&rates, KEY, world.now(), 10).0, 4, "it holds no more than its burst");
    }

    #[test]
    fn one_who_asks_too_often_leaves_the_others_alone() {
        let (rates, now) = (rates(), World::simulated(1).now());
        assert_eq!(asked(&rates, KEY, now, 10).0, 4);
        assert_eq!(asked(&rates, Who::Key(Number::from_column(2)), now, 1).0, 1);
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out_for_long() {
        let (rates, world) = (rates(), World::simulated(1));
        let before = world.now();
        world.advance(Duration::from_secs(3_600));
        assert_eq!(asked(&rates, KEY, world.now(), 10).0, 4);
        assert_eq!(asked(&rates, KEY, before, 1), (0, Some(1)));
        assert_eq!(asked(&rates, KEY, before + Duration::from_secs(2), 10).0, 4);
    }

    #[test]
    fn an_address_of_ipv6_is_half_of_it_and_one_of_ipv4_is_itself_however_it_is_written() {
        let at = |text: &str| Who::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::3"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::3"), at("2001:db8:1:3::3"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.2"), at("10.0.0.1"));
    }

    #[test]
    fn the_buckets_of_many_do_not_fill_the_memory() {
        let (rates, world) = (rates(), World::simulated(1));
        for number in 0..1_000_000 {
            rates.draw(Who::Key(Number::from_column(number)), world.now());
        }
        assert!(rates.parts.iter().all(|part| part.lock().unwrap().len() <= MOST_IN_PART));
    }

    #[test]
    fn no_limit_says_nothing() {
        let rates = Rates::new(&Limits { key_requests_per_sec: 0, ..Limits::default() });
        assert!(rates.draw(KEY, World::simulated(1).now()).is_none());
    }
}
