//! What a browser may do with a page of ours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A `Content-Security-Policy` under which a page shows the styles and runs the scripts that stand in
/// it, each named by its hash, and pictures that stand in it, asks and sends forms to its own program
/// alone, and takes nothing from elsewhere. Source: <https://www.w3.org/TR/CSP3/>.
pub fn policy(styles: &[&str], scripts: &[&str]) -> String {
    let hashes = |texts: &[&str]| match texts {
        [] => "'none'".to_owned(),
        texts => texts.iter().map(|text| hash(text)).collect::<Vec<_>>().join(" "),
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        hashes(styles),
        hashes(scripts)
    )
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn only_what_stands_in_the_page_is_shown_and_run() {
        let policy = policy(&["alert('Hello, world.');"], &[]);
        // The example of the specification, section 8.3.
        assert!(policy.contains("style-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"), "{policy}");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'none'"), "{policy}");
    }
}
