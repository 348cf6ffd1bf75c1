//! Named scenes: the built-in ones and those of a script file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    scene::{Scene, SceneError},
    scene_json,
};

/// Scenes by name, and which of them answers a prompt without a marker.
#[derive(Debug, Clone, Default)]
pub struct ScriptFile {
    scenes: BTreeMap<String, Scene>,
    default: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    scenes: BTreeMap<String, Value>,
    default: Option<String>,
}

impl ScriptFile {
    /// The scenes that every stand-in knows.
    #[must_use]
    pub fn builtin() -> Self {
        Self::read(include_str!("../scenes/builtin.json"), Self::default())
            .expect("the built-in scenes are checked by a test")
    }

    /// Scenes from `{"scenes":{NAME:SCENE,..},"default":NAME}`, beside the built-in ones. A name
    /// used again replaces the built-in scene. Without `default` the memory scene answers.
    ///
    /// # Errors
    /// When the text is not JSON, a scene is not valid, or `default` names no scene.
    pub fn parse(json: &str) -> Result<Self, SceneError> {
        Self::read(json, Self::builtin())
    }

    fn read(json: &str, mut known: Self) -> Result<Self, SceneError> {
        let raw: Raw = serde_json::from_str(json)?;
        for (name, value) in &raw.scenes {
            let scene = scene_json::scene(value, &format!("scenes.{name}"))?;
            known.scenes.insert(name.clone(), scene);
        }
        if let Some(name) = &raw.default
            && !known.scenes.contains_key(name)
        {
            let problem = format!("there is no scene `{name}`");
            return Err(SceneError::Invalid {
                at: "default".to_owned(),
                problem,
            });
        }
        known.default = raw.default;
        Ok(known)
    }

    /// The scene of that name.
    #[must_use]
    pub fn scene(&self, name: &str) -> Option<&Scene> {
        self.scenes.get(name)
    }

    /// The scene for prompts without a marker; `None` means the memory scene.
    #[must_use]
    pub fn default_scene(&self) -> Option<&Scene> {
        self.default.as_deref().and_then(|name| self.scene(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_scenes_parse() {
        let builtin = ScriptFile::builtin();
        for name in [
            "hello",
            "tool",
            "rate-limited-once",
            "disconnect-once",
            "stall",
        ] {
            assert!(builtin.scene(name).is_some(), "{name}");
        }
        assert!(builtin.default_scene().is_none());
    }

    #[test]
    fn a_file_adds_replaces_and_chooses_the_default() {
        let file = r#"{"scenes":{"hello":{"text":"Hi"},"mine":{"text":"Mine"}},"default":"mine"}"#;
        let script = ScriptFile::parse(file).unwrap();
        assert_eq!(script.scene("hello"), Some(&Scene::text("Hi")));
        assert_eq!(script.default_scene(), Some(&Scene::text("Mine")));
        assert!(script.scene("tool").is_some());
    }

    #[test]
    fn problems_name_the_scene() {
        let error = ScriptFile::parse(r#"{"scenes":{"x":{"txt":1}}}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("scenes.x[0]: unknown field `txt`"),
            "{error}"
        );
        assert!(ScriptFile::parse(r#"{"default":"nobody"}"#).is_err());
    }
}
