//! Runs of pipelines, of templates of them, and of chats: each is a run of a workflow that is made of the request.

mod file;
mod templates;
mod yaml;

use std::collections::HashSet;
use std::time::Duration;

use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::pipeline::{Origin, Pipeline, Stage, StageRecord, stages_of};
use armilla_domain::run::history;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use tracing::info;

pub use self::file::{FileFault, PIPELINE_TEMPLATES_FILE_BYTES_MAX, TemplatesFileError};
pub(crate) use self::templates::watch as watch_templates;
pub use self::templates::{PIPELINE_TEMPLATES_INTERVAL, PipelineTemplates, TemplatesView};
use crate::{AnswerPieces, CommandError, Engine, RunView, StartRun};

/// A pipeline to be run.
#[derive(Debug)]
pub struct RunPipeline {
    /// What the first agent is told.
    pub input: String,
    /// The agents.
    pub stages: Vec<Stage>,
}

/// A pipeline template to be filled in and run.
#[derive(Debug)]
pub struct ExecuteTemplate {
    /// Its name.
    pub template: String,
    /// What the first agent is told.
    pub input: String,
    /// Values of its variables.
    pub variables: Map<String, Value>,
}

/// A message to one agent.
#[derive(Debug)]
pub struct Chat {
    /// Which agent.
    pub agent_id: String,
    /// What it is told.
    pub message: String,
    /// What is added to its system prompt.
    pub system_prompt_suffix: Option<String>,
}

/// Who asks for a run, and how.
#[derive(Debug)]
pub struct Asking {
    /// On whose behalf.
    pub by: String,
    /// W3C `traceparent` to pass on.
    pub traceparent: Option<String>,
    /// As [`StartRun::idempotency_key`].
    pub idempotency_key: Option<String>,
    /// How long the answer waits for the run's end; not at all where it is zero.
    pub bound: Duration,
}

/// What a request to run a pipeline, or to chat, gave.
#[derive(Debug)]
pub struct StartedPipeline {
    /// The run as it stands.
    pub run: RunView,
    /// Its stages as they stand, all of them.
    pub stages: Vec<StageRecord>,
    /// Whether an earlier request with the same key started it.
    pub is_repeat: bool,
}

impl Engine {
    /// Starts a run of a pipeline, and gives it as [`Engine::start_run`] does.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault of the pipeline, an agent that is not there among them, before anything runs;
    /// otherwise as [`Engine::start_run`].
    pub async fn run_pipeline(
        &self,
        workspace: WorkspaceId,
        command: RunPipeline,
        asking: Asking,
    ) -> Result<StartedPipeline, CommandError> {
        let RunPipeline { input, stages } = command;
        let pipeline = Pipeline { origin: Origin::Pipeline, input, stages };
        let asked = json!(["pipeline", pipeline.definition(), pipeline.run_input()]);
        self.run_ad_hoc(workspace, pipeline, asked, asking).await
    }

    /// Fills in a pipeline template, and starts a run of what that gives as [`Engine::run_pipeline`] does.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] where there is no such template, and with every fault of the variables, of the input, or of what
    /// the template names and is not there; otherwise as [`Engine::start_run`].
    pub async fn execute_template(
        &self,
        workspace: WorkspaceId,
        command: ExecuteTemplate,
        asking: Asking,
    ) -> Result<StartedPipeline, CommandError> {
        let ExecuteTemplate { template: name, input, variables } = command;
        let view = self.host.pipeline_templates.view();
        let Some(template) = view.templates.iter().find(|template| template.name == name) else {
            let fault =
                Fault::new("/template", "pipeline_template.unknown", "there is no pipeline template of this name");
            return Err(CommandError::Invalid(vec![fault]));
        };
        // What was asked for, and not what it is made into: a template that was changed meanwhile makes no other request of it.
        let asked = json!(["template", name, input, variables]);
        let pipeline = template.fill(input, &variables, &self.host.templates).map_err(CommandError::Invalid)?;
        let started = self.run_ad_hoc(workspace, pipeline, asked, asking).await;
        started.map_err(|error| match error {
            CommandError::Invalid(faults) => {
                CommandError::Invalid(faults.into_iter().map(|fault| of_template(&name, fault)).collect())
            }
            other => other,
        })
    }

    /// Sends one message to an agent by a run of one step, and gives it as [`Engine::start_run`] does.
    ///
    /// # Errors
    /// As [`Engine::run_pipeline`].
    pub async fn chat(
        &self,
        workspace: WorkspaceId,
        command: Chat,
        asking: Asking,
    ) -> Result<StartedPipeline, CommandError> {
        let Chat { agent_id, message, system_prompt_suffix } = command;
        let stages = vec![Stage { agent_id, system_prompt_suffix }];
        let pipeline = Pipeline { origin: Origin::Chat, input: message, stages };
        let asked = json!(["chat", pipeline.definition(), pipeline.run_input()]);
        self.run_ad_hoc(workspace, pipeline, asked, asking).await
    }

    /// As [`Engine::chat`], without waiting for its end: gives the run's id, and the pieces of the agent's answer as they come, from the
    /// first on.
    ///
    /// # Errors
    /// As [`Engine::chat`].
    pub async fn chat_in_pieces(
        &self,
        workspace: WorkspaceId,
        command: Chat,
        asking: Asking,
    ) -> Result<(StartedPipeline, AnswerPieces), CommandError> {
        let Chat { agent_id, message, system_prompt_suffix } = command;
        let stages = vec![Stage { agent_id, system_prompt_suffix }];
        let pipeline = Pipeline { origin: Origin::Chat, input: message, stages };
        let asked = json!(["chat", pipeline.definition(), pipeline.run_input()]);
        let id = self.host.next_id();
        // Before the run is there, so that no piece is missed.
        let pieces = self.host.deltas.follow(id);
        let asking = Asking { bound: Duration::ZERO, ..asking };
        Ok((self.run_ad_hoc_as(workspace, id, pipeline, asked, asking).await?, pieces))
    }

    /// How a run of a pipeline, or a chat, stands, once it has ended or `bound` is over.
    ///
    /// # Errors
    /// Where there is no such run, or the database is away.
    pub async fn ended_pipeline(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        bound: Duration,
    ) -> Result<(RunView, Vec<StageRecord>), CommandError> {
        let waiter = self.host.waiting.join(run);
        let view = match self.host.store.has_ended(workspace, run).await? {
            Some(false) => self.wait_for_end(waiter, workspace, run, bound).await?,
            _ => self.run(workspace, run).await?,
        };
        let stages = self.stages(&view).await?;
        Ok((view, stages))
    }

    /// The pipeline templates that there are.
    pub fn pipeline_templates(&self) -> TemplatesView {
        self.host.pipeline_templates.view()
    }

    async fn run_ad_hoc(
        &self,
        workspace: WorkspaceId,
        pipeline: Pipeline,
        asked: Value,
        asking: Asking,
    ) -> Result<StartedPipeline, CommandError> {
        let id = self.host.next_id();
        self.run_ad_hoc_as(workspace, id, pipeline, asked, asking).await
    }

    async fn run_ad_hoc_as(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        pipeline: Pipeline,
        asked: Value,
        asking: Asking,
    ) -> Result<StartedPipeline, CommandError> {
        let named = self.host.store.agents_among(workspace, &pipeline.agents()).await?;
        let faults = pipeline.faults(&named.into_iter().collect::<HashSet<_>>());
        if !faults.is_empty() {
            return Err(CommandError::Invalid(faults));
        }
        let start = async || {
            let workflow = self.ensure_workflow(workspace, &pipeline, &asking.by).await?;
            let command = StartRun {
                workflow,
                version: None,
                input: pipeline.run_input(),
                traceparent: asking.traceparent.clone(),
                idempotency_key: asking.idempotency_key.clone(),
            };
            self.start_asked_as(workspace, id, command, asked.clone(), asking.bound).await
        };
        let started = match start().await {
            // One that nobody used for long was removed between the two statements.
            Err(CommandError::UnknownWorkflow(_)) => start().await?,
            started => started?,
        };
        let stages = self.stages(&started.run).await?;
        Ok(StartedPipeline { run: started.run, stages, is_repeat: started.is_repeat })
    }

    /// The workflow that a pipeline is, made where nobody ran one like it in the workspace before.
    async fn ensure_workflow(
        &self,
        workspace: WorkspaceId,
        pipeline: &Pipeline,
        by: &str,
    ) -> Result<WorkflowId, CommandError> {
        let (definition, origin) = (pipeline.definition(), pipeline.origin.as_str());
        let text = definition.to_string();
        let id = ad_hoc_id(workspace, origin, &text);
        if self.host.definitions.newest(workspace, id).is_some() {
            return Ok(id);
        }
        let checked = self.check_definition(workspace, &definition).await?;
        let row = armilla_store::NewWorkflow {
            id,
            workspace,
            name: &pipeline.name(),
            description: None,
            definition: &text,
            warnings: &serde_json::to_string(&checked.warnings).unwrap_or_default(),
            by,
            on_events: None,
        };
        self.host.store.ensure_ad_hoc_workflow(row, origin).await?;
        info!(workflow.id = %id, workspace.id = %workspace, "Workflow `{id}` is there for runs of a {origin}");
        Ok(id)
    }

    /// How the stages of a run stand.
    async fn stages(&self, run: &RunView) -> Result<Vec<StageRecord>, CommandError> {
        let journal = match self.host.store.journal(run.id).await {
            // Whoever started the run must learn its id, even if no more can be said right now.
            Err(error) if error.is_unavailable() => Vec::new(),
            journal => journal?,
        };
        let workflow = self.host.workflow(run.workflow, run.version).await?;
        Ok(stages_of(&workflow, &history(&journal)))
    }
}

/// A fault of what a template was made into, for a caller who wrote its name.
fn of_template(name: &str, fault: Fault) -> Fault {
    let Some(place) = fault.pointer.strip_prefix("/stages/") else { return fault };
    let index = place.split('/').next().and_then(|index| index.parse::<usize>().ok()).unwrap_or_default();
    let detail = format!("stage {} of `{name}`: {}", index + 1, fault.detail);
    Fault { pointer: "/template".to_owned(), detail, ..fault }
}

/// The same for the same definition in the same workspace.
fn ad_hoc_id(workspace: WorkspaceId, origin: &str, definition: &str) -> WorkflowId {
    let mut digest = Sha256::new();
    // Neither of the first two has a line feed, so that no two different ones are the same bytes.
    digest.update(format!("{workspace}\n{origin}\n{definition}").as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    WorkflowId::from_digest(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_pipeline_is_the_same_workflow_in_its_workspace_and_nowhere_else() {
        let (one, two) = (WorkspaceId::from_parts(1, [1; 10]), WorkspaceId::from_parts(1, [2; 10]));
        let id = ad_hoc_id(one, "chat", "{}");
        assert_eq!(id, ad_hoc_id(one, "chat", "{}"));
        assert!(
            ![ad_hoc_id(two, "chat", "{}"), ad_hoc_id(one, "pipeline", "{}"), ad_hoc_id(one, "chat", "[]")]
                .contains(&id)
        );
    }

    #[test]
    fn what_a_template_names_and_is_not_there_is_told_of_the_template() {
        let told =
            of_template("brief", Fault::new("/stages/2/agentId", "pipeline.unknown_agent", "there is no agent `x`"));
        assert_eq!((told.pointer.as_str(), told.code.as_str()), ("/template", "pipeline.unknown_agent"));
        assert_eq!(told.detail, "stage 3 of `brief`: there is no agent `x`");
        let kept = Fault::new("/input", "pipeline.input_empty", "`input` is empty");
        assert_eq!(of_template("brief", kept.clone()), kept);
    }
}
