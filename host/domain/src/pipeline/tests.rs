use std::sync::Arc;

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::definition::{Known, Workflow, check};
use crate::journal::{Entry, Event, Measured, ScopePath, Usage, Visit};
use crate::run::history;
use crate::template::{Scope, Templates};

fn stage(agent: &str, suffix: Option<&str>) -> Stage {
    Stage { agent_id: agent.to_owned(), system_prompt_suffix: suffix.map(str::to_owned) }
}

fn pipeline(input: &str, stages: Vec<Stage>) -> Pipeline {
    Pipeline { origin: Origin::Pipeline, input: input.to_owned(), stages }
}

fn known() -> HashSet<String> {
    HashSet::from(["a".to_owned(), "b".to_owned()])
}

fn codes(faults: &[Fault]) -> Vec<(&str, &str)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect()
}

fn workflow_of(pipeline: &Pipeline) -> Workflow {
    let checked = check(&pipeline.definition(), &Known { agents: known(), ..Known::default() }, &Templates::new());
    let checked = checked.unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(checked.warnings, []);
    checked.workflow
}

#[test]
fn a_pipeline_is_a_linear_workflow_without_faults_or_warnings() {
    for origin in [Origin::Pipeline, Origin::Chat] {
        for suffix in [None, Some("Be brief.")] {
            let stages = if origin == Origin::Chat { 1 } else { PIPELINE_STAGES_MAX };
            let pipeline = Pipeline { origin, ..pipeline("x", vec![stage("a", suffix); stages]) };
            let workflow = workflow_of(&pipeline);
            assert_eq!(workflow.steps.len(), stages);
            let schema = workflow.input_schema.unwrap();
            assert_eq!(schema.faults(&pipeline.run_input()), [], "{}", pipeline.run_input());
            assert_ne!(schema.faults(&json!({})), []);
        }
    }
}

#[test]
fn what_a_caller_writes_is_in_the_input_and_never_in_the_definition() {
    let written = pipeline("{{ 7 * 6 }}", vec![stage("a", Some("{% raw %}")), stage("b", None)]);
    let other = pipeline("else", vec![stage("a", Some("other")), stage("b", None)]);
    assert_eq!(written.definition(), other.definition());
    assert_eq!(written.run_input(), json!({ "message": "{{ 7 * 6 }}", "systemPromptSuffixes": ["{% raw %}", null] }));
    assert_eq!(pipeline("x", vec![stage("a", Some(""))]).run_input(), json!({ "message": "x" }));
    let scope: Scope = [("input", written.run_input())].into_iter().collect();
    let step = &written.definition()["steps"][0];
    let rendered = |field: &str| Templates::new().render(step[field].as_str().unwrap(), &scope).unwrap();
    assert_eq!((rendered("message"), rendered("systemPromptSuffix")), ("{{ 7 * 6 }}".into(), "{% raw %}".into()));
}

#[test]
fn bounds_count_characters_and_not_bytes() {
    let of = |chars: usize| pipeline(&"😀".repeat(chars), vec![stage("a", None)]);
    assert_eq!(of(PIPELINE_INPUT_CHARS_MAX).faults(&known()), []);
    let faults = of(PIPELINE_INPUT_CHARS_MAX + 1).faults(&known());
    assert_eq!(codes(&faults), [("/input", "pipeline.input_too_long")]);
}

#[test]
fn every_fault_has_a_code_of_its_own_and_all_come_at_once() {
    let long = "x".repeat(STAGE_SUFFIX_CHARS_MAX + 1);
    let stages = vec![stage("", None), stage("nobody", None), stage("No Id\0", None), stage("a", Some(&long))];
    assert_eq!(
        codes(&pipeline("", stages).faults(&known())),
        [
            ("/input", "pipeline.input_empty"),
            ("/stages/0/agentId", "pipeline.agent_empty"),
            ("/stages/1/agentId", "pipeline.unknown_agent"),
            ("/stages/2/agentId", "pipeline.unknown_agent"),
            ("/stages/3/systemPromptSuffix", "pipeline.suffix_too_long"),
        ]
    );
    let of = |stages| pipeline("x", vec![stage("a", None); stages]).faults(&known());
    assert_eq!(codes(&of(0)), [("/stages", "pipeline.no_stages")]);
    assert_eq!(of(PIPELINE_STAGES_MAX), []);
    assert_eq!(codes(&of(PIPELINE_STAGES_MAX + 1)), [("/stages", "pipeline.too_many_stages")]);
    let chat = Pipeline { origin: Origin::Chat, ..pipeline("", vec![stage("", None)]) };
    assert_eq!(codes(&chat.faults(&known())), [("/message", "chat.message_empty"), ("/agentId", "chat.agent_empty")]);
}

#[test]
fn only_ids_that_can_be_an_agents_are_asked_for_and_each_once() {
    let named = pipeline("x", vec![stage("a", None), stage("a", None), stage("A\0", None), stage("", None)]);
    assert_eq!(named.agents(), ["a"]);
}

#[test]
fn a_name_fits_on_a_line_however_long_the_pipeline() {
    assert_eq!(pipeline("x", vec![stage("a", None), stage("b", None)]).name(), "Pipeline: a → b");
    let long = pipeline("x", vec![stage(&"a".repeat(64), None); 20]).name();
    assert_eq!((long.chars().count(), long.chars().last()), (NAME_CHARS_MAX, Some('…')));
}

#[test]
fn stages_are_told_with_the_time_and_tokens_of_all_their_attempts() {
    let workflow = workflow_of(&pipeline("x", vec![stage("a", None), stage("b", None), stage("a", None)]));
    let at = |event| Entry { at: DateTime::from_timestamp(1, 0).unwrap(), event };
    let visit = |step: &str| Visit { scope: ScopePath::default(), step: step.to_owned(), number: 1 };
    let started = |step: &str| Event::StepStarted {
        visit: visit(step),
        input: Arc::new(json!({ "message": "m" })),
        deadline: None,
    };
    let usage = Some(Usage { input_tokens: 3, output_tokens: 4, cost_micros: None });
    let journal = [
        at(started("stage-1")),
        at(Event::AttemptFailed {
            visit: visit("stage-1"),
            attempt: 1,
            error: crate::call::CallError::permanent("agent.server_error", "500"),
            retry_at: DateTime::from_timestamp(2, 0).unwrap(),
            duration_ms: 5,
        }),
        at(Event::StepSucceeded {
            visit: visit("stage-1"),
            attempt: 2,
            output: Arc::new(json!("notes")),
            measured: Some(Measured {
                duration_ms: 7,
                input_bytes: 1,
                output_bytes: 1,
                answerer: None,
                usage,
                prompt: None,
            }),
            signal: None,
        }),
        at(started("stage-2")),
    ];
    let stages = stages_of(&workflow, &history(&journal));
    let seen: Vec<_> = stages.iter().map(|one| (one.agent_id.as_str(), one.status, one.attempts)).collect();
    use StageStatus::{Pending, Running, Success};
    assert_eq!(seen, [("a", Success, 2), ("b", Running, 1), ("a", Pending, 0)]);
    assert_eq!((&*stages[0].output, stages[0].duration_ms), (&json!("notes"), Some(12)));
    assert_eq!((stages[1].duration_ms, &*stages[2].output), (None, &Value::Null));
    assert_eq!(StageRecord::usage_of(&stages), usage);
}

mod templates {
    use super::*;

    fn document() -> Value {
        json!({ "templates": [{
            "name": "brief",
            "description": "Two agents.",
            "variables": {
                "topic": { "description": "About what." },
                "words": { "default": 200 },
                "tone": { "required": false },
            },
            "stages": [
                { "agentId": "a", "systemPromptSuffix": "On {{ topic }}, in {{ words }} words.{% if tone %} Be {{ tone }}.{% endif %}" },
                { "agentId": "b" },
            ],
            "example": { "input": "x", "variables": { "topic": "tides" } },
        }] })
    }

    fn read(document: &Value) -> Result<Vec<PipelineTemplate>, Vec<Fault>> {
        PipelineTemplate::read_all(document, &Templates::new())
    }

    fn fill(given: Value) -> Result<Pipeline, Vec<Fault>> {
        let Value::Object(given) = given else { panic!("variables are an object") };
        read(&document()).unwrap()[0].fill("x".to_owned(), &given, &Templates::new())
    }

    #[test]
    fn a_template_is_filled_in_with_what_is_given_and_its_defaults() {
        let suffix = |given| fill(given).unwrap().stages[0].system_prompt_suffix.clone().unwrap();
        assert_eq!(suffix(json!({ "topic": "tides" })), "On tides, in 200 words.");
        assert_eq!(suffix(json!({ "topic": "t", "words": 5, "tone": "calm" })), "On t, in 5 words. Be calm.");
        assert_eq!(suffix(json!({ "topic": "{{ words }}" })), "On {{ words }}, in 200 words.", "a value is data");
        assert_eq!(fill(json!({ "topic": "t" })).unwrap().stages[1], stage("b", None));
    }

    #[test]
    fn a_missing_and_an_unknown_variable_are_named() {
        let faults = fill(json!({ "tpoic": "tides", "words": [1] })).unwrap_err();
        assert_eq!(
            codes(&faults),
            [
                ("/variables/tpoic", "pipeline_template.unknown_variable"),
                ("/variables/words", "pipeline_template.variable_value"),
                ("/variables/topic", "pipeline_template.missing_variable"),
            ]
        );
        assert!(faults[0].detail.contains("`tpoic`") && faults[2].detail.contains("`topic`"), "{faults:?}");
        let long = "x".repeat(TEMPLATE_VARIABLE_CHARS_MAX + 1);
        let faults = fill(json!({ "topic": long })).unwrap_err();
        assert_eq!(codes(&faults), [("/variables/topic", "pipeline_template.variable_value")]);
    }

    #[test]
    fn every_fault_of_a_document_is_found_at_its_place() {
        let bad = json!({ "templates": [
            { "name": "Brief", "description": "", "stages": [{ "agentId": "a", "systemPromptSuffix": "{{ oops" }] },
            { "name": "two", "description": "d", "stages": [], "more": 1 },
            { "name": "two", "description": "d", "variables": { "1st": null, "b": { "default": "x", "required": true } },
              "stages": [{ "agentId": "A b", "systemPromptSuffix": "{{ nobody }}" }, 7] },
            { "name": "two", "description": "d", "variables": { "c": {} }, "stages": [{ "agentId": "a" }],
              "example": { "input": "x", "variables": { "d": 1 } } },
            { "description": "d" },
        ] });
        assert_eq!(
            codes(&read(&bad).unwrap_err()),
            [
                ("/templates/0/name", "pipeline_template.name"),
                ("/templates/0/description", "pipeline_template.text"),
                ("/templates/0/stages/0/systemPromptSuffix", "pipeline_template.template"),
                ("/templates/1/more", "pipeline_template.unknown_field"),
                ("/templates/1/stages", "pipeline_template.length"),
                ("/templates/2/variables/1st", "pipeline_template.variable_name"),
                ("/templates/2/variables/b/required", "pipeline_template.required"),
                ("/templates/2/stages/0/agentId", "pipeline_template.agent_id"),
                ("/templates/2/stages/0/systemPromptSuffix", "pipeline_template.undeclared_variable"),
                ("/templates/2/stages/1", "pipeline_template.type"),
                ("/templates/2/name", "pipeline_template.duplicate_name"),
                ("/templates/3/example/variables/d", "pipeline_template.unknown_variable"),
                ("/templates/3/example/variables/c", "pipeline_template.missing_variable"),
                ("/templates/3/name", "pipeline_template.duplicate_name"),
                ("/templates/4", "pipeline_template.missing"),
                ("/templates/4", "pipeline_template.missing"),
            ]
        );
        for (none, code) in [(json!(null), "type"), (json!([]), "type"), (json!({}), "missing")] {
            assert_eq!(codes(&read(&none).unwrap_err()), [("", format!("pipeline_template.{code}").as_str())]);
        }
    }
}
