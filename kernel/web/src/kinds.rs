//! The kinds of problem that every service shares.

use http::StatusCode;

use crate::problem::ProblemKind;

/// A request that cannot be read (400) or breaks a rule (422).
pub static INVALID_REQUEST: ProblemKind = ProblemKind {
    code: "invalid-request",
    status: 422,
    title: "The request is not valid",
    help: "Something in the request is not as it is expected. `errors` lists each fault with its place. \
           Correct them all and send it again; the same request will be refused again.",
};

/// There is no key, or one that is not accepted.
pub static UNAUTHORIZED: ProblemKind = ProblemKind {
    code: "unauthorized",
    status: 401,
    title: "A key is needed",
    help: "Send an API key with the request, as `Authorization: Bearer bk_…`. `banyan keys create` makes one; its text \
           is shown once, when it is made.",
};

/// The key is accepted, but may not do this.
pub static FORBIDDEN: ProblemKind = ProblemKind {
    code: "forbidden",
    status: 403,
    title: "The key may not do this",
    help: "The key has not the scope that is needed here, which `scope` names. Use another key, or have one made with \
           this scope.",
};

/// A browser asks because a page of somebody else's made it to, or may have.
pub static CROSS_SITE: ProblemKind = ProblemKind {
    code: "cross-site",
    status: 403,
    title: "This does not come from a page of this program",
    help: "A browser sent this from a page of another site, or under a name that may be anybody's, and nothing was done. \
           Open the page by the address of this program, such as `http://127.0.0.1:8080/`, and do it there; a program \
           uses the requests under `/v1`, with a key.",
};

/// More was asked than the key or the address may ask.
pub static TOO_MANY_REQUESTS: ProblemKind = ProblemKind {
    code: "too-many-requests",
    status: 429,
    title: "Too many requests",
    help: "More was asked than this key, or this address without one, may ask at a time, and nothing was done. Ask \
           again after the seconds that `Retry-After` says; `RateLimit` tells with each answer what is left.",
};

/// Nothing stands under this path.
pub static NOT_FOUND: ProblemKind = ProblemKind {
    code: "not-found",
    status: 404,
    title: "Not found",
    help: "Nothing stands under this path. Check its spelling; `/openapi.json` lists all paths.",
};

/// The path exists, but not for this method.
pub static METHOD_NOT_ALLOWED: ProblemKind = ProblemKind {
    code: "method-not-allowed",
    status: 405,
    title: "This method is not allowed here",
    help: "The path exists, but not for this method. The header `Allow` lists the methods that it answers.",
};

/// A condition such as `If-Match` does not hold.
pub static PRECONDITION_FAILED: ProblemKind = ProblemKind {
    code: "precondition-failed",
    status: 412,
    title: "It is not as the request wants to find it",
    help: "The thing is no longer as `If-Match` says, or `If-None-Match` rules it out as it is. Read it again, decide \
           again, and send the change with its new `ETag`.",
};

/// The body is no JSON, or says that it is not.
pub static UNSUPPORTED_MEDIA_TYPE: ProblemKind = ProblemKind {
    code: "unsupported-media-type",
    status: 415,
    title: "The body is of another type than expected",
    help: "Send the body as `Content-Type: application/json` in UTF-8, without a content encoding.",
};

/// The body is greater than is taken here.
pub static BODY_TOO_LARGE: ProblemKind = ProblemKind {
    code: "body-too-large",
    status: 413,
    title: "The body is too large",
    help: "The body is greater than is taken here. Send less at once, in several requests.",
};

/// The body did not come within its time.
pub static REQUEST_TIMEOUT: ProblemKind = ProblemKind {
    code: "request-timeout",
    status: 408,
    title: "The request came too slowly",
    help: "The request was not complete within its time, and nothing was done. Send it again.",
};

/// The name or key was used before, for something else.
pub static DIFFERENT_CONTENT: ProblemKind = ProblemKind {
    code: "different-content",
    status: 422,
    title: "This name stands for something else",
    help: "Under this name or idempotency key another request was made before, and nothing was done now. \
           Choose a new name, or repeat exactly what was sent the first time.",
};

/// More is asked than can be answered at present.
pub static OVERLOADED: ProblemKind = ProblemKind {
    code: "overloaded",
    status: 503,
    title: "Too much is asked at once",
    help: "More is asked than can be answered at present, and nothing was done. Ask again after the seconds \
           that `Retry-After` says.",
};

/// It may have been done or not.
pub static OUTCOME_UNKNOWN: ProblemKind = ProblemKind {
    code: "outcome-unknown",
    status: 503,
    title: "It is not known whether it was done",
    help: "The request may have taken effect or not. Repeat it under the same name or key: that is safe, and \
           tells what became of it.",
};

/// Something that is needed does not answer.
pub static UNAVAILABLE: ProblemKind = ProblemKind {
    code: "unavailable",
    status: 503,
    title: "Not available at present",
    help: "Something that is needed for the answer cannot be reached, and nothing was done. Ask again in a moment.",
};

/// Something failed that should not.
pub static INTERNAL: ProblemKind = ProblemKind {
    code: "internal",
    status: 500,
    title: "Something failed on our side",
    help: "Something failed that should not. Repeat the request under the same name or key; if it fails again, \
           report the `trace_id`, under which the log says what happened.",
};

/// The kinds that every service shares.
static SHARED: [&ProblemKind; 16] = [
    &INVALID_REQUEST,
    &UNAUTHORIZED,
    &FORBIDDEN,
    &CROSS_SITE,
    &TOO_MANY_REQUESTS,
    &NOT_FOUND,
    &METHOD_NOT_ALLOWED,
    &PRECONDITION_FAILED,
    &UNSUPPORTED_MEDIA_TYPE,
    &BODY_TOO_LARGE,
    &REQUEST_TIMEOUT,
    &DIFFERENT_CONTENT,
    &OVERLOADED,
    &OUTCOME_UNKNOWN,
    &UNAVAILABLE,
    &INTERNAL,
];

/// All kinds that a service with these of its own can answer with, ordered by code; for the pages
/// under `/problems`.
///
/// # Panics
/// When two different kinds have one code.
pub fn all_kinds(own: &[&'static ProblemKind]) -> Vec<&'static ProblemKind> {
    let mut kinds: Vec<_> = SHARED.iter().chain(own).copied().collect();
    kinds.sort_by_key(|kind| kind.code);
    kinds.dedup();
    let twice = kinds.windows(2).find(|pair| pair[0].code == pair[1].code);
    assert!(twice.is_none(), "two kinds of problem have the code {:?}", twice.map(|pair| pair[0].code));
    kinds
}

/// The kind that stands for an error status which was given without one.
pub(crate) fn of_status(status: StatusCode) -> &'static ProblemKind {
    match status {
        StatusCode::UNAUTHORIZED => &UNAUTHORIZED,
        StatusCode::FORBIDDEN => &FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS => &TOO_MANY_REQUESTS,
        StatusCode::NOT_FOUND => &NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED => &METHOD_NOT_ALLOWED,
        StatusCode::PRECONDITION_FAILED => &PRECONDITION_FAILED,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => &UNSUPPORTED_MEDIA_TYPE,
        StatusCode::PAYLOAD_TOO_LARGE => &BODY_TOO_LARGE,
        StatusCode::REQUEST_TIMEOUT => &REQUEST_TIMEOUT,
        StatusCode::SERVICE_UNAVAILABLE => &UNAVAILABLE,
        status if status.is_client_error() => &INVALID_REQUEST,
        _ => &INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::{NOT_FOUND, all_kinds};
    use crate::ProblemKind;

    static OWN: ProblemKind = ProblemKind { code: "out-of-stock", status: 409, title: "", help: "" };
    static STOLEN: ProblemKind = ProblemKind { code: "not-found", status: 404, title: "Other", help: "" };

    #[test]
    fn a_service_lists_the_shared_kinds_and_its_own() {
        let kinds = all_kinds(&[&OWN, &NOT_FOUND]);
        assert!(kinds.contains(&&OWN) && kinds.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    #[should_panic(expected = "two kinds of problem have the code")]
    fn a_code_is_not_given_twice() {
        all_kinds(&[&STOLEN]);
    }
}
