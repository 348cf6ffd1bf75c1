//! From bytes to text.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// A body as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// The encoding that was used, by its name in the Encoding Standard.
    pub(super) charset: &'static str,
    /// Some bytes are not valid in it, and stand as U+FFFD.
    pub(super) has_errors: bool,
}

/// Decodes a body: by its byte order mark, by the header's `charset`, by what it declares itself in its
/// first kilobyte, as UTF-8 if it is that, or as windows-1252, in this order. A body that `is_cut` may
/// end within a letter.
pub(super) fn decoded(body: &[u8], header: Option<&str>, is_cut: bool) -> Decoded {
    let told = header.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = told.or_else(|| declared(body)).unwrap_or_else(|| {
        if is_utf8(body, is_cut) {
            UTF_8
        } else {
            WINDOWS_1252
        }
    });
    let (text, encoding, has_errors) = encoding.decode(body);
    let mut text = text.into_owned();
    let mut has_errors = has_errors;
    if is_cut && has_errors && text.ends_with('\u{fffd}') {
        text.pop();
        has_errors = text.contains('\u{fffd}');
    }
    Decoded {
        text,
        charset: encoding.name(),
        has_errors,
    }
}

fn is_utf8(body: &[u8], is_cut: bool) -> bool {
    match std::str::from_utf8(body) {
        Ok(_) => true,
        Err(error) => is_cut && error.error_len().is_none(),
    }
}

/// `<meta charset=…>`, `<meta http-equiv … content="…; charset=…">` or `<?xml … encoding=…?>`.
fn declared(body: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&body[..body.len().min(1024)]).to_ascii_lowercase();
    let from_xml = head
        .trim_start()
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split("?>").next())
        .and_then(|declaration| label_after(declaration, "encoding"));
    let from_meta = || {
        let mut metas = head.split("<meta").skip(1);
        metas.find_map(|meta| label_after(meta.split('>').next()?, "charset"))
    };
    let encoding = Encoding::for_label(from_xml.or_else(from_meta)?.as_bytes())?;
    // Who could read this much of it as ASCII does not read UTF-16.
    Some(encoding.output_encoding())
}

/// `charset = "utf-8"` → `utf-8`.
fn label_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let rest = rest.trim_start_matches(['"', '\'']);
    let ends = |c: char| c.is_whitespace() || "\"';/?>".contains(c);
    rest.split(ends).next().filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_who_is_believed() {
        let latin = b"caf\xe9";
        for (body, header, text, charset) in [
            (
                &b"\xef\xbb\xbfcaf\xc3\xa9"[..],
                Some("latin1"),
                "café",
                "UTF-8",
            ),
            (b"\xff\xfea\0", None, "a", "UTF-16LE"),
            (latin, Some("ISO-8859-1"), "café", "windows-1252"),
            (latin, None, "café", "windows-1252"),
            (latin, Some("no such"), "café", "windows-1252"),
            ("café".as_bytes(), None, "café", "UTF-8"),
            (b"\x82\xa0", Some("shift_jis"), "あ", "Shift_JIS"),
        ] {
            let decoded = decoded(body, header, false);
            assert_eq!((&*decoded.text, decoded.charset), (text, charset));
            assert!(!decoded.has_errors, "{body:?}");
        }
    }

    #[test]
    fn a_page_declares_its_own() {
        for page in [
            &b"<head><meta charset=koi8-r>\xc1"[..],
            b"<META  CharSet = 'KOI8-R' />\xc1",
            b"<meta http-equiv=content-type content=\"text/html; charset=koi8-r\">\xc1",
            b"<meta name=a><meta charset=\"koi8-r\">\xc1",
            b"<?xml version='1.0' encoding='koi8-r'?>\xc1",
        ] {
            let decoded = decoded(page, None, false);
            assert_eq!(decoded.charset, "KOI8-R", "{page:?}");
            assert!(decoded.text.ends_with('а'), "{decoded:?}");
        }
        let lies = b"<meta charset=utf-16>caf\xc3\xa9";
        assert_eq!(decoded(lies, None, false).charset, "UTF-8");
    }

    #[test]
    fn a_wrong_charset_is_told() {
        let decoded = decoded(b"caf\xe9!", Some("utf-8"), false);
        assert_eq!(decoded.text, "caf\u{fffd}!");
        assert!(decoded.has_errors);
    }

    #[test]
    fn a_letter_that_is_cut_is_no_error() {
        let decoded = decoded(b"caf\xc3", None, true);
        assert_eq!(decoded.text, "caf");
        assert_eq!(decoded.charset, "UTF-8");
        assert!(!decoded.has_errors);
    }
}
