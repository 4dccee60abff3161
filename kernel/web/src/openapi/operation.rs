//! One operation: what it does, takes and answers, with examples that are played against it.

use serde_json::{Value, json};

use crate::access::Access;
use crate::guard;
use crate::kinds::{
    BODY_TOO_LARGE, CROSS_SITE, DIFFERENT_CONTENT, FORBIDDEN, INTERNAL, INVALID_REQUEST, OUTCOME_UNKNOWN, OVERLOADED,
    PRECONDITION_FAILED, REQUEST_TIMEOUT, TOO_MANY_REQUESTS, UNAUTHORIZED, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE,
};
use crate::openapi::schema;
use crate::page::Page;
use crate::problem::ProblemKind;

/// The type of a document of JSON.
pub(crate) const JSON: &str = "application/json";
/// The type of what a page's form sends.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// What is said of one method of one path. It stands beside the handler that it describes, is put
/// together as a sentence, and becomes a part of [`Routes`](super::Routes) with it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its permanent name, such as `place_order`: clients that are made from the document call it so.
    pub id: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What one has to know to use it.
    pub text: &'static str,
    /// The heading under which it is shown.
    pub about: &'static str,
    /// The method.
    pub method: &'static str,
    /// The template of the path.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it takes beside the body.
    pub parameters: Vec<Parameter>,
    /// The media types that the body may have, and the schema of each; none where it takes no body.
    pub bodies: Vec<(&'static str, Value)>,
    /// Whether it may also come without one.
    pub is_bodiless_too: bool,
    /// What it answers where it does not say no.
    pub answers: Vec<Answer>,
    /// Examples, each a request with its answer.
    pub examples: Vec<Example>,
    refuses: Vec<&'static ProblemKind>,
    is_conditional: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path; always needed.
    Path,
    /// After the question mark.
    Query,
    /// In the head of the request.
    Header,
}

impl Place {
    /// The word for it in a document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// Something that an operation takes beside the body.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub text: &'static str,
    /// Its schema.
    pub schema: Value,
    /// Whether the request is refused without it.
    pub is_required: bool,
}

/// An answer that is no problem.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub text: &'static str,
    /// The media type and the schema of its body; none where it has no body.
    pub body: Option<(&'static str, Value)>,
}

/// A request and its answer, as they are.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its name among the examples of its operation.
    pub name: &'static str,
    /// The parameters that it gives, by name.
    pub parameters: Vec<(&'static str, Value)>,
    /// The body that it sends.
    pub body: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer, where it is JSON.
    pub answer: Option<Value>,
}

impl Example {
    /// An example without parameters and bodies, which is answered with 200.
    pub fn of(name: &'static str) -> Self {
        Self { name, parameters: Vec::new(), body: None, status: 200, answer: None }
    }

    /// Gives a parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    /// Sends a body.
    #[must_use]
    pub fn sends(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Is answered with this status and body.
    #[must_use]
    pub fn gets(self, status: u16, answer: Value) -> Self {
        Self { status, answer: Some(answer), ..self }
    }

    /// Is answered with this status, and with no body or one that is not JSON.
    #[must_use]
    pub fn gets_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl Operation {
    /// An operation that takes and answers nothing yet. Its id is never changed once published.
    pub fn new(id: &'static str, summary: &'static str, text: &'static str) -> Self {
        Self {
            id,
            summary,
            text,
            about: "",
            method: "",
            path: "",
            access: Access::Everybody,
            parameters: Vec::new(),
            bodies: Vec::new(),
            is_bodiless_too: false,
            answers: Vec::new(),
            examples: Vec::new(),
            refuses: Vec::new(),
            is_conditional: false,
        }
    }

    /// The same at its place, for those who may call it.
    pub(crate) fn at(self, about: &'static str, method: &'static str, path: &'static str, access: Access) -> Self {
        Self { about, method, path, access, ..self }
    }

    fn takes_parameter(
        mut self,
        place: Place,
        (name, text): (&'static str, &'static str),
        schema: Value,
        is_required: bool,
    ) -> Self {
        self.parameters.push(Parameter { place, name, text, schema, is_required });
        self
    }

    /// Takes a part of the path.
    #[must_use]
    pub fn takes_segment(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.takes_parameter(Place::Path, (name, text), schema, true)
    }

    /// Takes something after the question mark, if it is given.
    #[must_use]
    pub fn takes_query(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.takes_parameter(Place::Query, (name, text), schema, false)
    }

    /// Takes something after the question mark, and refuses the request without it.
    #[must_use]
    pub fn needs_query(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.takes_parameter(Place::Query, (name, text), schema, true)
    }

    /// Takes a header, if it is given.
    #[must_use]
    pub fn takes_header(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.takes_parameter(Place::Header, (name, text), schema, false)
    }

    /// Takes [`Page`]: `limit` and `after`.
    #[must_use]
    pub fn takes_page(self) -> Self {
        self.takes_page_after("The `next` of the page before; none for the first.")
    }

    /// Takes [`Page`], and says of `after` what is otherwise than elsewhere.
    #[must_use]
    pub fn takes_page_after(self, text: &'static str) -> Self {
        self.takes_query("limit", "Items at most; 50 unless it is said.", schema::integer(1..=Page::LARGEST.into()))
            .takes_query("after", text, schema::cursor())
    }

    /// Takes [`Wait`](crate::Wait): `Prefer: wait=10`.
    #[must_use]
    pub fn takes_wait(self) -> Self {
        self.takes_header(
            "Prefer",
            "`wait=10` holds the answer until the end of the story, but for so many seconds at most (up to 60).",
            schema::any_text(),
        )
    }

    /// Takes [`Conditions`](crate::Conditions): with the `ETag` of an earlier answer, 304 where nothing
    /// has changed since.
    #[must_use]
    pub fn takes_if_none_match(mut self) -> Self {
        self.is_conditional = true;
        self.takes_header("If-None-Match", "The `ETag` of the answer that the caller has.", schema::any_text())
            .answers_nothing(304, "It is still as the caller has it.")
    }

    /// Shows the [`ETag`](crate::ETag) for an edit, and does not compare it: what is read may be another all the same.
    #[must_use]
    pub fn shows_tag(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    /// Takes [`Conditions`](crate::Conditions) of an edit: with the `ETag` of what the caller has seen, 412
    /// where it is something else by now.
    #[must_use]
    pub fn takes_if_match(mut self) -> Self {
        self.is_conditional = true;
        let text = "The `ETag` of what is edited: something else is not overwritten.";
        self.takes_header("If-Match", text, schema::any_text()).refuses([&PRECONDITION_FAILED])
    }

    /// Takes [`IdempotencyKey`](crate::IdempotencyKey), if it is given.
    #[must_use]
    pub fn takes_key(self) -> Self {
        self.takes_header(
            "Idempotency-Key",
            "A key of the caller's: asked again under it, the answer that was stored is given again.",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
        )
        .refuses([&DIFFERENT_CONTENT, &INVALID_REQUEST])
    }

    /// Takes a document of JSON.
    #[must_use]
    pub fn takes(self, body: Value) -> Self {
        self.takes_as(JSON, body)
    }

    /// Takes a document of JSON that may be left out.
    #[must_use]
    pub fn takes_if_given(mut self, body: Value) -> Self {
        self.is_bodiless_too = true;
        self.takes(body)
    }

    /// Takes [`Form`](crate::Form): what a page's form sends.
    #[must_use]
    pub fn takes_form(self, form: Value) -> Self {
        self.takes_as(FORM, form).refuses([&CROSS_SITE])
    }

    /// Takes a body of another type.
    #[must_use]
    pub fn takes_as(mut self, media: &'static str, body: Value) -> Self {
        self.bodies.push((media, body));
        self
    }

    /// Answers with a document of JSON.
    #[must_use]
    pub fn answers(self, status: u16, text: &'static str, schema: Value) -> Self {
        self.answers_as(JSON, status, text, schema)
    }

    /// Answers with a body of another type.
    #[must_use]
    pub fn answers_as(mut self, media: &'static str, status: u16, text: &'static str, schema: Value) -> Self {
        self.answers.push(Answer { status, text, body: Some((media, schema)) });
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, text: &'static str) -> Self {
        self.answers.push(Answer { status, text, body: None });
        self
    }

    /// Says no in these ways, beside those that follow from what it takes.
    #[must_use]
    pub fn refuses(mut self, kinds: impl IntoIterator<Item = &'static ProblemKind>) -> Self {
        self.refuses.extend(kinds);
        self
    }

    /// Shows how it is used; a test plays it against the running program.
    #[must_use]
    pub fn example(mut self, example: Example) -> Self {
        self.examples.push(example);
        self
    }

    /// Whether its answer has an `ETag`.
    pub(crate) fn is_conditional(&self) -> bool {
        self.is_conditional
    }

    /// Whether it has no parameters, and refuses each; what everybody may ask looks at none.
    pub(crate) fn takes_no_query(&self) -> bool {
        let is_query = |parameter: &Parameter| parameter.place == Place::Query;
        self.access != Access::Everybody && !self.parameters.iter().any(is_query)
    }

    /// Whether it changes something without a body, and refuses one that says anything.
    pub(crate) fn takes_no_body(&self) -> bool {
        self.access != Access::Everybody && self.method != "GET" && self.bodies.is_empty()
    }

    /// Every way in which it says no, with the status of each: those of its own, and those that
    /// follow from its method and from what it takes.
    pub fn problems(&self) -> Vec<(u16, &'static ProblemKind)> {
        let mut problems: Vec<_> = self.refuses.iter().map(|kind| (kind.status, *kind)).collect();
        let mut also = |kind: &'static ProblemKind| problems.push((kind.status, kind));
        also(&INTERNAL);
        also(&UNAVAILABLE);
        if !guard::ALWAYS.contains(&self.path) {
            also(&OVERLOADED);
            also(&TOO_MANY_REQUESTS);
        }
        if self.access != Access::Everybody {
            also(&UNAUTHORIZED);
            also(&FORBIDDEN);
            if self.method != "GET" {
                also(&CROSS_SITE);
            }
        }
        if self.method != "GET" {
            also(&OUTCOME_UNKNOWN);
        }
        if self.takes_no_body() || self.bodies.iter().any(|(media, _)| [JSON, FORM].contains(media)) {
            also(&BODY_TOO_LARGE);
            also(&REQUEST_TIMEOUT);
        }
        if !self.bodies.is_empty() {
            also(&UNSUPPORTED_MEDIA_TYPE);
        }
        let says_so = self.refuses.contains(&&INVALID_REQUEST);
        if says_so
            || self.takes_no_query()
            || self.takes_no_body()
            || !self.bodies.is_empty()
            || self.parameters.iter().any(|parameter| parameter.place != Place::Header)
        {
            also(&INVALID_REQUEST);
            // What cannot even be read, as against what breaks a rule.
            problems.push((400, &INVALID_REQUEST));
        }
        if self.parameters.iter().any(|parameter| parameter.place == Place::Query) {
            // A query that makes the head of the request too large.
            problems.push((431, &INVALID_REQUEST));
        }
        problems.sort_by_key(|(status, kind)| (*status, kind.code));
        problems.dedup();
        problems
    }
}
