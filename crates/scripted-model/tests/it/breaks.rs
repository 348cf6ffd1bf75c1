//! Answers that do not end well.

use ccpool_scripted_model::Outcome;
use tokio::time::timeout;

use crate::client::{DEADLINE, body, post, prompt, read_stream, started, stream};

#[tokio::test]
async fn a_disconnect_breaks_the_body_after_its_deltas() {
    let model = started().await;
    let text = r#"[[do: {"text":"a b c d","delayMs":20,"disconnectAfter":2}]]"#;
    let streamed = stream(&model.base_url(), &[prompt(text)]).await;
    assert_eq!(streamed.joined("text"), "a b ");
    assert!(streamed.error.is_some(), "the body ended properly");
    assert_eq!(model.requests()[0].outcome(), Some(Outcome::Cut));
    model.shutdown().await;
}

#[tokio::test]
async fn a_drop_answers_nothing_and_the_next_attempt_works() {
    let model = started().await;
    let text = r#"[[do: {"attempts":[{"drop":true},{"text":"ok"}]}]]"#;
    let dropped = post(&model.base_url(), &body(&[prompt(text)], true)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(
        stream(&model.base_url(), &[prompt(text)])
            .await
            .joined("text"),
        "ok"
    );
    model.shutdown().await;
}

#[tokio::test]
async fn a_broken_message_without_streaming_breaks_as_a_whole() {
    let model = started().await;
    let base = model.base_url();
    let cut = r#"[[do: {"text":"a b","disconnectAfter":1}]]"#;
    let cut = post(&base, &body(&[prompt(cut)], false)).await;
    assert!(cut.is_err(), "{cut:?}");
    let failed = r#"[[do: {"text":"a b","errorAfter":{"chunks":1,"status":529}}]]"#;
    let failed = post(&base, &body(&[prompt(failed)], false)).await.unwrap();
    assert_eq!(failed.status(), 529);
    model.shutdown().await;
}

#[tokio::test]
async fn an_error_event_ends_the_stream() {
    let model = started().await;
    let text = r#"[[do: {"text":"a b","errorAfter":{"chunks":1,"status":529}}]]"#;
    let streamed = stream(&model.base_url(), &[prompt(text)]).await;
    assert!(streamed.error.is_none(), "{streamed:?}");
    assert_eq!(streamed.deltas(), 1);
    let last = streamed.events.last().unwrap();
    assert_eq!(last["type"], "error");
    assert_eq!(last["error"]["type"], "overloaded_error");
    model.shutdown().await;
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_goes() {
    let model = started().await;
    let text = r#"[[do: {"text":"a b c","stallAfter":2}]]"#;
    let mut response = post(&model.base_url(), &body(&[prompt(text)], true))
        .await
        .unwrap();
    let mut seen = String::new();
    while seen.matches("content_block_delta\n").count() < 2 {
        let part = timeout(DEADLINE, response.chunk())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        seen.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert_eq!(model.requests()[0].outcome(), None);
    drop(response);
    model
        .wait_for_request(
            |request| request.outcome() == Some(Outcome::ClientGone),
            DEADLINE,
        )
        .await
        .unwrap();
    model.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_hanging_and_stalled_answers() {
    let model = started().await;
    let base = model.base_url();
    let stalled = prompt(r#"[[do: {"text":"a b","stallAfter":1}]]"#);
    let stalled = post(&base, &body(&[stalled], true)).await.unwrap();
    let hanging_body = body(&[prompt("[[script:hang]]")], true);
    let hanging = post(&base, &hanging_body);
    let both_then_stop = async {
        model
            .wait_for_request(|request| request.seq == 2, DEADLINE)
            .await
            .unwrap();
        timeout(DEADLINE, model.shutdown())
            .await
            .expect("shutdown ends");
    };
    let (hung, ()) = tokio::join!(hanging, both_then_stop);
    assert!(hung.is_err(), "{hung:?}");
    let stalled = timeout(DEADLINE, read_stream(stalled))
        .await
        .expect("the stream ends");
    assert!(stalled.error.is_some(), "{stalled:?}");
}

#[tokio::test]
async fn dropping_the_model_frees_its_port() {
    let model = started().await;
    let addr = model.addr();
    let hanging_body = body(&[prompt("[[script:hang]]")], true);
    let base = model.base_url();
    let hanging = post(&base, &hanging_body);
    let then_drop = async {
        model
            .wait_for_request(|request| request.seq == 1, DEADLINE)
            .await
            .unwrap();
        drop(model);
    };
    let (hung, ()) = timeout(DEADLINE, async { tokio::join!(hanging, then_drop) })
        .await
        .unwrap();
    assert!(hung.is_err(), "{hung:?}");
    let refused = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refused)
        .await
        .expect("the port is closed");
}
