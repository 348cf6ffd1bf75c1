//! What a build says when the engine, the base or a step fails. The build that succeeds is
//! the one that makes the image of all other tests.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use bollard::Docker;

use super::{BuildProgress, ImageBuild, ImageError, ImageTag};

/// The image that tests run with; `None` where the caller has said there is no engine.
fn test_image() -> Option<String> {
    if std::env::var_os("CCPOOL_TEST_DOCKER").is_none() {
        eprintln!("not run: CCPOOL_TEST_DOCKER is unset, so there is no Docker Engine");
        return None;
    }
    Some(std::env::var("CCPOOL_TEST_IMAGE").expect("CCPOOL_TEST_DOCKER comes with an image"))
}

fn program(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn build(dir: &Path, base: &str, docker: Docker) -> ImageBuild {
    ImageBuild {
        tag: ImageTag::ByContext("ccpool/never".into()),
        base: base.to_owned(),
        claude: program(
            dir.join("claude"),
            "#!/bin/sh\necho '0.0.1 (Claude Code)'\n",
        ),
        wrapper: program(dir.join("wrapper"), "#!/bin/sh\n"),
        ca_certificates: Vec::new(),
        docker,
    }
}

#[tokio::test]
async fn an_engine_that_is_away_is_reported_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    // The file stays, as after an engine that was killed.
    drop(UnixListener::bind(&socket).unwrap());
    let path = socket.to_str().unwrap();
    let docker = Docker::connect_with_unix(path, 10, bollard::API_DEFAULT_VERSION).unwrap();

    let error = build(dir.path(), "any", docker)
        .run(|_| {})
        .await
        .unwrap_err();

    assert!(
        matches!(error, ImageError::EngineUnreachable(_)),
        "{error:?}"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_base_that_nobody_has_is_named() {
    if test_image().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let docker = Docker::connect_with_defaults().unwrap();
    let base = "ccpool/no-such-base:none";

    let error = build(dir.path(), base, docker)
        .run(|_| {})
        .await
        .unwrap_err();

    assert!(
        matches!(&error, ImageError::BaseMissing { base: b, .. } if b == base),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_failing_step_is_reported_with_its_output() {
    let Some(image) = test_image() else { return };
    let dir = tempfile::tempdir().unwrap();
    let docker = Docker::connect_with_defaults().unwrap();
    let mut steps: Vec<BuildProgress> = Vec::new();

    // The finished image as base: its user exists already, so making it again fails.
    let error = build(dir.path(), &image, docker)
        .run(|step| steps.push(step))
        .await
        .unwrap_err();

    let ImageError::StepFailed {
        step,
        total,
        instruction,
        output,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!(instruction.contains("groupadd"), "{instruction}");
    assert!(
        output.iter().any(|line| line.contains("agent")),
        "{output:?}"
    );
    assert!(0 < *step && step < total, "{step} of {total}");
    assert_eq!(steps.last().map(|last| last.step), Some(*step));
}
