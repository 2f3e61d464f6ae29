//! The one list of routes. Each is registered with its documentation in one breath, so that neither is there without the other.

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::authenticate;
use crate::openapi::{self, Access, ApiDoc, Document};
use crate::problem::{self, Code, Problem};
use crate::request::once::{OncePaths, answer_once};
use crate::request::{QueryNames, bound_duration, identify, panicked, read_what_is_left, refuse_unknown_queries};
use crate::state::ApiState;
use crate::{
    agents, approvals, chat, events, health, hooks, pipelines, plugins, prompts, runs, schedules, secrets, tools,
    webhooks, workflows,
};

/// Everybody may ask these.
fn public() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::openapi_json))
        .routes(routes!(problem::kind::get_problem_kind))
        .routes(routes!(hooks::call_hook))
}

/// These need a token.
fn protected() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(workflows::list_workflows, workflows::create_workflow))
        .routes(routes!(workflows::validate_workflow))
        .routes(routes!(workflows::get_workflow, workflows::revise_workflow, workflows::delete_workflow))
        .routes(routes!(workflows::list_workflow_versions))
        .routes(routes!(workflows::get_workflow_version))
        .routes(routes!(workflows::restore_workflow_version))
        .routes(routes!(workflows::diff_workflow_versions))
        .routes(routes!(workflows::test_workflow))
        .routes(routes!(runs::start_run))
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::list_all_runs))
        .routes(routes!(runs::bulk_runs))
        .routes(routes!(runs::get_run))
        .routes(routes!(runs::list_steps))
        .routes(routes!(runs::follow_run))
        .routes(routes!(runs::cancel_run))
        .routes(routes!(runs::pause_run))
        .routes(routes!(runs::resume_run))
        .routes(routes!(runs::retry_run))
        .routes(routes!(runs::fork_run))
        .routes(routes!(runs::signal_run))
        .routes(routes!(schedules::list_schedules, schedules::create_schedule))
        .routes(routes!(schedules::get_schedule, schedules::replace_schedule, schedules::delete_schedule))
        .routes(routes!(schedules::pause_schedule))
        .routes(routes!(schedules::resume_schedule))
        .routes(routes!(schedules::run_schedule))
        .routes(routes!(schedules::backfill_schedule))
        .routes(routes!(schedules::list_occurrences))
        .routes(routes!(approvals::list_approvals))
        .routes(routes!(approvals::get_approval))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(agents::list_agents, agents::create_agent))
        .routes(routes!(agents::get_agent, agents::replace_agent, agents::delete_agent))
        .routes(routes!(agents::list_agent_versions))
        .routes(routes!(agents::get_agent_version))
        .routes(routes!(agents::roll_back_agent))
        .routes(routes!(agents::clone_agent))
        .routes(routes!(agents::test_agent))
        .routes(routes!(chat::chat))
        .routes(routes!(chat::chat_in_pieces))
        .routes(routes!(pipelines::run_pipeline))
        .routes(routes!(pipelines::list_pipeline_templates))
        .routes(routes!(pipelines::execute_pipeline_template))
        .routes(routes!(prompts::list_prompt_templates, prompts::create_prompt_template))
        .routes(routes!(prompts::get_prompt_template, prompts::revise_prompt_template, prompts::delete_prompt_template))
        .routes(routes!(prompts::list_prompt_template_versions))
        .routes(routes!(prompts::render_prompt_template))
        .routes(routes!(prompts::list_prompt_versions, prompts::create_prompt_version))
        .routes(routes!(prompts::get_prompt_version))
        .routes(routes!(prompts::restore_prompt_version))
        .routes(routes!(prompts::diff_prompt_versions))
        .routes(routes!(prompts::get_prompt_metrics))
        .routes(routes!(prompts::list_prompt_labels))
        .routes(routes!(prompts::move_prompt_label, prompts::delete_prompt_label))
        .routes(routes!(prompts::list_prompt_label_moves))
        .routes(routes!(prompts::get_prompt_override, prompts::set_prompt_override, prompts::end_prompt_override))
        .routes(routes!(prompts::list_prompt_overrides))
        .routes(routes!(tools::list_tools))
        .routes(routes!(tools::get_tool))
        .routes(routes!(tools::invoke_tool))
        .routes(routes!(plugins::list_plugins, plugins::create_plugin))
        .routes(routes!(plugins::get_plugin, plugins::delete_plugin))
        .routes(routes!(plugins::get_plugin_load))
        .routes(routes!(plugins::list_plugin_versions))
        .routes(routes!(plugins::delete_plugin_version))
        .routes(routes!(plugins::activate_plugin_version))
        .routes(routes!(plugins::roll_back_plugin))
        .routes(routes!(plugins::enable_plugin))
        .routes(routes!(plugins::disable_plugin))
        .routes(routes!(plugins::get_plugin_grant, plugins::put_plugin_grant))
        .routes(routes!(plugins::list_plugin_grants))
        .routes(routes!(secrets::list_secrets))
        .routes(routes!(secrets::put_secret, secrets::delete_secret))
        .routes(routes!(hooks::list_inbound_hooks, hooks::create_inbound_hook))
        .routes(routes!(hooks::get_inbound_hook, hooks::replace_inbound_hook, hooks::delete_inbound_hook))
        .routes(routes!(hooks::rotate_inbound_hook_token))
        .routes(routes!(hooks::list_inbound_hook_calls))
        .routes(routes!(events::list_events))
        .routes(routes!(events::follow_events))
        .routes(routes!(events::get_event))
        .routes(routes!(events::list_event_types))
        .routes(routes!(events::get_event_type))
        .routes(routes!(events::list_event_starts))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(webhooks::get_webhook, webhooks::replace_webhook, webhooks::delete_webhook))
        .routes(routes!(webhooks::rotate_webhook_secret))
        .routes(routes!(webhooks::enable_webhook))
        .routes(routes!(webhooks::disable_webhook))
        .routes(routes!(webhooks::test_webhook))
        .routes(routes!(webhooks::enable_webhook_test_mode))
        .routes(routes!(webhooks::disable_webhook_test_mode))
        .routes(routes!(webhooks::list_captured_deliveries))
        .routes(routes!(webhooks::list_deliveries))
        .routes(routes!(webhooks::list_webhook_deliveries))
        .routes(routes!(webhooks::get_delivery))
        .routes(routes!(webhooks::resend_delivery))
        .routes(routes!(webhooks::recover_webhook))
        .routes(routes!(webhooks::replay_webhook))
}

/// The OpenAPI document of every route.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = ApiDoc::openapi();
    for (routes, access) in [(public(), Access::Public), (protected(), Access::Bearer)] {
        let mut part = routes.into_openapi();
        openapi::complete(&mut part, access);
        document.merge(part);
    }
    events::describe(&mut document);
    document
}

/// The whole API as a service.
pub fn router(state: ApiState) -> Router {
    serve(public().into(), protected().into(), state)
}

/// What holds for every route, and for what is no route. The last layer is the first to see a request.
fn serve(public: Router<ApiState>, protected: Router<ApiState>, state: ApiState) -> Router {
    let document = document();
    let names = QueryNames::of(&document);
    let once = (state.clone(), OncePaths::of(&document));
    // Who may not ask is told that first. An inbound hook takes what its sender likes, and is public.
    let protected = protected
        .route_layer(from_fn_with_state(once, answer_once))
        .route_layer(from_fn_with_state(names, refuse_unknown_queries))
        .route_layer(from_fn_with_state(state.clone(), authenticate));
    public
        // Around the routes and nothing else: what is no route is not there for anybody, token or not.
        .merge(protected)
        .fallback(async || Problem::not_found(Code::RouteNotFound))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "The header `Allow` lists those it knows.")
        })
        .layer(Extension(Document::new(&document)))
        .layer(Extension(runs::StreamRoom::new()))
        .layer(from_fn(bound_duration))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(read_what_is_left))
        .layer(from_fn_with_state(state.clone(), identify))
        .with_state(state)
}

#[cfg(test)]
mod tests;
