//! Request targets: paths and queries that hold any text.

use std::fmt::Write as _;

/// `path?name=value…` with every value percent-encoded.
pub(crate) fn path_and_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (i, (name, value)) in query.iter().enumerate() {
        let _ = write!(out, "{}{name}={}", if i == 0 { '?' } else { '&' }, segment(value));
    }
    out
}

/// `text` percent-encoded, for use as a path segment or a query value.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        assert_eq!(
            path_and_query("/a", &[("tlp", "amber+strict"), ("to", "a&b")]),
            "/a?tlp=amber%2Bstrict&to=a%26b"
        );
    }
}
