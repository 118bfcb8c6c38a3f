//! The URL of a request: its values percent-encoded, and a form of it that may be shown.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::builtin::expression::Filled;

/// Everything but what never means anything in a URL (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What stands for a variable while a shown URL is taken apart: no part of its syntax, and never encoded.
const VARIABLE: &str = "***";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: Url,
    /// The URL without user, password, query and variables.
    pub(super) shown: String,
}

impl Address {
    /// Puts the parts of a URL together. A value is percent-encoded as a whole, so that it stays one part of the path, of
    /// the query or of the host; but a URL that begins with a value takes that one as it is. In the form that may be
    /// shown, `mask` stands for variables of the environment.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, without its secrets.
    pub(super) fn of(parts: &[Filled], mask: &str) -> Result<Self, String> {
        let (mut real, mut shown) = (String::new(), String::new());
        for (index, part) in parts.iter().enumerate() {
            match part {
                Filled::Literal(text) => {
                    real.push_str(text);
                    shown.push_str(text);
                }
                Filled::Value { text, .. } if index == 0 => {
                    real.push_str(text);
                    shown.push_str(text);
                }
                Filled::Value { text, of_environment } => {
                    let encoded = utf8_percent_encode(text, ENCODED).to_string();
                    shown.push_str(if *of_environment { VARIABLE } else { &encoded });
                    real.push_str(&encoded);
                }
            }
        }
        let url = Url::parse(&real).map_err(|error| format!("what `url` came to is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(format!(
                "what `url` came to begins with `{scheme}:`, but it must be `http:` or `https:`"
            ));
        }
        if let Some(segment) = dot_segment(&real) {
            return Err(format!("what `url` came to has the path segment `{segment}`"));
        }
        Ok(Self {
            shown: without_secrets(&shown, &url).replace(VARIABLE, mask),
            url,
        })
    }
}

/// Returns a URL with nothing but scheme, host, port and path.
fn without_secrets(shown: &str, real: &Url) -> String {
    // A masked port makes the shown form no URL; then there is only the real one to take apart.
    let mut shown = Url::parse(shown).unwrap_or_else(|_| {
        let mut real = real.clone();
        real.set_path("");
        real
    });
    // Both can only fail for URLs without a host.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

/// Returns a segment of the path that would lead elsewhere: `.` or `..`, however it is written.
pub(super) fn dot_segment(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split(['/', '\\']).find(|segment| {
        matches!(
            segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Filled {
        Filled::Literal(text.to_owned())
    }

    fn value(text: &str) -> Filled {
        Filled::Value {
            text: text.to_owned(),
            of_environment: false,
        }
    }

    fn variable(text: &str) -> Filled {
        Filled::Value {
            text: text.to_owned(),
            of_environment: true,
        }
    }

    #[track_caller]
    fn check(parts: &[Filled], url: &str, shown: &str) {
        let address = Address::of(parts, "[FILTERED]").unwrap();
        assert_eq!((address.url.as_str(), address.shown.as_str()), (url, shown));
    }

    #[track_caller]
    fn refused(parts: &[Filled], message: &str) {
        assert_eq!(Address::of(parts, "[FILTERED]").unwrap_err(), message);
    }

    #[test]
    fn a_value_stays_one_part_of_the_url() {
        check(
            &[
                literal("http://h/a/"),
                value("x/../y?z#ä b"),
                literal("?q="),
                value("1&r=2"),
            ],
            "http://h/a/x%2F..%2Fy%3Fz%23%C3%A4%20b?q=1%26r%3D2",
            "http://h/a/x%2F..%2Fy%3Fz%23%C3%A4%20b",
        );
        check(
            &[literal("http://"), value("h.example"), literal("/")],
            "http://h.example/",
            "http://h.example/",
        );
        refused(
            &[literal("http://"), value("evil.example/#"), literal(".h/")],
            "what `url` came to is no URL: invalid international domain name",
        );
    }

    #[test]
    fn a_url_that_begins_with_a_value_takes_it_as_it_is() {
        check(
            &[
                variable("https://ann:pw@h:8080/base"),
                literal("/orders/"),
                value("7"),
            ],
            "https://ann:pw@h:8080/base/orders/7",
            "https://h:8080/base/orders/7",
        );
        refused(
            &[value("ftp://h/")],
            "what `url` came to begins with `ftp:`, but it must be `http:` or `https:`",
        );
        refused(
            &[value("h/a")],
            "what `url` came to is no URL: relative URL without a base",
        );
    }

    #[test]
    fn a_value_does_not_lead_to_another_path() {
        for dots in ["..", "."] {
            refused(
                &[literal("http://h/users/"), value(dots), literal("/admin")],
                &format!("what `url` came to has the path segment `{dots}`"),
            );
        }
        refused(
            &[literal("http://h/"), value("."), value("."), literal("/admin")],
            "what `url` came to has the path segment `..`",
        );
        assert_eq!(dot_segment("http://h/a/%2E%2e/b"), Some("%2E%2e"));
        assert_eq!(dot_segment("http://h/a/...?x=/../"), None);
    }

    #[test]
    fn a_shown_url_has_no_secrets() {
        check(
            &[
                literal("http://h/hooks/"),
                variable("t0k"),
                literal("/x?key="),
                variable("k"),
            ],
            "http://h/hooks/t0k/x?key=k",
            "http://h/hooks/[FILTERED]/x",
        );
        check(
            &[literal("http://"), variable("inner.example"), literal("/x")],
            "http://inner.example/x",
            "http://[FILTERED]/x",
        );
    }
}
