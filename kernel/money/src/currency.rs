//! The currencies that there are, and how many decimals each has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::MoneyError;

/// The currencies of ISO 4217 by the decimals of their minor unit.
///
/// Source: <https://www.six-group.com/en/products-services/financial-information/data-standards.html>,
/// list one, as of January 2026. What has no minor unit there (gold, drawing rights, test codes) is
/// nothing that one can pay in, and is left out.
const CODES_BY_DECIMALS: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE \
         CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
         HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK \
         MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD \
         RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH \
         USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// A currency: its code in ISO 4217, which says how many decimals its amounts have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    decimals: u8,
}

impl Currency {
    /// The euro.
    pub const EUR: Self = Self { code: "EUR", decimals: 2 };
    /// The pound sterling.
    pub const GBP: Self = Self { code: "GBP", decimals: 2 };
    /// The yen, which has no minor unit.
    pub const JPY: Self = Self { code: "JPY", decimals: 0 };
    /// The dollar of the United States.
    pub const USD: Self = Self { code: "USD", decimals: 2 };

    /// The code: three capital letters.
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals an amount has: 2 for pounds, 0 for yen.
    pub const fn decimals(self) -> u32 {
        self.decimals as u32
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        for (decimals, codes) in CODES_BY_DECIMALS {
            if let Some(code) = codes.split(' ').find(|code| *code == text) {
                return Ok(Self { code, decimals });
            }
        }
        Err(MoneyError::UnknownCurrency(text.to_owned()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES_BY_DECIMALS, Currency};

    #[test]
    fn the_list_has_each_code_once_in_order() {
        let mut all = Vec::new();
        for (_, codes) in CODES_BY_DECIMALS {
            let codes: Vec<_> = codes.split(' ').collect();
            assert!(codes.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
            assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
            all.extend(codes);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 165);
    }

    #[test]
    fn the_constants_are_what_the_list_says() {
        for constant in [Currency::EUR, Currency::GBP, Currency::JPY, Currency::USD] {
            assert_eq!(constant.code().parse(), Ok(constant));
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for bad in ["", "GB", "gbp", "GBPX", "ZZZ", "XXX", "XAU", "D G", "££", "HRK"] {
            let error = bad.parse::<Currency>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{bad:?} is no currency")), "{error}");
        }
    }
}
