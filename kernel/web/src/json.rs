//! Reading JSON strictly, and saying what is wrong with it without saying what it is.
//!
//! ```text
//! bytes ─▶ look     is it JSON? no key twice, not too deep    no JSON: 400, else 422
//!       ─▶ from     has it the shape of the document?         422 with a pointer
//!           │       (`objects`: an array is no object)
//!           │ no
//!           ▼
//!       what is wrong is taken out, and the rest read again, so that one answer says all that is wrong
//! ```

mod objects;

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_path_to_error::Segment;

use self::objects::Objects;
use crate::card::contains_card_number;
use crate::faults::{Faults, NOT_AS_EXPECTED, unless_it_quotes};
use crate::problem::Problem;

/// Objects and arrays within each other; no document of ours comes near it.
const DEEPEST: usize = 32;
/// Bytes that are read again, at most, to find what else is wrong with a document.
const READ_AGAIN: usize = 1024 * 1024;

/// Reads a document; what is wrong is said with its place and without the value.
///
/// What has not the shape of the document is among the faults, and the document is what is left of it; where that
/// cannot be read either, the faults are said at once.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Faults), Problem> {
    look(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    match T::deserialize(Objects(&mut json)) {
        Ok(document) => Ok((document, Faults::default())),
        Err(_) => read_what_is_left(bytes),
    }
}

/// Reads a document that has not its shape again and again, each time without the part that was found wrong.
fn read_what_is_left<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Faults), Problem> {
    let sent: Value = serde_json::from_slice(bytes).map_err(Problem::internal)?;
    let (mut left, mut faults) = (sent.clone(), Faults::default());
    for _ in 0..=READ_AGAIN / bytes.len().max(1) {
        let error = match serde_path_to_error::deserialize(Objects(&left)) {
            Ok(document) => return Ok((document, faults)),
            Err(error) => error,
        };
        let mut segments: Vec<String> = error.path().iter().map_while(segment).collect();
        let detail = in_our_words(&error.inner().to_string(), &mut segments, &sent);
        faults.of_shape(&pointer(&segments), detail);
        if !take_out(&mut left, &segments) {
            break;
        }
    }
    faults.finish(|| None)
}

/// Takes a part out of a document: a field is left out, and an item is left empty, so that those behind it keep
/// their places. Not where there is nothing to take out.
fn take_out(document: &mut Value, segments: &[String]) -> bool {
    let empty = Value::Object(serde_json::Map::new());
    let Some((last, outer)) = segments.split_last() else {
        return std::mem::replace(document, empty.clone()) != empty;
    };
    match document.pointer_mut(&exact_pointer(outer)) {
        Some(Value::Object(fields)) => fields.remove(last).is_some(),
        Some(Value::Array(items)) => match last.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
            Some(item) => std::mem::replace(item, empty.clone()) != empty,
            None => false,
        },
        _ => false,
    }
}

/// Looks through the whole text: is it JSON, with no key twice and not too deep?
fn look(bytes: &[u8]) -> Result<(), Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::unreadable("The body is not UTF-8."));
    }
    let mut look = Look { path: Vec::new(), fault: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let looked = look.deserialize(&mut json).and_then(|()| json.end());
    match (look.fault, looked) {
        (Some(detail), _) => Err(Problem::fault(pointer(&look.path), detail)),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_eof() => Err(Problem::unreadable("The body is no JSON: it ends too early.")),
        (None, Err(error)) => {
            let (line, column) = (error.line(), error.column());
            Err(Problem::unreadable(format!("The body is no JSON: see line {line}, column {column}.")))
        }
    }
}

/// A walk through a JSON text that keeps nothing but where it is.
struct Look {
    path: Vec<String>,
    fault: Option<&'static str>,
}

impl Look {
    fn fault<E: serde::de::Error>(&mut self, fault: &'static str) -> E {
        self.fault = Some(fault);
        E::custom(fault)
    }

    fn go_in<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.path.len() < DEEPEST { Ok(()) } else { Err(self.fault("nothing is nested as deeply as this")) }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Look {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Look {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.go_in()?;
        let mut index = 0_usize;
        self.path.push(index.to_string());
        while items.next_element_seed(&mut *self)?.is_some() {
            index += 1;
            index.to_string().clone_into(self.path.last_mut().expect("it was pushed above"));
        }
        self.path.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.go_in()?;
        let mut seen = BTreeSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            self.path.push(key.clone());
            if !seen.insert(key) {
                fields.next_value::<IgnoredAny>()?;
                return Err(self.fault("this field is given twice"));
            }
            fields.next_value_seed(&mut *self)?;
            self.path.pop();
        }
        Ok(())
    }
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// The JSON Pointer (RFC 6901) to a place; it ends before a key that may be a secret.
fn pointer(segments: &[String]) -> String {
    let mut pointer = String::new();
    for key in segments.iter().take_while(|key| key.chars().count() <= 64) {
        let outer = pointer.len();
        push(&mut pointer, key);
        if contains_card_number(key) || contains_card_number(&pointer) {
            pointer.truncate(outer);
            break;
        }
    }
    pointer
}

/// Says serde's message anew, for a caller who knows JSON and not Rust, and without the value that
/// serde would quote. What serde writes after the last `expected` comes from our types.
fn in_our_words(message: &str, segments: &mut Vec<String>, sent: &Value) -> String {
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if let Some(field) = quoted(message, "missing field `") {
        segments.push(field.to_owned());
        return "this field is missing".to_owned();
    }
    if message.starts_with("unknown field `") {
        return match expected {
            Some(fields) => format!("there is no such field here; expected {fields}"),
            None => "there is no such field here".to_owned(),
        };
    }
    if ["invalid ", "unknown variant `"].iter().any(|start| message.starts_with(start)) {
        return expected.map_or_else(|| NOT_AS_EXPECTED.to_owned(), |words| format!("expected {}", in_json(words)));
    }
    // A message of a type of our own: let through, unless it says something of what was sent.
    let at = sent.pointer(&exact_pointer(segments)).unwrap_or(sent);
    quoting_nothing(message.to_owned(), at)
}

/// Appends one step to a JSON Pointer (RFC 6901, 3).
fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

fn exact_pointer(segments: &[String]) -> String {
    let mut pointer = String::new();
    for key in segments {
        push(&mut pointer, key);
    }
    pointer
}

fn quoting_nothing(message: String, sent: &Value) -> String {
    match sent {
        Value::Array(items) => items.iter().fold(message, quoting_nothing),
        Value::Object(fields) => {
            fields.iter().fold(message, |message, (key, value)| quoting_nothing(unless_it_quotes(message, key), value))
        }
        Value::String(text) => unless_it_quotes(message, text),
        Value::Null => message,
        scalar => unless_it_quotes(message, &scalar.to_string()),
    }
}

fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.strip_suffix('`')
}

/// What serde calls a type, as JSON calls it.
fn in_json(words: &str) -> &str {
    match words {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "an integer in range",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "a character" => "a text",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        words if words.starts_with("a sequence") || words.starts_with("tuple") => "an array",
        words if words.starts_with("struct ") || words.starts_with("internally tagged enum ") => "an object",
        words => words,
    }
}

#[cfg(test)]
mod tests {
    use super::{NOT_AS_EXPECTED, read};
    use std::collections::BTreeMap;

    use crate::Problem;
    use ids::Sku;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the shape is under test")]
    struct Order {
        lines: Vec<Line>,
        #[serde(default)]
        note: Value,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the shape is under test")]
    struct Line {
        sku: Sku,
        quantity: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Gift,
        Sample,
    }

    /// Reads a document in which nothing else is looked at than its shape.
    fn shape<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
        let (document, faults) = read(text)?;
        faults.finish(|| Some(document))
    }

    fn refused(text: &str) -> Problem {
        shape::<Order>(text.as_bytes()).expect_err(text)
    }

    fn fault(text: &str) -> (String, String) {
        let problem = refused(text);
        assert_eq!((problem.status(), problem.errors().len()), (422, 1), "{text}");
        (problem.errors()[0].pointer.clone(), problem.errors()[0].detail.clone())
    }

    #[test]
    fn what_is_no_json_is_unreadable_and_the_place_is_said() {
        for text in ["", "{", "nonsense", r#"{"lines":[]} x"#, r#"{"lines":[],}"#, "{'lines':[]}", "\u{feff}{}"] {
            assert_eq!(refused(text).status(), 400, "{text}");
        }
        assert_eq!(shape::<Order>(b"{\"note\":\"\xff\"}").unwrap_err().status(), 400);
    }

    #[test]
    fn a_wrong_shape_is_said_with_its_place() {
        let line =
            |quantity: &str| format!(r#"{{"lines":[{{"sku":"a","quantity":1}},{{"sku":"a","quantity":{quantity}}}]}}"#);
        assert_eq!(fault(&line("\"x\"")), ("/lines/1/quantity".into(), "expected an integer in range".into()));
        assert_eq!(fault(&line("-1")), ("/lines/1/quantity".into(), "expected an integer in range".into()));
        assert_eq!(fault(r#"{"lines":{}}"#), ("/lines".into(), "expected an array".into()));
        assert_eq!(fault(r#"{"lines":[7]}"#), ("/lines/0".into(), "expected an object".into()));
        assert_eq!(fault(r#"{"lines":[{"sku":"a"}]}"#), ("/lines/0/quantity".into(), "this field is missing".into()));
        assert_eq!(fault(r#"{"lines":[],"kind":"x"}"#).0, "/kind");
        for text in ["[]", "[[]]", " 7", "null", "\"{}\""] {
            assert_eq!(fault(text), (String::new(), "expected an object".into()));
        }
    }

    #[test]
    fn a_typing_error_in_a_field_is_said() {
        let problem = refused(r#"{"lines":[{"sku":"a","quantty":1}]}"#);
        let said = problem.errors().iter().map(|error| (error.pointer.as_str(), error.detail.as_str()));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                ("/lines/0/quantty", "there is no such field here; expected `sku` or `quantity`"),
                ("/lines/0/quantity", "this field is missing"),
            ]
        );
    }

    #[test]
    fn all_that_has_not_its_shape_is_said_at_once() {
        let problem = refused(
            r#"{"x":1,"lines":[{"sku":"a","quantity":-1},{"sku":"","quantity":1},7,{"sku":"b","quantity":1,"y":2}],"kind":"x"}"#,
        );
        let said: Vec<_> = problem.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(said, ["/kind", "/lines/0/quantity"], "what is needed and wrong cannot be left out");
        let problem =
            refused(r#"{"x":1,"lines":[{"sku":"a","quantity":1,"y":2},{"z":0,"sku":"b","quantity":1}],"kind":"x"}"#);
        let said: Vec<_> = problem.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(said, ["/kind", "/lines/0/y", "/lines/1/z", "/x"]);
    }

    #[test]
    fn what_is_left_is_checked_as_well() {
        let (line, mut faults) = read::<Lenient>(br#"{"a":{"b":1},"c":[{"d":1},7],"e":2}"#).expect("it can be read");
        assert!(line.a.is_none() && line.c.len() == 2);
        // Of a part that is wrong as a whole nothing more is said.
        faults.at("/a").refuse::<()>("something is expected here");
        faults.within("/c/1", |faults| faults.at("/d").refuse::<()>("something is expected here"));
        faults.at("/f").refuse::<()>("something is expected here");
        let problem = faults.finish(|| Some(())).unwrap_err();
        let said: Vec<_> = problem.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(said, ["/a", "/c/1", "/e", "/f"]);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lenient {
        a: Option<String>,
        #[serde(default)]
        c: Vec<Item>,
        #[serde(default, rename = "f")]
        _f: Value,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[serde(default, rename = "d")]
        _d: Value,
    }

    #[test]
    fn the_message_of_a_checked_type_is_passed_on() {
        let said = fault(r#"{"lines":[{"sku":"","quantity":1}]}"#);
        assert_eq!(said, ("/lines/0/sku".into(), "a SKU has 1 to 64 characters and no control characters".into()));
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Quoting;

    impl TryFrom<String> for Quoting {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("cannot read {text:?}"))
        }
    }

    #[test]
    fn a_message_that_quotes_what_was_sent_is_not_passed_on() {
        let problem = shape::<BTreeMap<String, (Quoting, u8)>>(br#"{"a":["a secret",1]}"#).unwrap_err();
        assert_eq!(
            (problem.errors()[0].pointer.as_str(), problem.errors()[0].detail.as_str()),
            ("/a/0", NOT_AS_EXPECTED)
        );
    }

    #[test]
    fn a_key_is_not_given_twice_anywhere() {
        assert_eq!(fault(r#"{"lines":[],"note":{"a/b":[0,{"x":1,"x":2}]}}"#).0, "/note/a~1b/1/x");
        assert_eq!(fault(r#"{"lines":[],"lines":[]}"#).0, "/lines");
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| format!(r#"{{"lines":[],"note":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(shape::<Order>(nested(31).as_bytes()).is_ok());
        assert_eq!(refused(&nested(32)).status(), 422);
        assert_eq!(refused(&nested(100_000)).status(), 422);
    }

    #[test]
    fn a_card_number_is_never_said_back_wherever_it_stands() {
        let cards = [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "x4242424242424242\\\"y",
            "a, expected 4242424242424242",
        ];
        let good = json!({"lines": [{"sku": "a", "quantity": 1}], "note": {"b": [true]}, "kind": "gift"}).to_string();
        let mut tried = 0;
        // Put it in place of each token, after each token, and as a key before each token.
        let cuts: Vec<usize> = (0..=good.len()).filter(|at| good.is_char_boundary(*at)).collect();
        for (card, start) in cards.iter().flat_map(|card| cuts.iter().map(move |start| (card, *start))) {
            for put in
                [format!("\"{card}\""), (*card).to_owned(), format!("\"{card}\":1,"), format!("{{\"{card}\":1}}")]
            {
                for end in [start, start + 1, start + 3, start + 6, good.len()] {
                    let text = format!("{}{put}{}", &good[..start], &good[end.clamp(start, good.len())..]);
                    if let Err(problem) = shape::<Order>(text.as_bytes()) {
                        let said = String::from_utf8(problem.document(None)).unwrap();
                        assert!(!said.contains("4242"), "{text}\n{said}");
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 1_000, "{tried}");
    }
}
