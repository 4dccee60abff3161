//! Checking a request: all its faults in one answer.

use std::fmt::{Display, Write};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::Value;

use crate::card::contains_card_number;
use crate::kinds::INVALID_REQUEST;
use crate::problem::{FieldError, Problem};

/// Faults listed in one answer; of the others the number is said.
const LISTED: usize = 50;

/// Collects what is wrong with a request, so that one answer says it all.
///
/// A request document has lenient fields (`serde_json::Value`, with `#[serde(default)]`), and a
/// service's `check` takes each through here. It begins with the faults that came with the
/// [`Body`](crate::Body): fields that are not known, or have not their shape. What is in order comes
/// back as `Some`; at the end [`Faults::finish`] builds the command, or says no with every fault:
///
/// ```
/// # use web::{Body, Faults, Problem}; use ids::Sku; use serde_json::Value;
/// # struct RawLine { sku: Value, quantity: Value } struct Line { sku: Sku, quantity: i64 }
/// fn check(Body(raw, mut faults): Body<RawLine>) -> Result<Line, Problem> {
///     let sku = faults.at("/sku").parse::<Sku>(&raw.sku);
///     let quantity = faults.at("/quantity").integer(&raw.quantity, 1..=1_000_000);
///     faults.finish(|| Some(Line { sku: sku?, quantity: quantity? }))
/// }
/// ```
#[derive(Debug, Default)]
#[must_use = "a request with faults is refused only by `finish`"]
pub struct Faults {
    found: Vec<FieldError>,
    /// So many of them, the first ones, are of parts that have not their shape: nothing more is said of these.
    of_shape: usize,
    unlisted: usize,
    within: String,
}

impl Faults {
    /// Looks at the field under this pointer (`/sku`), relative to where the check is.
    pub fn at<'a>(&'a mut self, pointer: &'a str) -> Field<'a> {
        Field { faults: self, pointer }
    }

    /// Checks what lies under this pointer; pointers given inside are relative to it.
    pub fn within<T>(&mut self, pointer: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.within.len();
        self.within.push_str(pointer);
        let checked = check(self);
        self.within.truncate(outer);
        checked
    }

    /// Checks each item of a list that must have so many; pointers given inside are relative to
    /// the item. `Some` when there are so many and every item came back as `Some`.
    pub fn each<I: IntoIterator<IntoIter: ExactSizeIterator>, T>(
        &mut self,
        pointer: &str,
        items: I,
        count: RangeInclusive<usize>,
        mut check: impl FnMut(&mut Self, I::Item) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = items.into_iter();
        if !count.contains(&items.len()) {
            return self.at(pointer).refuse(format!("{} to {} items are expected", count.start(), count.end()));
        }
        let mut checked = Some(Vec::with_capacity(items.len()));
        let outer = self.within.len();
        for (index, item) in items.enumerate() {
            write!(self.within, "{pointer}/{index}").expect("a string takes all that is written");
            match (check(self, item), &mut checked) {
                (Some(item), Some(checked)) => checked.push(item),
                _ => checked = None,
            }
            self.within.truncate(outer);
        }
        checked
    }

    /// Gives what was built if nothing was wrong, or one problem with all faults.
    ///
    /// To build nothing without having found a fault is a bug, and said as `internal`.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        if self.found.is_empty() {
            return build().ok_or_else(|| Problem::internal("a check built nothing and found no fault"));
        }
        let mut problem = Problem::new(&INVALID_REQUEST);
        if self.unlisted > 0 {
            let detail = format!("The first {LISTED} faults are listed; there are {} more.", self.unlisted);
            problem = problem.detail(detail).member("unlisted_errors", self.unlisted);
        }
        Err(self.found.into_iter().fold(problem, Problem::error))
    }

    /// Says that a part has not its shape; before anything else is looked at.
    pub(crate) fn of_shape(&mut self, pointer: &str, detail: String) {
        self.add(pointer, detail);
        self.of_shape = self.found.len();
    }

    fn add(&mut self, pointer: &str, detail: String) {
        let pointer = format!("{}{pointer}", self.within);
        let is_part_of = |wrong: &FieldError| {
            pointer.strip_prefix(&wrong.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.found[..self.of_shape].iter().any(is_part_of) {
            return;
        }
        if self.found.len() == LISTED {
            self.unlisted += 1;
            return;
        }
        // The last guard: whoever wrote the message, a card number is not said back.
        let detail = if contains_card_number(&detail) { NOT_AS_EXPECTED.to_owned() } else { detail };
        self.found.push(FieldError { pointer, detail });
    }
}

/// What is said of a value when nothing can be said without saying the value.
pub(crate) const NOT_AS_EXPECTED: &str = "this value is not of the form that is expected here";

/// One field of a request under check.
#[derive(Debug)]
pub struct Field<'a> {
    faults: &'a mut Faults,
    pointer: &'a str,
}

impl Field<'_> {
    /// Says what is expected here. Always none, so that it can end a check.
    pub fn refuse<T>(self, expected: impl Into<String>) -> Option<T> {
        self.faults.add(self.pointer, expected.into());
        None
    }

    /// Takes what a check gave, or says its error, which must not quote the value.
    pub fn take<T, E: Display>(self, checked: Result<T, E>) -> Option<T> {
        checked.map_err(|error| self.refuse::<T>(error.to_string())).ok()
    }

    /// Takes a text that is parsed, such as a `Sku`; absent or null is a fault.
    pub fn parse<T: FromStr<Err: Display>>(self, value: &Value) -> Option<T> {
        match value {
            Value::String(text) => match text.parse() {
                Ok(parsed) => Some(parsed),
                Err(error) => self.refuse(unless_it_quotes(error.to_string(), text)),
            },
            Value::Null => self.refuse("a text is expected here, and nothing is given"),
            _ => self.refuse("a text is expected here"),
        }
    }

    /// Like [`Field::parse`], but absent or null is `Some(None)`.
    pub fn parse_if_given<T: FromStr<Err: Display>>(self, value: &Value) -> Option<Option<T>> {
        if value.is_null() { Some(None) } else { self.parse(value).map(Some) }
    }

    /// Takes an integer in a range. 1.0, 1e3, "1" and what is greater than 2^63 are none.
    pub fn integer(self, value: &Value, range: RangeInclusive<i64>) -> Option<i64> {
        match value.as_i64() {
            Some(integer) if range.contains(&integer) => Some(integer),
            _ => self.refuse(format!("an integer from {} to {} is expected here", range.start(), range.end())),
        }
    }

    /// Like [`Field::integer`], but absent or null is `Some(None)`.
    pub fn integer_if_given(self, value: &Value, range: RangeInclusive<i64>) -> Option<Option<i64>> {
        if value.is_null() { Some(None) } else { self.integer(value, range).map(Some) }
    }

    /// Takes a text of so many characters, without control characters; absent or null is a fault.
    pub fn text(self, value: &Value, length: RangeInclusive<usize>) -> Option<String> {
        match value.as_str() {
            Some(text) if length.contains(&text.chars().count()) && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            _ => self.refuse(format!(
                "a text of {} to {} characters, none of them a control character, is expected here",
                length.start(),
                length.end()
            )),
        }
    }

    /// Like [`Field::text`], but absent or null is `Some(None)`.
    pub fn text_if_given(self, value: &Value, length: RangeInclusive<usize>) -> Option<Option<String>> {
        if value.is_null() { Some(None) } else { self.text(value, length).map(Some) }
    }
}

/// A message about a value, unless the message quotes the value.
pub(crate) fn unless_it_quotes(message: String, value: &str) -> String {
    let quotes = !value.is_empty() && message.contains(value);
    if quotes || contains_card_number(&message) { NOT_AS_EXPECTED.to_owned() } else { message }
}

#[cfg(test)]
mod tests {
    use super::Faults;
    use crate::Problem;
    use ids::Sku;
    use serde_json::{Value, json};

    /// A check as services write it: lines of a SKU and a quantity.
    fn check(lines: &[Value]) -> Result<Vec<(Sku, i64)>, Problem> {
        let mut faults = Faults::default();
        let lines = faults.each("/lines", lines, 1..=1_000, |faults, line| {
            let sku = faults.at("/sku").parse(&line["sku"]);
            let quantity = faults.at("/quantity").integer(&line["quantity"], 1..=1_000_000);
            Some((sku?, quantity?))
        });
        faults.finish(|| lines)
    }

    fn pointers(problem: &Problem) -> Vec<&str> {
        problem.errors().iter().map(|error| error.pointer.as_str()).collect()
    }

    #[test]
    fn all_faults_are_said_at_once_each_with_its_place() {
        let lines = [json!({"sku": "a", "quantity": 1}), json!({"sku": 5}), json!({"sku": "", "quantity": 2})];
        let problem = check(&lines).unwrap_err();
        assert_eq!(problem.status(), 422);
        assert_eq!(pointers(&problem), ["/lines/1/sku", "/lines/1/quantity", "/lines/2/sku"]);
        assert_eq!(problem.errors()[2].detail, "a SKU has 1 to 64 characters and no control characters");
    }

    #[test]
    fn what_is_in_order_comes_through() {
        let checked = check(&[json!({"sku": "a b/é", "quantity": 1_000_000})]).unwrap();
        assert_eq!((checked[0].0.as_str(), checked[0].1), ("a b/é", 1_000_000));
    }

    #[test]
    fn a_quantity_is_an_integer_in_its_range_and_nothing_else() {
        for wrong in [
            "1.5",
            "-1",
            "0",
            "9223372036854775808",
            "18446744073709551616",
            "1e3",
            "1.0",
            "-0",
            "\"1\"",
            "null",
            "[1]",
        ] {
            let value: Value = serde_json::from_str(wrong).unwrap();
            let problem = check(&[json!({"sku": "a", "quantity": value})]).unwrap_err();
            assert_eq!(problem.errors()[0].detail, "an integer from 1 to 1000000 is expected here", "{wrong}");
        }
    }

    #[test]
    fn a_list_has_as_many_items_as_it_may() {
        assert_eq!(pointers(&check(&[]).unwrap_err()), ["/lines"]);
        assert_eq!(pointers(&check(&vec![Value::Null; 1_001]).unwrap_err()), ["/lines"]);
    }

    #[test]
    fn so_many_faults_are_listed_and_the_rest_counted() {
        let problem = check(&vec![json!({"sku": "a"}); 60]).unwrap_err();
        assert_eq!(problem.errors().len(), 50);
        let said: Value = serde_json::from_slice(&problem.document(None)).unwrap();
        assert_eq!(said["unlisted_errors"], 10);
        assert_eq!(said["detail"], "The first 50 faults are listed; there are 10 more.");
    }

    #[test]
    fn a_message_that_quotes_the_value_is_not_passed_on() {
        let mut faults = Faults::default();
        let taken: Option<i32> = faults.at("/a").take(Err::<i32, _>("what is 4242 4242 4242 4242?"));
        let parsed = faults.at("/b").parse::<Quoting>(&json!("secret"));
        assert!(taken.is_none() && parsed.is_none());
        let problem = faults.finish(|| Some(())).unwrap_err();
        assert!(
            problem.errors().iter().all(|error| !error.detail.contains("4242") && !error.detail.contains("secret"))
        );
    }

    #[derive(Debug)]
    struct Quoting;

    impl std::str::FromStr for Quoting {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            Err(format!("cannot read {text:?}"))
        }
    }
}
