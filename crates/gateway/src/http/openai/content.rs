//! What a message holds: text as it is, or parts.

use ccpool::provider::{Content, ImageSource};

use super::error::ApiError;
use super::field::{Field, Fields};

/// Images that the model takes.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What a user or a function says. Empty texts are left out: the model's service refuses them.
pub(super) fn content(field: Field) -> Result<Vec<Content>, ApiError> {
    if field.is_null() {
        return Err(field.refuse("is missing, and must be text or a list of parts"));
    }
    let parts = match spelled(field)? {
        Spelled::Text(text) => vec![Content::Text(text)],
        Spelled::Parts(parts) => parts.into_iter().map(part).collect::<Result<_, _>>()?,
    };
    let says = |part: &Content| !matches!(part, Content::Text(text) if text.is_empty());
    Ok(parts.into_iter().filter(says).collect())
}

/// Text alone, for roles that have nothing else; parts are put together with `between`. What the
/// model refused to say is among its words.
pub(super) fn words(field: Field, between: &str) -> Result<String, ApiError> {
    if field.is_null() {
        return Ok(String::new());
    }
    let parts = match spelled(field)? {
        Spelled::Text(text) => return Ok(text),
        Spelled::Parts(parts) => parts,
    };
    let mut texts = Vec::new();
    for part in parts {
        let mut part = part.needed_object()?;
        let part_type = part.take("type");
        match part_type.text()?.as_deref() {
            Some("text") | None => texts.push(part.take("text").text()?.unwrap_or_default()),
            Some("refusal") => texts.push(part.take("refusal").text()?.unwrap_or_default()),
            // What the model thought is not among what it said.
            Some("thinking" | "reasoning") => {}
            Some(other) => {
                let what = format!("is a part of type {other:?}, and must be of type \"text\"");
                return Err(part.refuse(what));
            }
        }
    }
    Ok(texts.join(between))
}

enum Spelled {
    Text(String),
    Parts(Vec<Field>),
}

fn spelled(field: Field) -> Result<Spelled, ApiError> {
    if field.is_text() {
        return Ok(Spelled::Text(field.text()?.unwrap_or_default()));
    }
    Ok(Spelled::Parts(field.list()?.unwrap_or_default()))
}

fn part(field: Field) -> Result<Content, ApiError> {
    let mut part = field.needed_object()?;
    match part.take("type").needed_text()?.as_str() {
        "text" => Ok(Content::Text(part.take("text").text()?.unwrap_or_default())),
        "image_url" => image(part.take("image_url")).map(Content::Image),
        "input_audio" => Err(part.refuse("is sound, which is not taken; send its transcript")),
        "file" => Err(part.refuse("is a file, which is not taken; send its text, or images")),
        other => Err(unknown(&part, other)),
    }
}

fn unknown(part: &Fields, part_type: &str) -> ApiError {
    let shown: String = part_type.chars().take(40).collect();
    part.refuse(format!(
        "is a part of type {shown:?}; \"text\" and \"image_url\" are taken"
    ))
}

fn image(field: Field) -> Result<ImageSource, ApiError> {
    // Some clients write the URL in the object's place.
    let url = if field.is_text() {
        field
    } else {
        field.needed_object()?.take("url")
    };
    let refused = |what: &str| url.refuse(what);
    let not_an_url = refused("is no http, https or data URL");
    let not_an_image = refused("is no data URL of a PNG, JPEG, GIF or WebP image in base64");
    let url = url.needed_text()?;
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "https") => Ok(ImageSource::Url(url)),
        Some("data") => data(&url["data:".len()..]).ok_or(not_an_image),
        Some(_) | None => Err(not_an_url),
    }
}

/// `image/png;base64,…`.
fn data(rest: &str) -> Option<ImageSource> {
    let (head, data) = rest.split_once(',')?;
    let mut head = head.split(';').map(str::trim);
    let media_type = match head.next()?.to_ascii_lowercase() {
        wrong if wrong == "image/jpg" => "image/jpeg".to_owned(),
        media_type => media_type,
    };
    let is_base64 = head.any(|word| word.eq_ignore_ascii_case("base64"));
    if !is_base64 || !IMAGES.contains(&media_type.as_str()) || !looks_like_base64(data) {
        return None;
    }
    let data = data.to_owned();
    Some(ImageSource::Base64 { media_type, data })
}

fn looks_like_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let fits = text.len() - digits.len() <= 2 && !digits.is_empty() && text.len().is_multiple_of(4);
    fits && digits
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Vec<Content>, String> {
        content(Field::body(value)).map_err(|error| error.message().to_owned())
    }

    fn image_of(url: &str) -> Result<Vec<Content>, String> {
        read(json!([{"type": "image_url", "image_url": {"url": url, "detail": "high"}}]))
    }

    #[test]
    fn text_and_parts() {
        let hi = || vec![Content::Text("hi".to_owned())];
        assert_eq!(read(json!("hi")), Ok(hi()));
        assert_eq!(read(json!([{"type": "text", "text": "hi"}])), Ok(hi()));
        assert_eq!(read(json!("")), Ok(vec![]));
        assert!(read(json!(null)).is_err() && read(json!(3)).is_err());
    }

    #[test]
    fn images_here_and_elsewhere() {
        let here = |media_type: &str| {
            Ok(vec![Content::Image(ImageSource::Base64 {
                media_type: media_type.to_owned(),
                data: "aGk=".to_owned(),
            })])
        };
        assert_eq!(image_of("data:image/png;base64,aGk="), here("image/png"));
        assert_eq!(image_of("data:image/jpg;base64,aGk="), here("image/jpeg"));
        assert_eq!(
            image_of("DATA:image/PNG;charset=x;BASE64,aGk="),
            here("image/png")
        );
        let url = "https://example.com/cat.png";
        let there = vec![Content::Image(ImageSource::Url(url.to_owned()))];
        assert_eq!(image_of(url), Ok(there.clone()));
        let bare = json!([{"type": "image_url", "image_url": url}]);
        assert_eq!(read(bare), Ok(there));
    }

    #[test]
    fn what_cannot_be_shown_to_the_model_is_refused() {
        for url in [
            "data:image/png;base64,",
            "data:image/png;base64,a",
            "data:image/png;base64,ab=c",
            "data:image/png;base64,a*b=",
            "data:image/png,aGk=",
            "data:image/svg+xml;base64,aGk=",
            "data:,",
            "data:",
        ] {
            let said = image_of(url).unwrap_err();
            assert!(said.contains("is no data URL of a PNG"), "{url}: {said}");
        }
        for url in ["file:///etc/passwd", "cat.png", "ftp://example.com/a"] {
            let said = image_of(url).unwrap_err();
            assert!(said.contains("is no http, https or data URL"), "{said}");
        }
        for part in [
            json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}),
            json!({"type": "file", "file": {"file_id": "f"}}),
            json!({"type": "video_url", "video_url": {"url": "https://example.com"}}),
            json!({"text": "no type"}),
            json!("bare"),
        ] {
            assert!(read(json!([part])).is_err(), "{part}");
        }
    }

    #[test]
    fn words_put_parts_together() {
        let read = |value| words(Field::body(value), "|").map_err(|e| e.message().to_owned());
        assert_eq!(read(json!("a")), Ok("a".to_owned()));
        assert_eq!(read(json!(null)), Ok(String::new()));
        let parts = json!([
            {"type": "text", "text": "a"},
            {"type": "thinking", "thinking": "hm"},
            {"type": "refusal", "refusal": "no"},
        ]);
        assert_eq!(read(parts), Ok("a|no".to_owned()));
        assert!(read(json!([{"type": "image_url"}])).is_err());
    }
}
