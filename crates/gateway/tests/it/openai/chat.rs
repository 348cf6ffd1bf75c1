//! A client of the OpenAI API that hides nothing.

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::parts::PATIENCE;

pub(crate) const COMPLETIONS: &str = "/v1/chat/completions";

/// A request whose only message is this text.
pub(crate) fn user(text: &str) -> Value {
    json!({"model": "sonnet", "messages": [{"role": "user", "content": text}]})
}

/// The same, streamed.
pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// A request that is ready to be sent.
pub(crate) fn post(gateway: &Gateway, body: &Value) -> RequestBuilder {
    gateway.request(Method::POST, COMPLETIONS).json(body)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Came {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = tokio::time::timeout(PATIENCE, request.send()).await;
        let response = response.expect("in time").expect("an answer");
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("a whole body"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// What a client acts on: status and code.
    pub(crate) fn failure(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].take();
        let code = code.as_str().unwrap_or_else(|| panic!("no code: {self:?}"));
        (self.status, code.to_owned())
    }

    /// How long to wait, in seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let seconds = self.headers.get("retry-after")?.to_str().expect("ASCII");
        Some(seconds.parse().expect("a number"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("{name} is missing: {self:?}"));
        value.to_str().expect("ASCII")
    }
}

/// A streamed answer, chunk by chunk.
pub(crate) struct Chunks {
    pub(crate) response: HeaderMap,
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
}

/// What a stream holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Chunk(Value),
    Comment,
    Done,
}

impl Chunks {
    /// A stream whose head is here.
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response: Response = tokio::time::timeout(PATIENCE, request.send())
            .await
            .expect("in time")
            .expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            panic!("{status}: {}", response.text().await.unwrap_or_default());
        }
        assert_eq!(headers["content-type"], "text/event-stream");
        Self {
            response: headers,
            bytes: response.bytes_stream().boxed(),
            buffer: String::new(),
        }
    }

    /// The next piece, or nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        loop {
            if let Some((piece, rest)) = self.buffer.split_once("\n\n") {
                let piece = parse(piece);
                self.buffer = rest.to_owned();
                return Some(piece);
            }
            let more = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let more = more.expect("something comes in time")?.expect("it holds");
            self.buffer += std::str::from_utf8(&more).expect("chunks are whole");
        }
    }

    /// Words up to and with these.
    pub(crate) async fn until(&mut self, words: &str) {
        let mut said = String::new();
        while !said.contains(words) {
            let piece = self.next().await;
            let piece = piece.unwrap_or_else(|| panic!("it ends after {said:?}"));
            said += &words_of(&[piece]);
        }
    }

    /// All that is left.
    pub(crate) async fn rest(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(piece) = self.next().await {
            pieces.push(piece);
        }
        pieces
    }
}

fn parse(piece: &str) -> Piece {
    if piece.starts_with(':') {
        return Piece::Comment;
    }
    match piece.strip_prefix("data: ").expect("data") {
        "[DONE]" => Piece::Done,
        json => Piece::Chunk(serde_json::from_str(json).expect("JSON")),
    }
}

/// What was said in these.
pub(crate) fn words_of(pieces: &[Piece]) -> String {
    let words = pieces.iter().filter_map(|piece| match piece {
        Piece::Chunk(chunk) => chunk["choices"][0]["delta"]["content"].as_str(),
        Piece::Comment | Piece::Done => None,
    });
    words.collect()
}

/// The chunks among these.
pub(crate) fn chunks_of(pieces: &[Piece]) -> Vec<&Value> {
    let chunks = pieces.iter().filter_map(|piece| match piece {
        Piece::Chunk(chunk) => Some(chunk),
        Piece::Comment | Piece::Done => None,
    });
    chunks.collect()
}
