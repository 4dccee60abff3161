//! The signature of a message, as Standard Webhooks has it.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use world::Moment;

/// What every text of a secret begins with.
const PREFIX: &str = "whsec_";

/// A secret of an endpoint, with which messages to it are signed. Unlike a password it is kept as it
/// is, for a hash signs nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// `whsec_` and the key in base64.
    text: String,
    /// From when on nothing is signed with it; none for the one that is in force.
    pub until: Option<Moment>,
}

/// Leaves the text out.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(until {:?})", self.until)
    }
}

impl Secret {
    /// The secret with this key.
    pub fn of(key: &[u8]) -> Self {
        Self { text: format!("{PREFIX}{}", STANDARD.encode(key)), until: None }
    }

    /// Its text, to be shown once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    fn key(&self) -> Vec<u8> {
        let text = self.text.strip_prefix(PREFIX).unwrap_or(&self.text);
        STANDARD.decode(text).expect("the text of a secret is made of base64")
    }
}

/// The value of `webhook-signature`: a signature with each secret that is in force at this moment, a
/// space between.
///
/// # Panics
/// When a secret was not made by [`Secret::of`].
pub fn sign<'a>(secrets: impl IntoIterator<Item = &'a Secret>, id: &str, at: Moment, body: &str) -> String {
    let signed = format!("{id}.{}.{body}", seconds(at));
    let in_force = secrets.into_iter().filter(|secret| secret.until.is_none_or(|until| until > at));
    let signature = |secret: &Secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.key()).expect("a key of any length will do");
        mac.update(signed.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    in_force.map(signature).collect::<Vec<_>>().join(" ")
}

/// A moment as `webhook-timestamp` has it.
pub(crate) fn seconds(at: Moment) -> i64 {
    at.micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use world::Moment;

    use super::{Secret, sign};

    const BODY: &str = r#"{"test": 2432232314}"#;
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

    fn at() -> Moment {
        Moment::from_micros(1_614_265_330 * 1_000_000 + 999_999)
    }

    /// The example of the libraries of Standard Webhooks.
    fn published() -> Secret {
        Secret { text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), until: None }
    }

    #[test]
    fn the_signature_is_the_published_one() {
        assert_eq!(sign(&[published()], ID, at(), BODY), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_in_force_signs_and_no_other() {
        let later = Secret { until: Some(at() + Duration::from_secs(1)), ..Secret::of(&[7; 32]) };
        let over = Secret { until: Some(at()), ..Secret::of(&[8; 32]) };
        let both = sign(&[published(), later, over], ID, at(), BODY);
        assert_eq!(both.split(' ').count(), 2, "{both}");
        assert!(both.starts_with("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,"), "{both}");
    }

    #[test]
    fn a_secret_is_never_written_by_accident() {
        assert!(!format!("{:?}", published()).contains("MfKQ"));
        assert!(Secret::of(&[0; 32]).expose().starts_with("whsec_AAAA"));
    }
}
