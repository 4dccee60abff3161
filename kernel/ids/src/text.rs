//! Texts that callers choose, checked once where they come in.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Why a text cannot be a name of this kind; the message is fit to be shown to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

const LONGEST: usize = 64;

/// Writes a checked text type: the check runs in `FromStr`, and serde goes through it. A copy shares the
/// text: names are copied from hand to hand far more often than they are made.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes over a text that has passed the check before, such as a column of our own.
            pub fn from_column(text: String) -> Self {
                debug_assert!($check(&text).is_ok(), "a column holds an unchecked name");
                Self(text.into())
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                $check(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// A name chosen by a caller: 1–64 of `A–Z a–z 0–9 . _ : -`.
    Name, check_name
}

checked_text! {
    /// A stock keeping unit: 1–64 characters without control characters, upper and lower case differ.
    Sku, check_sku
}

checked_text! {
    /// The name of a warehouse: 1–64 of `A–Z a–z 0–9 . _ : -`.
    Warehouse, check_name
}

fn check_name(text: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(allowed) {
        return Err(Invalid("a name has 1 to 64 of the characters A-Z a-z 0-9 . _ : -"));
    }
    Ok(())
}

fn check_sku(text: &str) -> Result<(), Invalid> {
    let length = text.chars().count();
    if length == 0 || length > LONGEST || text.chars().any(char::is_control) {
        return Err(Invalid("a SKU has 1 to 64 characters and no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Name, Sku};

    #[test]
    fn a_name_keeps_to_its_alphabet_and_length() {
        for good in ["a", "Order_1.2:3-4", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "é", "a\0", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sku_is_counted_in_characters_and_has_no_control_characters() {
        assert!("é".repeat(64).parse::<Sku>().is_ok());
        assert!("é".repeat(65).parse::<Sku>().is_err());
        for bad in ["", "a\nb", "\u{7f}", "\0"] {
            assert!(bad.parse::<Sku>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn upper_and_lower_case_differ() {
        assert_ne!("85123A".parse::<Sku>(), "85123a".parse::<Sku>());
    }

    #[test]
    fn serde_runs_the_check() {
        assert!(serde_json::from_str::<Name>(r#""a b""#).is_err());
        assert_eq!(serde_json::from_str::<Name>(r#""ab""#).unwrap().as_str(), "ab");
    }
}
