//! Pages for people: whole documents of HTML, which need nothing from elsewhere and suit the light and
//! the dark.

/// A whole page.
pub(crate) fn page(title: &str, body: &str) -> String {
    styled(title, "", body)
}

/// A whole page with rules of style of its own, beside those that every page has.
pub(crate) fn styled(title: &str, more: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}{more}</style>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</html>\n"
    )
}

/// The style that every page has.
pub(crate) const STYLE: &str = ":root{color-scheme:light dark}\
    body{margin:0;font:1.05rem/1.6 system-ui,sans-serif;background:light-dark(#fbfaf7,#16181a);color:light-dark(#22262a,#e4e2dc)}\
    main{max-width:42rem;margin:0 auto;padding:3rem 1.25rem}\
    h1{font-size:1.7rem;line-height:1.25;margin:0 0 1rem}\
    code{font:0.92em ui-monospace,monospace;padding:.1em .35em;border-radius:.3em;background:light-dark(#eceae3,#26292c)}\
    small{opacity:.7}a{color:light-dark(#1a6b3c,#7fcf9f)}dt{margin-top:.9rem}dd{margin:0}";

/// A text that cannot be taken for a part of the page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backticks, as code.
pub(crate) fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(place, part)| if place % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::{escaped, with_code};

    #[test]
    fn a_text_cannot_break_out_of_its_page() {
        assert_eq!(with_code(&escaped("see `<b>` & go")), "see <code>&lt;b&gt;</code> &amp; go");
    }
}
