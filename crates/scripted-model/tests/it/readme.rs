//! The README's examples are scenes and script files that parse.

use ccpool_scripted_model::{Scene, ScriptFile};

const README: &str = include_str!("../../README.md");

fn blocks(kind: &str) -> Vec<&'static str> {
    let open = format!("```json {kind}\n");
    README
        .split(open.as_str())
        .skip(1)
        .map(|rest| rest.split_once("\n```").unwrap().0)
        .collect()
}

#[test]
fn every_scene_parses() {
    let scenes = blocks("scene");
    assert!(scenes.len() >= 6, "only {} found", scenes.len());
    for scene in scenes {
        Scene::parse(scene).unwrap_or_else(|error| panic!("{error}\n{scene}"));
    }
}

#[test]
fn every_script_file_parses() {
    let scripts = blocks("script");
    assert_eq!(scripts.len(), 1);
    let script = ScriptFile::parse(scripts[0]).unwrap();
    assert_eq!(script.default_scene(), Some(&Scene::text("Good day.")));
    assert!(script.scene("flaky").is_some());
}
