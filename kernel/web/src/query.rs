//! The query of a request: every parameter known, and none read by halves.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::faults::unless_it_quotes;
use crate::page::{Cursor, Page};
use crate::problem::{FieldError, Problem};

/// The parameters of a query, each taken by name; what is left over at the end is refused.
///
/// ```
/// # use web::{Page, Problem, Query};
/// fn read(mut query: Query) -> Result<(Option<String>, Page), Problem> {
///     let status = query.parse("status");
///     let page = query.page();
///     query.finish(|| Some((status?, page?)))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

/// Parameters in one query, at most; as many as a list of SKUs needs.
const MOST: usize = 1_000;

impl Query {
    /// Reads the text after the `?`: pairs with `&` between them, percent-encoded UTF-8, `+` for a space.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let texts: Vec<&str> = text.split('&').filter(|pair| !pair.is_empty()).collect();
        if texts.len() > MOST {
            return Err(Problem::unreadable(format!("A query has at most {MOST} parameters.")));
        }
        let pairs = texts.into_iter().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        let pairs: Option<Vec<(String, String)>> = pairs.collect();
        let pairs = pairs.ok_or_else(|| Problem::unreadable("The query is not percent-encoded UTF-8."))?;
        // No text of ours has one, and the databases cannot even be asked for it.
        if pairs.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Problem::unreadable("A query has no NUL character in it."));
        }
        Ok(Self { pairs, errors: Vec::new() })
    }

    /// All values of a parameter that may be repeated, in the order given.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let (these, others) = std::mem::take(&mut self.pairs).into_iter().partition(|(given, _)| given == name);
        self.pairs = others;
        let these: Vec<(String, String)> = these;
        these.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that is given at most once; `Some(None)` where it is not given.
    pub fn one(&mut self, name: &str) -> Option<Option<String>> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Some(values.pop()),
            _ => self.refuse(name, "this parameter is given only once"),
        }
    }

    /// Whether a parameter is given as this word, and only so; then it is taken.
    pub fn says(&mut self, name: &str, word: &str) -> bool {
        let mut these = self.pairs.iter().filter(|(given, _)| given == name);
        let says = these.next().is_some_and(|(_, value)| value == word) && these.next().is_none();
        if says {
            self.pairs.retain(|(given, _)| given != name);
        }
        says
    }

    /// The parsed value of a parameter that is given at most once; `Some(None)` where it is not given.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Option<T>> {
        let Some(text) = self.one(name)? else { return Some(None) };
        match text.parse() {
            Ok(value) => Some(Some(value)),
            Err(error) => self.refuse(name, unless_it_quotes(format!("{error}"), &text)),
        }
    }

    /// The part of a list that is asked for: `limit` and `after`.
    pub fn page(&mut self) -> Option<Page> {
        let limit = match self.one("limit") {
            None => None,
            Some(None) => Some(Page::default().limit),
            Some(Some(text)) => match text.parse::<u16>().ok().filter(|limit| (1..=Page::LARGEST).contains(limit)) {
                Some(limit) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(limit),
                _ => self.refuse("limit", format!("an integer from 1 to {} is expected", Page::LARGEST)),
            },
        };
        let after = self.parse::<Cursor>("after");
        Some(Page { limit: limit?, after: after? })
    }

    /// Says what is expected of a parameter. Always none, so that it can end a check.
    pub fn refuse<T>(&mut self, name: &str, expected: impl Into<String>) -> Option<T> {
        self.errors.push(FieldError { pointer: format!("?{name}"), detail: expected.into() });
        None
    }

    /// Gives what was built if every parameter was known and right, or one problem with all faults.
    pub fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        // The name of an unknown one is not said back: it may be anything.
        if !self.pairs.is_empty() {
            let unknown = std::mem::take(&mut self.pairs);
            let safe =
                |name: &str| name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let name = unknown.iter().map(|(name, _)| name.as_str()).find(|name| safe(name)).unwrap_or("");
            self.refuse::<()>(name, "there is no such parameter here");
        }
        if self.errors.is_empty() {
            return build().ok_or_else(|| Problem::internal("a query built nothing and found no fault"));
        }
        Err(self.errors.into_iter().fold(Problem::unreadable("The query is not as it is expected."), Problem::error))
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts.uri.query().unwrap_or(""))
    }
}

/// Percent-decoded text; none where an escape is broken or the bytes are no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let escapes_are_whole = spaced
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let bytes = percent_encoding::percent_decode_str(&spaced);
    if escapes_are_whole { bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned) } else { None }
}

#[cfg(test)]
mod tests {
    use super::Query;
    use ids::Name;

    fn pointers<T: std::fmt::Debug>(read: Result<T, crate::Problem>) -> Vec<String> {
        read.unwrap_err().errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn a_repeated_parameter_keeps_its_order() {
        let mut query = Query::read("sku=b&x=1&sku=a%2F%C3%A9&sku=b+c").unwrap();
        assert_eq!(query.all("sku"), ["b", "a/é", "b c"]);
        assert_eq!(query.one("x"), Some(Some("1".to_owned())));
        assert!(query.finish(|| Some(())).is_ok());
    }

    #[test]
    fn a_query_is_percent_encoded_utf_8_without_nul() {
        for bad in ["a=%", "a=%2", "a=%zz", "%ff=1", "a=%C3", "a=b%00"] {
            assert_eq!(Query::read(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn a_word_is_taken_where_it_is_all_that_is_said() {
        let mut query = Query::read("after=latest&limit=5").unwrap();
        assert_eq!((query.says("after", "newest"), query.says("after", "latest")), (false, true));
        assert_eq!(query.page().map(|page| (page.limit, page.after)), Some((5, None)));
        let mut twice = Query::read("after=latest&after=latest").unwrap();
        assert!(!twice.says("after", "latest"));
        assert_eq!(twice.page(), None);
    }

    #[test]
    fn all_faults_of_a_query_are_said_at_once() {
        let mut query = Query::read("customer=a%20b&limit=0&limit=1&after=%21&custmer=x").unwrap();
        let customer = query.parse::<Name>("customer");
        let page = query.page();
        assert_eq!(pointers(query.finish(|| Some((customer?, page?)))), ["?customer", "?limit", "?after", "?custmer"]);
    }

    #[test]
    fn an_unknown_parameter_is_refused_and_not_said_back_unless_it_is_a_plain_word() {
        assert_eq!(pointers(Query::read("4242424242424242=1").unwrap().finish(|| Some(()))), ["?"]);
    }

    #[test]
    fn a_page_has_1_to_500_items() {
        for (text, limit) in [("", Some(50)), ("limit=1", Some(1)), ("limit=500", Some(500))] {
            assert_eq!(Query::read(text).unwrap().page().map(|page| page.limit), limit, "{text}");
        }
        for bad in ["0", "501", "-1", "+5", "1e2", "", "99999999999"] {
            let mut query = Query::read(&format!("limit={}", bad.replace('+', "%2B"))).unwrap();
            assert_eq!(query.page(), None, "{bad}");
        }
    }
}
