//! Lists, page by page: `?limit=50&after=…` → `{"items": […], "next": "…"}`.

use std::fmt;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problem::Problem;
use crate::query::Query;

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Items at most: 1 to [`Page::LARGEST`].
    pub limit: u16,
    /// The `next` of the page before; none for the first.
    pub after: Option<Cursor>,
}

impl Page {
    /// The most items that one page has.
    pub const LARGEST: u16 = 500;

    /// Where the page begins, as the service put it into the cursor; none for the first page.
    pub fn start<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        self.after.as_ref().map(Cursor::open).transpose()
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 50, after: None }
    }
}

/// For lists without other parameters; with some, take [`Query`] and its `page`.
impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut query = Query::read(parts.uri.query().unwrap_or(""))?;
        let page = query.page();
        query.finish(|| page)
    }
}

/// A place in a list; what is in it is the service's own and of no meaning outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// The first byte of every cursor: a later form has another, and today's is then refused as a whole.
const FORM: u8 = 1;

/// Characters of a cursor's text, at most.
const LONGEST: usize = 1_024;

impl Cursor {
    /// A cursor that holds a place, such as the number of the last item.
    ///
    /// # Panics
    /// When the place has no JSON form.
    pub fn new(place: &impl Serialize) -> Self {
        Self(serde_json::to_vec(place).expect("a place in a list has a JSON form"))
    }

    /// The place that it holds; a cursor of another list is refused.
    pub fn open<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let opened = serde_json::from_slice(&self.0);
        opened.map_err(|_| {
            Problem::unreadable("The cursor belongs to another list.")
                .error(crate::FieldError { pointer: "?after".to_owned(), detail: NotACursor.to_string() })
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode([&[FORM], &self.0[..]].concat()))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", String::from_utf8_lossy(&self.0))
    }
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACursor;

impl fmt::Display for NotACursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the `next` of the page before is expected, as it was given")
    }
}

impl std::error::Error for NotACursor {}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if text.len() > LONGEST {
            return Err(NotACursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        match bytes.split_first() {
            Some((&FORM, place)) => Ok(Self(place.to_vec())),
            _ => Err(NotACursor),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A page of a list, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

impl<T> Listed<T> {
    /// The page from items that were read with one more than its limit: the one more is not shown,
    /// but says that there is a next page.
    pub fn of<P: Serialize>(mut items: Vec<T>, page: &Page, place: impl FnOnce(&T) -> P) -> Self {
        let limit = usize::from(page.limit);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| Cursor::new(&place(last)));
        Self { items, next }
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Listed, Page};

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor::new(&(7_u64, "é"));
        let text = cursor.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        let read: Cursor = text.parse().unwrap();
        assert_eq!(read.open::<(u64, String)>().unwrap(), (7, "é".to_owned()));
        assert_eq!(read.open::<u64>().unwrap_err().status(), 400, "a cursor of another list");
        for bad in ["", "!", "AA", "AQ==", &"A".repeat(2_000)] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn there_is_a_next_page_only_if_something_is_on_it() {
        let page = Page { limit: 2, after: None };
        let listed = Listed::of(vec![1, 2, 3], &page, |item| *item);
        assert_eq!((listed.items, listed.next), (vec![1, 2], Some(Cursor::new(&2))));
        assert_eq!(Listed::of(vec![1, 2], &page, |item| *item).next, None);
        assert_eq!(Listed::of(Vec::<i32>::new(), &page, |item| *item).next, None);
    }
}
