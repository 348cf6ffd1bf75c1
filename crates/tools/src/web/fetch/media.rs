//! What kind of thing a server sends.

/// What can be done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page, which becomes Markdown.
    Html,
    /// Text that is read as it is.
    Text,
    /// Nothing that can be read as text.
    Binary,
}

/// A `Content-Type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// `type/subtype` in small letters; empty when there is none.
    pub(super) essence: String,
    /// The `charset` parameter.
    pub(super) charset: Option<String>,
}

/// Longer types are cut before they are shown.
const LONGEST: usize = 100;

impl Media {
    /// Reads the header; what is not visible ASCII in it is left out.
    pub(super) fn of(header: Option<&[u8]>) -> Self {
        let header = String::from_utf8_lossy(header.unwrap_or_default());
        let mut parts = header.split(';');
        let is_visible = |c: &char| c.is_ascii_graphic() && *c != '`';
        let essence = parts.next().unwrap_or_default().chars();
        let essence: String = essence.filter(is_visible).take(LONGEST).collect();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| value.to_owned())
        });
        Self {
            essence: essence.to_ascii_lowercase(),
            charset,
        }
    }

    /// Which kind it is; `None` when the server did not say, so that the body must be looked at.
    pub(super) fn kind(&self) -> Option<Kind> {
        let (kind, subtype) = self.essence.split_once('/')?;
        Some(match (kind, subtype) {
            ("text", "html") | ("application", "xhtml+xml") => Kind::Html,
            ("text", _) => Kind::Text,
            (_, subtype) if subtype.ends_with("+json") || subtype.ends_with("+xml") => Kind::Text,
            (_, subtype) if subtype.ends_with("+yaml") => Kind::Text,
            ("application", subtype) if TEXTUAL.contains(&subtype) => Kind::Text,
            _ => Kind::Binary,
        })
    }
}

/// `application/…` that is text.
const TEXTUAL: [&str; 17] = [
    "ecmascript",
    "graphql",
    "javascript",
    "json",
    "json5",
    "jsonl",
    "ndjson",
    "sql",
    "toml",
    "x-javascript",
    "x-json",
    "x-ndjson",
    "x-sh",
    "x-yaml",
    "xml",
    "xml-dtd",
    "yaml",
];

/// What a body looks like whose kind was not told.
pub(super) fn sniffed(body: &[u8]) -> Kind {
    let head = &body[..body.len().min(1024)];
    if is_binary(head) {
        return Kind::Binary;
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head = head.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if head.starts_with("<!doctype html") || head.starts_with("<html") {
        Kind::Html
    } else {
        Kind::Text
    }
}

/// Whether these first bytes cannot be text: they begin like a PDF or an archive, or hold a zero
/// byte. UTF-16 has zero bytes, and begins with a mark that says so.
pub(super) fn is_binary(head: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 6] = [
        b"%PDF-",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
    ];
    let head = &head[..head.len().min(1024)];
    let is_utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    BEGINNINGS.iter().any(|begins| head.starts_with(begins)) || (!is_utf16 && head.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (header, kind) in [
            ("text/html; charset=utf-8", Some(Kind::Html)),
            ("Application/XHTML+XML", Some(Kind::Html)),
            ("text/plain", Some(Kind::Text)),
            ("text/markdown;variant=x", Some(Kind::Text)),
            ("application/json", Some(Kind::Text)),
            ("application/problem+json", Some(Kind::Text)),
            ("application/rss+xml", Some(Kind::Text)),
            ("image/svg+xml", Some(Kind::Text)),
            ("application/pdf", Some(Kind::Binary)),
            ("application/octet-stream", Some(Kind::Binary)),
            ("image/png", Some(Kind::Binary)),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(Media::of(Some(header.as_bytes())).kind(), kind, "{header}");
        }
        assert_eq!(Media::of(None).kind(), None);
    }

    #[test]
    fn a_header_is_hostile() {
        let media = Media::of(Some(
            b"text/pl`a\x1b[31min\xff; x; CharSet = \"latin1\"; charset=b",
        ));
        assert_eq!(media.essence, "text/pla[31min");
        assert_eq!(media.charset.as_deref(), Some("latin1"));
        let long = format!("text/{}", "x".repeat(10_000));
        assert_eq!(Media::of(Some(long.as_bytes())).essence.len(), LONGEST);
    }

    #[test]
    fn bodies_that_nobody_described() {
        for (body, kind) in [
            (&b"\xef\xbb\xbf\n <!DOCTYPE HTML><p>"[..], Kind::Html),
            (b"<html lang=en>", Kind::Html),
            (b"{\"a\": 1}", Kind::Text),
            (b"", Kind::Text),
            (b"%PDF-1.7", Kind::Binary),
            (b"a\0b", Kind::Binary),
            (b"\xff\xfea\0", Kind::Text),
        ] {
            assert_eq!(sniffed(body), kind, "{body:?}");
        }
    }
}
