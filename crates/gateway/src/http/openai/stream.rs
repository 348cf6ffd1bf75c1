//! A streamed answer: when its head is sent, and what follows.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::answer::Identity;
use super::chunk::Chunks;
use super::error::ApiError;
use super::head::Head;
use super::said::{Ended, Said};

/// Tells proxies to pass on what comes.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Most of what goes out together; it must be there already.
const TOGETHER: usize = 64;

/// Answers in a stream.
///
/// The head waits for the first words, or for calls of functions, so that what fails before has a
/// status by which a caller goes elsewhere. What the model thinks is held back so long. At `until` the
/// head goes out in any case, since a silent connection is taken for dead.
///
/// # Errors
/// [`ApiError`] if the answer ends badly before its head is sent.
pub(super) async fn respond(
    said: impl Stream<Item = Said> + Send + 'static,
    head: &Head,
    include_usage: bool,
    until: Instant,
    keep_alive: Duration,
) -> Result<Response, ApiError> {
    let mut said = Box::pin(said);
    let kept = opening(&mut said, until).await?;
    let chunks = Chunks::new(Identity::new(head.model()), include_usage);
    let mut text = String::new();
    chunks.begin(&mut text);
    let mut is_over = false;
    for said in &kept {
        is_over |= chunks.tell(&mut text, said);
    }
    let first = futures::stream::iter([Ok(Bytes::from(text))]);
    let rest = (!is_over).then_some(said);
    let body = Body::from_stream(first.chain(pieces(chunks, rest, keep_alive)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// What is said up to the first words, if they come by `until`.
async fn opening<S: Stream<Item = Said>>(
    said: &mut Pin<Box<S>>,
    until: Instant,
) -> Result<Vec<Said>, ApiError> {
    let mut kept = Vec::new();
    loop {
        // Cancelling it loses nothing: what was not taken is still in the stream.
        match tokio::time::timeout_at(until, said.next()).await {
            Err(_) | Ok(None) => return Ok(kept),
            Ok(Some(Said::Ended(Ended::Broken(error)))) => return Err(error),
            Ok(Some(thought @ Said::Thought(_))) => kept.push(thought),
            Ok(Some(visible @ (Said::Text(_) | Said::Ended(_)))) => {
                kept.push(visible);
                return Ok(kept);
            }
        }
    }
}

/// The chunks. Those of which all is there already go out in one piece; nothing waits for company.
fn pieces(
    chunks: Chunks,
    rest: Option<Pin<Box<impl Stream<Item = Said> + Send + 'static>>>,
    keep_alive: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let rest = rest.map(|said| Box::pin(said.ready_chunks(TOGETHER)));
    futures::stream::unfold((rest, chunks), move |(rest, chunks)| async move {
        let mut ready = rest?;
        // Cancelling it loses nothing: what was taken goes into the piece at once.
        let next = tokio::time::timeout(keep_alive, ready.next()).await;
        let mut text = String::new();
        let mut is_over = false;
        match next {
            Ok(Some(together)) => {
                for said in &together {
                    is_over |= chunks.tell(&mut text, said);
                }
            }
            Ok(None) => return None,
            Err(_) => chunks.keep_alive(&mut text),
        }
        let rest = (!is_over).then_some(ready);
        Some((Ok(Bytes::from(text)), (rest, chunks)))
    })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use ccpool::provider::Reply;
    use ccpool::{SessionId, TurnId};
    use ccpool_protocol::FailureKind;
    use serde_json::{Value, json};

    use super::super::said::Finish;
    use super::super::usage::Used;
    use super::*;

    const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

    fn head() -> Head {
        let reply = Reply {
            provider: "docker-claude-code".to_owned(),
            model: "opus".to_owned(),
            session: Some(SessionId::new("s1").unwrap()),
            turn: TurnId::new("t1").unwrap(),
            passed: Vec::new(),
            events: futures::stream::empty().boxed(),
        };
        Head::of(&reply, None)
    }

    fn ended() -> Said {
        let (finish, used) = (Finish::Stop, Used::by_calls(None));
        Said::Ended(Ended::Finished { finish, used })
    }

    fn broken() -> Said {
        let error = ApiError::of_kind(FailureKind::Stalled, "silent");
        Said::Ended(Ended::Broken(error))
    }

    /// Things that are said, each after so many seconds of silence.
    fn after(said: Vec<(u64, Said)>) -> impl Stream<Item = Said> + Send {
        futures::stream::iter(said).then(async |(seconds, said)| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            said
        })
    }

    async fn text(said: Vec<(u64, Said)>) -> Result<String, ApiError> {
        let until = Instant::now() + KEEP_ALIVE_AFTER;
        let said = after(said);
        let response = respond(said, &head(), false, until, KEEP_ALIVE_AFTER).await?;
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn words(words: &str) -> Said {
        Said::Text(words.to_owned())
    }

    fn thought() -> Said {
        Said::Thought("hm".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_before_the_first_words_is_an_error() {
        assert!(text(vec![(0, broken())]).await.is_err());
        assert!(
            text(vec![(1, thought()), (1, thought()), (12, broken())])
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_after_the_first_words_is_said_in_the_stream() {
        for said in [
            vec![(0, words("a")), (0, broken())],
            vec![(14, words("a")), (3, broken())],
            // Nobody waits longer for the head.
            vec![(16, broken())],
            vec![(10, thought()), (10, broken())],
        ] {
            let text = text(said).await.unwrap();
            assert!(text.starts_with("data: {\"id\":\"chatcmpl-"), "{text}");
            assert!(text.ends_with("\"code\":\"stalled\"}}\n\n"), "{text}");
            assert!(!text.contains("[DONE]"), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled() {
        let text = text(vec![(40, words("a")), (20, ended())]).await.unwrap();
        let datas = text
            .split_terminator("\n\n")
            .map(|data| &data["data: ".len()..]);
        let mut datas: Vec<&str> = datas.collect();
        assert_eq!(datas.pop(), Some("[DONE]"));
        let deltas = datas.into_iter().map(|data| {
            let chunk: Value = serde_json::from_str(data).unwrap();
            assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
            chunk["choices"][0]["delta"].clone()
        });
        // The head goes instead of the first silence, with the chunk that begins. What keeps alive has
        // no role: there are clients that put roles together.
        let silent = json!({});
        let expected = [
            json!({"role": "assistant", "content": ""}),
            silent.clone(),
            json!({"content": "a"}),
            silent.clone(),
            silent,
        ];
        assert_eq!(deltas.collect::<Vec<_>>(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn thoughts_that_were_held_back_come_first() {
        let text = text(vec![(1, thought()), (1, words("a")), (0, ended())])
            .await
            .unwrap();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(at("\"role\":\"assistant\"") < at("\"reasoning_content\":\"hm\""));
        assert!(at("\"reasoning_content\":\"hm\"") < at("\"content\":\"a\""));
    }

    #[tokio::test]
    async fn an_empty_answer_ends_too() {
        let text = text(vec![(0, ended())]).await.unwrap();
        assert_eq!(text.matches("data: ").count(), 3, "{text}");
    }
}
