//! Pages for people: whole documents of HTML, which need nothing from elsewhere and suit the light and
//! the dark.

use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, PreEscaped, html};
use web::{Caller, Problem};

/// The policy under which a browser shows a page that has no style of its own and runs nothing.
static POLICY: LazyLock<String> = LazyLock::new(|| web::policy(&[STYLE], &[]));

/// An answer with a page under its title. It is the one in the menu whose path is `here`.
pub(crate) fn page(title: &str, here: &str, body: &Markup) -> Response {
    let body = html! {
        h1 { (title) }
        (body)
    };
    answer(&whole(title, here, "", &body), &POLICY)
}

/// An answer with a page, and with what keeps a browser from doing more with it than to show it.
pub(crate) fn answer(page: &Markup, policy: &str) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A form says with it that it comes from a page of ours.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (headers, Html(page.0.clone())).into_response()
}

/// A refusal as a page for people, where a browser asked; a failure stays the document that it is.
pub(crate) fn for_people(headers: &HeaderMap, caller: &Caller, problem: Problem) -> Response {
    if problem.status() >= 500 || !web::is_browser(headers) {
        return problem.into_response();
    }
    let kind = problem.kind();
    let body = html! {
        p { (coded(problem.told())) }
        @if !problem.errors().is_empty() {
            ul { @for error in problem.errors() { li { code { (error.pointer) } " " (error.detail) } } }
        }
        p { small {
            a href=(web::path(["problems", kind.code])) { code { (kind.code) } }
            " · HTTP status " (problem.status()) " · trace " code { (caller.trace_id()) }
        } }
        p { a href="/" { "To the status page" } }
    };
    let page = page(kind.title, "", &body);
    problem.shown_as(page)
}

/// A whole page that heads itself, with rules of style of its own beside those that every page has.
pub(crate) fn whole(title: &str, here: &str, more: &str, body: &Markup) -> Markup {
    html! {
        (PreEscaped("<!doctype html>"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Banyan" }
                link rel="icon" href=(ICON);
                style { (PreEscaped(style(more))) }
            }
            body {
                a.skip href="#content" { "To the content" }
                header { div {
                    a.brand href="/" { (leaf()) "Banyan" }
                    nav aria-label="Pages" { ul {
                        @for (path, name) in MENU {
                            li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                        }
                    } }
                } }
                main #content tabindex="-1" { (body) }
            }
        }
    }
}

/// The style of a page with rules of its own, as it stands in it.
pub(crate) fn style(more: &str) -> String {
    [STYLE, more].concat()
}

/// The rules of style that every page has.
const STYLE: &str = include_str!("page.css");

/// The pages that lead to all others.
const MENU: [(&str, &str); 3] = [("/", "Status"), ("/docs", "API"), ("/problems", "Problems")];

/// The outline of a leaf, in a square of 16.
const LEAF: &str = "M13.8 2.2C7 2 2.6 5 2.6 9.4c0 1 .2 1.9.7 2.7C4.8 9.2 7 7.2 9.9 6 7 8 5.1 10.6 4.3 13.7c-.1.5.2.8.6.8s.6-.2.7-.6c.1-.5.3-1 .5-1.5.6.2 1.3.3 2 .3 4.5 0 6.3-4.3 5.7-10.5z";

/// The leaf as the sign of a tab, whose address is the picture itself.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http:%2F%2Fwww.w3.org%2F2000%2Fsvg' viewBox='0 0 16 16'%3E%3Cpath \
                    fill='%232f9e5f' d='M13.8 2.2C7 2 2.6 5 2.6 9.4c0 5 5 6.5 8.5 3.3 2.5-2.3 3.2-6 2.7-10.5z'/%3E%3C/svg%3E";

fn leaf() -> Markup {
    html! { svg viewBox="0 0 16 16" aria-hidden="true" { path d=(LEAF) {} } }
}

/// What stands between backticks, as code.
pub(crate) fn coded(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A text that cannot be taken for a part of the page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backticks, as code, in a text that is escaped.
pub(crate) fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(place, part)| if place % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::{coded, escaped, with_code};

    #[test]
    fn a_text_cannot_break_out_of_its_page() {
        let escaped_text = "see <code>&lt;b&gt;</code> &amp; go";
        assert_eq!(with_code(&escaped("see `<b>` & go")), escaped_text);
        assert_eq!(coded("see `<b>` & go").into_string(), escaped_text);
    }
}
