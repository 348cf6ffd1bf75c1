//! `GET /v1/models`: who can be asked.

use axum::Json;
use axum::extract::{Path, State};
use ccpool::provider::Provider;
use serde::Serialize;
use utoipa::ToSchema;

use super::answerer::Answerer;
use super::error::{ApiError, ErrorBody};

/// The models that there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Model {
    /// `provider/model`, or the model alone.
    #[schema(example = "docker-claude-code/opus")]
    id: String,
    /// `model`.
    object: &'static str,
    /// Nobody knows when it was made: 0.
    created: u64,
    /// Its provider.
    owned_by: String,
}

/// What a provider is known to serve. Names alone belong to the first who has them.
fn models_of(provider: &dyn Provider) -> Vec<Model> {
    let named: Vec<(String, String)> = provider
        .models()
        .into_iter()
        .map(|model| match model.split_once('/') {
            Some((name, model)) => (name.to_owned(), model.to_owned()),
            None => (provider.name().to_owned(), model),
        })
        .collect();
    let whole = named
        .iter()
        .map(|(name, model)| (format!("{name}/{model}"), name));
    let alone = named.iter().map(|(name, model)| (model.clone(), name));
    let mut models: Vec<Model> = Vec::new();
    for (id, provider) in whole.chain(alone) {
        if !models.iter().any(|model| model.id == id) {
            models.push(Model {
                id,
                object: "model",
                created: 0,
                owned_by: provider.clone(),
            });
        }
    }
    models
}

/// Whether anybody could serve a model of this name. Names without a provider may mean anything.
pub(super) fn could_serve(provider: &dyn Provider, model: &str) -> bool {
    let Some((name, _)) = model.split_once('/') else {
        return true;
    };
    name == provider.name() || {
        let models = provider.models();
        models
            .iter()
            .any(|model| model.split_once('/').is_some_and(|(own, _)| own == name))
    }
}

/// List the models.
///
/// Each as `provider/model`, and by its own name alone. Full ids of models are taken too, although
/// they are not listed.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "openai",
    responses((status = 200, description = "The models", body = ModelList))
)]
pub(crate) async fn list(State(answerer): State<Answerer>) -> Json<ModelList> {
    Json(ModelList {
        object: "list",
        data: models_of(&*answerer.provider),
    })
}

/// One model.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    tag = "openai",
    params(("model" = String, Path, description = "Its name; the slash in it may be written as `%2F`")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 404, description = "It is not listed", body = ErrorBody),
    )
)]
pub(crate) async fn show(
    State(answerer): State<Answerer>,
    Path(model): Path<String>,
) -> Result<Json<Model>, ApiError> {
    named(&*answerer.provider, &model)
}

/// One model, by its provider's name and its own.
#[utoipa::path(
    get,
    path = "/v1/models/{provider}/{model}",
    tag = "openai",
    params(
        ("provider" = String, Path, description = "Its provider"),
        ("model" = String, Path, description = "Its name there"),
    ),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 404, description = "It is not listed", body = ErrorBody),
    )
)]
pub(crate) async fn show_of(
    State(answerer): State<Answerer>,
    Path((provider, model)): Path<(String, String)>,
) -> Result<Json<Model>, ApiError> {
    named(&*answerer.provider, &format!("{provider}/{model}"))
}

fn named(provider: &dyn Provider, wanted: &str) -> Result<Json<Model>, ApiError> {
    let mut models = models_of(provider).into_iter();
    let model = models.find(|model| model.id == wanted);
    model
        .map(Json)
        .ok_or_else(|| ApiError::unknown_model(wanted))
}
