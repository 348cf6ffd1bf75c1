//! Links of a page, made to start from nowhere.

use dom_query::Document;
use url::Url;

/// No link is made absolute with a longer base: a page of a megabyte that is full of short links would
/// become one of many gigabytes.
const LONGEST_BASE: usize = 300;

/// Makes links and images absolute, by the page's own `<base>` or else by its `url`, and takes away what
/// whoever reads the page later would multiply with a base or could not show.
pub(super) fn make_absolute(document: &Document, url: &str) {
    let base = base(document, url);
    document.select("base, img[src^='data:']").remove();
    let alternatives = document.select("[srcset]");
    alternatives.remove_attr("srcset");
    let Some(base) = base else { return };
    for (attribute, selector) in [("href", "a[href]"), ("src", "img[src]")] {
        for node in document.select(selector).nodes() {
            let value = node.attr_or(attribute, "");
            // A place in the same page.
            if value.starts_with('#') {
                continue;
            }
            if let Ok(absolute) = base.join(&value) {
                node.set_attr(attribute, absolute.as_str());
            }
        }
    }
}

fn base(document: &Document, url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let own = document.base_uri();
    let mut base = match own {
        Some(own) => url.join(&own).ok()?,
        None => url,
    };
    // No link starts from these.
    base.set_query(None);
    base.set_fragment(None);
    (base.as_str().len() <= LONGEST_BASE).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absolute(html: &str, url: &str) -> String {
        let document = Document::from(html);
        make_absolute(&document, url);
        document.select("body").inner_html().to_string()
    }

    #[test]
    fn links_start_from_the_page() {
        let url = "https://example.org/a/b?c=d";
        for (link, absolute_link) in [
            ("e", "https://example.org/a/e"),
            ("/e#f", "https://example.org/e#f"),
            ("?page=2", "https://example.org/a/b?page=2"),
            ("//o.example", "https://o.example/"),
            ("mailto:me@example.org", "mailto:me@example.org"),
            ("#f", "#f"),
            ("http://[", "http://["),
        ] {
            assert_eq!(
                absolute(&format!("<a href=\"{link}\">x</a>"), url),
                format!("<a href=\"{absolute_link}\">x</a>")
            );
        }
        assert_eq!(
            absolute("<img src=x srcset='y 2x'><img src=data:z>", url),
            "<img src=\"https://example.org/a/x\">"
        );
    }

    #[test]
    fn links_start_from_the_pages_own_base() {
        assert_eq!(
            absolute(
                "<base href=//o.example/x/><a href=y>z</a>",
                "https://example.org"
            ),
            "<a href=\"https://o.example/x/y\">z</a>"
        );
        assert_eq!(absolute("<a href=y>z</a>", "no URL"), "<a href=\"y\">z</a>");
    }

    #[test]
    fn a_long_base_is_not_multiplied() {
        let long = "x".repeat(100_000);
        for (head, url) in [
            (
                format!("<base href='/{long}/'>"),
                "https://example.org/".to_owned(),
            ),
            (String::new(), format!("https://example.org/{long}/")),
        ] {
            let links = "<a href=y>z</a><img srcset='a.jpg 1x, b.jpg 2x'>".repeat(1000);
            let html = format!("{head}{links}");
            assert!(absolute(&html, &url).len() <= links.len() + 2000);
        }
    }
}
