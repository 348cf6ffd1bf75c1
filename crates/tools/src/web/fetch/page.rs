//! From a page to Markdown.
//!
//! Pages are hostile. A few bytes can make a parser build a tree of millions of nodes (unclosed
//! formatting is opened again in every paragraph), and a tree that is deep enough overflows the stack of
//! whoever walks down it. So a page is parsed piece by piece, and no further than the limits below.

use std::time::{Duration, Instant};

use dom_query::{Document, NodeRef};
use dom_smoothie::{Config, Readability, TextMode};
use html5ever::ParseOpts;
use html5ever::parse_document;
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::TreeBuilderOpts;

use super::links::make_absolute;

/// What is left of a page beyond this many nodes is not read.
const MOST_NODES: usize = 100_000;
/// Nor what lies deeper. No page that people read is half as deep.
const DEEPEST: usize = 160;
/// Each list or quotation around a line costs some letters at its beginning; this many of them at most.
const DEEPEST_INDENT: usize = 10;
/// And at most this many such beginnings in a page.
const MOST_INDENTS: usize = 1_000_000;
/// Pages are parsed in a tenth of this. What is slower (the attributes of one element are compared with
/// each other) is not read to its end.
const PARSING: Duration = Duration::from_secs(3);
/// The page is parsed in pieces of this many bytes, and measured after each.
const PIECE: usize = 256;
/// An article that is shorter than this is no article: then the whole page is shown.
const SHORTEST_ARTICLE: usize = 250;
/// A longer title is cut.
const LONGEST_TITLE: usize = 300;

/// What nobody reads.
const UNREAD: &str = "script, style, noscript, template, iframe, object, svg, canvas, head";

/// A page for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Markdown, the title first.
    pub(super) markdown: String,
    /// What stood beyond the limits was left out.
    pub(super) is_cut: bool,
}

/// Turns a page into Markdown: its article, where it has one, otherwise all of it. `url` is what
/// relative links start from.
///
/// It takes long for long pages, and so belongs into a thread of its own.
pub(super) fn markdown(html: &str, url: &str) -> Page {
    let (document, is_cut) = parsed(html, Instant::now() + PARSING);
    let too_deep = is_too_deep(&document.root());
    make_absolute(&document, url);
    let title = document.select("title").first().text();
    let whole = document.clone();
    let article = if too_deep { None } else { article(document) };
    let (title, body) = match article {
        Some(article) => article,
        None => (title.to_string(), rest(&whole, too_deep)),
    };
    Page {
        markdown: titled(&title, &body),
        is_cut,
    }
}

/// The page's tree, and whether a part of it was left out.
fn parsed(html: &str, deadline: Instant) -> (Document, bool) {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            scripting_enabled: false,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    let mut parser = parse_document(Document::default(), options);
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE));
        parser.process(StrTendril::from(piece));
        rest = after;
        let tree = &parser.tokenizer.sink.sink.tree;
        let is_too_large = tree.len() > MOST_NODES || depth_at_end(&tree.root()) > DEEPEST;
        if is_too_large || Instant::now() >= deadline {
            break;
        }
    }
    (parser.finish(), !rest.is_empty())
}

/// How deep the node lies with which the document ends so far.
fn depth_at_end(root: &NodeRef<'_>) -> usize {
    let last = std::iter::successors(root.last_child(), NodeRef::last_child);
    last.take(DEEPEST + 1).count()
}

/// Whether some node lies deeper than may be walked down to, or within too many lists and quotations, or
/// too many lines lie within such.
fn is_too_deep(root: &NodeRef<'_>) -> bool {
    let mut indents = 0;
    let mut open = vec![(root.first_child(), 0, 0)];
    while let Some((node, depth, indent)) = open.pop() {
        let Some(node) = node else { continue };
        if node.is_text() && indent > 0 {
            indents += indent * node.text().bytes().filter(|byte| *byte == b'\n').count();
        }
        if depth > DEEPEST || indent > DEEPEST_INDENT || indents > MOST_INDENTS {
            return true;
        }
        let is_indented = matches!(
            node.node_name().as_deref(),
            Some("ul" | "ol" | "dl" | "blockquote" | "table")
        );
        open.push((node.next_sibling(), depth, indent));
        open.push((
            node.first_child(),
            depth + 1,
            indent + usize::from(is_indented),
        ));
    }
    false
}

/// Title and Markdown of what the page is about.
fn article(document: Document) -> Option<(String, String)> {
    let config = Config {
        disable_json_ld: true,
        text_mode: TextMode::Markdown,
        max_elements_to_parse: MOST_NODES,
        ..Config::default()
    };
    let mut readability = Readability::with_document(document, None, Some(config)).ok()?;
    let article = readability.parse().ok()?;
    let is_one = article.length >= SHORTEST_ARTICLE;
    is_one.then(|| (article.title, article.text_content.to_string()))
}

/// The whole page; without Markdown where it is too deep for that.
fn rest(document: &Document, too_deep: bool) -> String {
    document.select(UNREAD).remove();
    if too_deep {
        document.formatted_text().to_string()
    } else {
        document.md(None).to_string()
    }
}

fn titled(title: &str, body: &str) -> String {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let title: String = title.chars().take(LONGEST_TITLE).collect();
    let body = body.trim();
    let has_it = body
        .lines()
        .next()
        .is_some_and(|first| first.trim_start_matches('#').trim() == title);
    if title.is_empty() || has_it {
        body.to_owned()
    } else {
        format!("# {title}\n\n{body}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://example.org/a/b";

    fn article_page() -> String {
        let words =
            "These are some of the words of a rather long paragraph, with commas. ".repeat(10);
        format!(
            "<!doctype html><html><head><title>Of warm pools</title><style>p {{}}</style></head>\
             <body><nav><a href=/>Home</a><a href=/x>Everything else</a></nav>\
             <article><h1>Of warm pools</h1><p>{words}</p><p>See <a href=../c>the <b>other</b> page</a>.\
             </p><ul><li>one</li><li>two</li></ul><pre><code>let a = 1;\nlet b = 2;</code></pre>\
             <p>{words}</p></article><script>alert(1)</script><footer>Imprint</footer></body></html>"
        )
    }

    #[test]
    fn an_article_becomes_markdown_without_what_surrounds_it() {
        let page = markdown(&article_page(), URL);
        assert!(!page.is_cut);
        let text = &page.markdown;
        assert!(text.starts_with("# Of warm pools\n"), "{text}");
        assert!(
            text.contains("[the other page](https://example.org/c)"),
            "{text}"
        );
        assert!(text.contains("let a = 1;\nlet b = 2;"), "{text}");
        for unwanted in ["alert", "Imprint", "Everything else", "p {}"] {
            assert!(!text.contains(unwanted), "{unwanted}: {text}");
        }
    }

    #[test]
    fn a_page_that_is_no_article_is_shown_as_a_whole() {
        let html = "<title> An \n index </title><script>no()</script><h2>Links</h2>\
                    <ul><li><a href='https://a.example/'>a</a><li><a href='../b?c'>b</a></ul>\
                    <img src='data:image/png;base64,AAAA'>";
        let text = markdown(html, URL).markdown;
        assert!(text.starts_with("# An index\n\n"), "{text}");
        assert!(text.contains("(https://example.org/b?c)"), "{text}");
        assert!(!text.contains("no()") && !text.contains("data:"), "{text}");
        let text = markdown("<base href=//o.example/x/><a href=y>z</a>", URL).markdown;
        assert_eq!(text, "[z](https://o.example/x/y)");
    }

    #[test]
    fn a_table_is_a_table() {
        let html = "<table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table>";
        let text = markdown(html, URL).markdown;
        assert!(text.contains('|') && text.contains('1'), "{text}");
    }

    #[test]
    fn pages_that_are_no_pages_are_read_all_the_same() {
        for html in [
            "",
            "plain words",
            "<",
            "<p",
            "</html>",
            "<!--",
            "&#x110000;\0",
            "<svg><p>a",
        ] {
            let page = markdown(html, URL);
            assert!(!page.is_cut, "{html}: {page:?}");
        }
        assert_eq!(markdown("plain words", URL).markdown, "plain words");
        assert_eq!(markdown("<p>a", "no URL").markdown, "a");
    }

    #[test]
    fn a_bottomless_page_is_cut() {
        for tag in [
            "div",
            "b",
            "blockquote",
            "ul><li",
            "table><tr><td",
            "svg",
            "span",
            "a",
        ] {
            let html = format!("<p>head</p>{}bottom", format!("<{tag}>").repeat(200_000));
            let page = markdown(&html, URL);
            assert!(page.markdown.contains("head"), "{tag}");
            // A link within a link ends the outer one, so those are not deep, but many.
            assert!(page.is_cut, "{tag}");
        }
    }

    #[test]
    fn formatting_that_multiplies_is_cut() {
        let formats: String = (0..500).map(|n| format!("<p><b id={n}></p>")).collect();
        let html = format!("{formats}{}", "<p>x".repeat(100_000));
        assert!(markdown(&html, URL).is_cut);
    }

    #[test]
    fn quotations_within_quotations_are_shown_as_plain_text() {
        let nested = 40;
        let html = format!(
            "{}words\n{}",
            "<blockquote>".repeat(nested),
            "</blockquote>".repeat(nested)
        );
        let page = markdown(&html, URL);
        assert_eq!((&*page.markdown, page.is_cut), ("words", false));
    }

    #[test]
    fn a_long_base_is_not_multiplied() {
        let words = "words, words and words of all kinds, ".repeat(20);
        let image = "<img data-x='a.jpg 1x, b.jpg 2x, c.jpg 3x'>";
        let links = format!("<p>{words}<a href=y>z</a>{image}").repeat(100);
        let html = format!("<base href='/{}/'><article>{links}", "x".repeat(100_000));
        let text = markdown(&html, URL).markdown;
        assert!(text.contains("words, words") && text.len() < 200_000);
    }

    #[test]
    fn many_lines_within_quotations_are_not_multiplied() {
        let page = |quotes: usize, lines: usize| {
            let html = format!(
                "{}<pre>{}",
                "<blockquote>".repeat(quotes),
                "x\n".repeat(lines)
            );
            markdown(&html, URL).markdown
        };
        assert!(page(2, 10).contains("> > x"));
        let many = page(8, 200_000);
        assert!(many.starts_with("x\nx\n") && many.len() < 500_000);
    }

    #[test]
    fn what_takes_too_long_is_cut() {
        let html = format!("<p>read</p>{}<p>unread</p>", " ".repeat(PIECE));
        let (document, is_cut) = parsed(&html, Instant::now());
        assert!(is_cut);
        assert_eq!(document.text().trim(), "read");
        let (document, is_cut) = parsed(&html, Instant::now() + Duration::from_secs(3600));
        assert!(!is_cut && document.text().contains("unread"));
    }

    /// Pieces of pages, in an order that nobody would choose.
    fn tag_soup() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec![
            "p",
            "div",
            "article",
            "h1",
            "a",
            "b",
            "i",
            "em",
            "code",
            "pre",
            "ul",
            "ol",
            "li",
            "dl",
            "dt",
            "table",
            "caption",
            "thead",
            "tr",
            "td",
            "th",
            "blockquote",
            "br",
            "hr",
            "img",
            "svg",
            "math",
            "title",
            "head",
            "body",
            "html",
            "form",
            "select",
            "option",
            "template",
            "script",
            "style",
            "noscript",
            "textarea",
            "iframe",
            "font",
            "section",
            "base",
            "meta",
            "video",
            "input",
        ]);
        let attributes = prop::sample::select(vec![
            "",
            " href=x",
            " href='//['",
            " src=data:x",
            " class='article comment'",
            " colspan=99999",
            " rowspan=0",
            " start=-5",
            " start=99999999999999999999",
            " id=a",
            " hidden",
            " style=display:none",
            " title='a\"b'",
            " srcset='a 1x, b'",
            " rel=author",
            " lang=de",
            " content=x property=og:title",
        ]);
        let text = prop_oneof![
            "[a-z ,.|*_`#\\[\\]<>&-]{0,40}",
            Just("words, words and many more words, ".repeat(20)),
            Just("\n\n  \u{a0}\t".to_owned()),
            Just("äöü\u{200b}\u{202e}😀\0\u{fffd}".to_owned()),
            Just("<!-- x --><![CDATA[x]]><!doctype html><?xml?>".to_owned()),
            Just("1. one\n2) two\n- three\n> four\n    five".to_owned()),
        ];
        let piece = (names, attributes, any::<[bool; 3]>(), text).prop_map(
            |(name, attributes, [opens, closes, is_void], text)| {
                let slash = if is_void { "/" } else { "" };
                let open = if opens {
                    format!("<{name}{attributes}{slash}>")
                } else {
                    String::new()
                };
                let close = if closes {
                    format!("</{name}>")
                } else {
                    String::new()
                };
                format!("{open}{text}{close}")
            },
        );
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_page_becomes_text_of_its_size(html in tag_soup()) {
            let page = markdown(&html, URL);
            prop_assert!(page.markdown.len() <= 2000 + html.len() * 40);
        }
    }
}
