//! `POST /plugins`: a component as the body, or its place in a registry.

use std::time::Duration;

use armilla_engine::{Installed, LoadView, Loading, OciSource, Upload, UploadError};
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::{FromRegistry, InstallQuery, InstalledResponse, LoadBody, LoadResponse, VersionBody};
use crate::auth::{Admin, Caller};
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText, Query};
use crate::runs::Wait;
use crate::state::ApiState;

/// The header that carries a signature.
const SIGNATURE_HEADER: &str = "x-armilla-signature";
/// A component of the largest size over a slow line takes this long.
const UPLOAD_DURATION_MAX: Duration = Duration::from_secs(240);
/// In bytes of a signature's text.
const SIGNATURE_BYTES_MAX: usize = 256;

/// Load a plugin
///
/// The body is a component (`application/wasm`, up to 64 MiB), or JSON that says where a registry has one. It is checked before
/// anything of it runs, compiled, and asked to describe itself; then it is a version, with nothing granted. Where that takes
/// longer than the wait, the answer is 202, and `Location` says where to ask how it ended. The same component again makes no second version.
#[utoipa::path(post, path = "/plugins", operation_id = "createPlugin", tag = "plugins",
    params(
        InstallQuery,
        ("wait" = Option<String>, Query, description = "How long to wait: seconds, or a duration; 60 s where absent."),
        ("X-Armilla-Signature" = Option<String>, Header, description = "`key:base64`: an Ed25519 signature of the component."),
    ),
    request_body(content(
        (Vec<u8> = "application/wasm"),
        (FromRegistry = "application/json", example = json!({ "oci": "registry.example.com/tools/shout:1.0.0" })),
    )),
    responses(
        (status = 200, description = "It was there already.", body = InstalledResponse),
        (status = 201, description = "It is loaded.", body = InstalledResponse,
            headers(("Location" = String, description = "The plugin: `/plugins/{name}`."))),
        (status = 202, description = "It is being loaded.", body = LoadResponse,
            headers(("Location" = String, description = "How far it is: `/plugin-loads/{id}`."))),
        (status = 409, description = "A name in it belongs to another plugin.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_plugin(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    Wait(bound): Wait,
    Query(query): Query<InstallQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let by = caller.subject.as_str();
    let loaded = match media_type(request.headers()).as_str() {
        "application/wasm" | "application/octet-stream" => {
            let signature = request.headers().get(SIGNATURE_HEADER).map(|value| value.to_str().unwrap_or("?"));
            let signature = signature.map(read_signature).transpose()?;
            let upload = state.engine.begin_upload().await.map_err(refused)?;
            let upload = receive(upload, request.into_body()).await?;
            state.engine.install_upload(caller.workspace, upload, signature, by, query.activate, bound).await?
        }
        "application/json" => {
            let JsonBody(body) = JsonBody::<FromRegistry>::from_request(request, &state).await?;
            let signature = body.signature.as_deref().map(read_signature).transpose()?;
            let credentials = body.credentials.map(|credentials| (credentials.username, credentials.secret));
            let source = OciSource { reference: body.oci, credentials };
            state.engine.install_from_registry(caller.workspace, source, signature, by, query.activate, bound).await?
        }
        _ => {
            let detail = "Send a component as `application/wasm`, or where it is as `application/json`.";
            return Err(Problem::new(Code::BodyMediaType, detail));
        }
    };
    match loaded {
        Loading::Ended(installed) => answer(&state, &caller, &installed),
        Loading::GoesOn(load) => Ok(going_on(*load)),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn read_signature(text: &str) -> Result<armilla_engine::Signature, Problem> {
    let bad = |why: String| Problem::new(Code::PluginBadSignature, format!("The signature cannot be read: {why}."));
    if text.len() > SIGNATURE_BYTES_MAX {
        return Err(bad(format!("it has more than {SIGNATURE_BYTES_MAX} bytes")));
    }
    text.trim().parse().map_err(|error: armilla_engine::BadSignature| bad(error.to_string()))
}

fn refused(error: UploadError) -> Problem {
    armilla_engine::InstallError::from(error).into()
}

async fn receive(mut upload: Upload, body: Body) -> Result<Upload, Problem> {
    let receiving = async {
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Problem::new(Code::BodyMalformed, "The body broke off."))?;
            upload.write(&piece).await.map_err(refused)?;
        }
        Ok(upload)
    };
    tokio::time::timeout(UPLOAD_DURATION_MAX, receiving).await.unwrap_or_else(|_| {
        let detail = format!("The body did not arrive within {} seconds.", UPLOAD_DURATION_MAX.as_secs());
        Err(Problem::new(Code::BodyTimeout, detail))
    })
}

fn answer(state: &ApiState, caller: &Caller, installed: &Installed) -> Result<Response, Problem> {
    let plugin = state.engine.plugin(caller.workspace, &installed.name)?;
    let versions = state.engine.plugin_versions(caller.workspace, &installed.name)?;
    let version = versions.into_iter().find(|version| version.version == installed.version);
    let version = version.ok_or_else(|| Problem::not_found(Code::PluginVersionNotFound))?;
    let location = format!("/plugins/{}", installed.name);
    let body = Json(InstalledResponse { plugin: plugin.into(), version: VersionBody::from(version) });
    let status = if installed.existed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, [(LOCATION, location)], body).into_response())
}

fn going_on(load: LoadView) -> Response {
    let load = LoadBody::from(load);
    let location = format!("/plugin-loads/{}", load.id);
    (StatusCode::ACCEPTED, [(LOCATION, location)], Json(LoadResponse { load })).into_response()
}

/// Ask how a plugin's loading goes
///
/// It is told for a day.
#[utoipa::path(get, path = "/plugin-loads/{id}", operation_id = "getPluginLoad", tag = "plugins",
    params(("id" = String, Path, description = "The load's id.", example = "pld_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "How far it is.", body = LoadResponse)))]
pub(crate) async fn get_plugin_load(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
) -> Result<Json<LoadResponse>, Problem> {
    let digits = id.strip_prefix("pld_").filter(|digits| digits.len() == 32);
    let id = digits.and_then(|digits| uuid::Uuid::try_parse(digits).ok());
    let id = id.ok_or_else(|| Problem::not_found(Code::PluginLoadNotFound))?;
    let load = state.engine.plugin_load(caller.workspace, id).await?;
    Ok(Json(LoadResponse { load: load.into() }))
}
