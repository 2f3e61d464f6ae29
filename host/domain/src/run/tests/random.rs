//! Random definitions, read off a tape of numbers: a tape of zeros, or none, is the simplest one.

use serde_json::{Map, Value, json};

/// How deep lists nest.
const DEPTH_MAX: usize = 3;
/// Steps in all.
const STEPS: usize = 24;
/// Executions that a run may make.
pub(super) const EXECUTIONS_MAX: u32 = 60;

/// Numbers that choose; zeros after its end.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    numbers: Vec<u16>,
    next: usize,
}

impl Tape {
    pub(super) fn new(numbers: Vec<u16>) -> Self {
        Self { numbers, next: 0 }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.next >= self.numbers.len()
    }

    /// One of `0..count`.
    pub(super) fn pick(&mut self, count: usize) -> usize {
        let number = self.numbers.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        usize::from(number) % count
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.pick(times) == times - 1
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.pick(choices.len())]
    }
}

pub(super) struct Builder {
    tape: Tape,
    /// Whether steps name others of their list.
    jumps: bool,
    /// Whether nothing fails of itself, as in a version in which somebody mended it.
    mended: bool,
    steps: usize,
}

/// What the random definitions read.
pub(super) fn input() -> Value {
    json!({ "x": 1, "yes": true, "no": false, "list": [3, 1, 2], "empty": [] })
}

pub(super) fn definition(numbers: &[u16], jumps: bool, mended: bool) -> Value {
    let mut builder = Builder { tape: Tape::new(numbers.to_vec()), jumps, mended, steps: 0 };
    let steps = builder.list(0, false);
    let mut definition = json!({ "maxSteps": EXECUTIONS_MAX, "steps": steps, "output": { "x": "x" } });
    if builder.tape.once_in(4) {
        definition["timeout"] = json!("1h");
    }
    definition
}

impl Builder {
    fn list(&mut self, depth: usize, shared: bool) -> Value {
        let count = 1 + self.tape.pick(if depth == 0 { 5 } else { 3 });
        let ids: Vec<String> = (0..count).map(|_| self.id()).collect();
        let mut steps: Vec<Value> = (0..count).map(|position| self.step(&ids, position, depth, shared)).collect();
        if self.mended {
            // A version has more steps than the one before it, too.
            steps.push(json!({ "type": "agent", "id": format!("{}_more", ids[0]), "agentId": "a", "message": "more" }));
        }
        Value::Array(steps)
    }

    fn id(&mut self) -> String {
        self.steps += 1;
        format!("s{}", self.steps)
    }

    /// `shared` is whether other lists run at the same time, which no variable may be contested with.
    fn step(&mut self, ids: &[String], position: usize, depth: usize, shared: bool) -> Value {
        let id = &ids[position];
        let has_room = depth < DEPTH_MAX && self.steps < STEPS;
        let kinds = if has_room { 15 } else { 10 };
        let mut step = match self.tape.pick(kinds) {
            0 | 1 => json!({ "type": "agent", "agentId": "a", "message": self.message() }),
            2 => json!({ "type": "tool", "toolName": "t", "params": { "x": "{{ x }}" } }),
            3 => json!({ "type": "wait", "duration": self.tape.of(&["1s", "0s", "5m", "{{ nothing }}"]) }),
            4 => self.wait(),
            5 => json!({ "type": "approval", "message": self.message(),
                         "onTimeout": self.tape.of(&["deny", "approve", "fail"]) }),
            6 => {
                json!({ "type": "workflow", "workflowId": "wf_00000000000070008000000000000001", "input": { "x": "{{ x }}" } })
            }
            7 => match shared {
                true => json!({ "type": "set", "vars": { format!("v_{id}"): self.number() } }),
                false => json!({ "type": "set", "vars": { "x": self.number() } }),
            },
            8 => self.choice(ids, position, depth, shared),
            9 => self.end(),
            10 => json!({ "type": "parallel", "steps": self.branches(depth) }),
            11 => json!({ "type": "forEach", "items": self.items(), "steps": self.list(depth + 1, true) }),
            12 => self.repeat(depth, shared),
            13 => self.choice(ids, position, depth, shared),
            _ => {
                json!({ "type": "forEach", "items": self.items(), "as": "thing", "steps": self.list(depth + 1, true) })
            }
        };
        step["id"] = json!(id);
        self.common(&mut step, ids, position);
        step
    }

    fn common(&mut self, step: &mut Value, ids: &[String], position: usize) {
        let id = ids[position].clone();
        let kind = step["type"].as_str().unwrap_or_default().to_owned();
        let ends = ["return", "fail"].contains(&kind.as_str());
        if !ends && self.tape.once_in(2) {
            step["outputVar"] = json!(format!("v_{id}"));
        }
        if ends || self.tape.once_in(6) {
            step["when"] = json!(self.test());
        }
        if !ends && self.jumps && self.tape.once_in(8) {
            step["next"] = json!(self.sibling(ids));
        }
        match self.tape.pick(6) {
            4 => step["onError"] = json!("continue"),
            5 if self.jumps => step["onError"] = json!(self.sibling(ids)),
            _ => {}
        }
        if ["parallel", "forEach"].contains(&kind.as_str()) {
            if self.tape.once_in(2) {
                step["onFailure"] = json!("waitAll");
            }
            if self.tape.once_in(2) {
                step["maxConcurrency"] = json!(1 + self.tape.pick(3));
            }
        }
        let is_plain_wait = kind == "wait" && step.get("event").is_none();
        if !is_plain_wait && self.tape.once_in(4) {
            step["timeout"] = json!(self.tape.of(&["30s", "2m", "1s"]));
        }
        if !is_plain_wait && self.tape.once_in(6) {
            step["totalTimeout"] = json!(self.tape.of(&["1m", "5s"]));
        }
        if kind == "workflow" && self.tape.once_in(2) {
            step["retry"] = json!({ "maxAttempts": 2, "initialDelay": "2s" });
        }
    }

    fn sibling(&mut self, ids: &[String]) -> String {
        ids[self.tape.pick(ids.len())].clone()
    }

    fn message(&mut self) -> &'static str {
        let messages = ["do {{ x }}", "{{ errors }} {{ run.id }}", "{{ input }}", "{{ nobody }}"];
        messages[self.tape.pick(if self.mended { 3 } else { 4 })]
    }

    fn test(&mut self) -> &'static str {
        let tests = ["input.yes", "input.no", "x == 2", "x is odd", "errors", "nobody"];
        tests[self.tape.pick(if self.mended { 5 } else { 6 })]
    }

    fn number(&mut self) -> &'static str {
        let numbers = ["x + 1", "2", "input.list | length", "{{ x }}", "nobody.x"];
        numbers[self.tape.pick(if self.mended { 4 } else { 5 })]
    }

    fn items(&mut self) -> &'static str {
        let items = ["input.list", "[1, 2, 3, 4, 5]", "input.empty", "[x]", "x"];
        items[self.tape.pick(if self.mended { 4 } else { 5 })]
    }

    fn wait(&mut self) -> Value {
        match self.tape.pick(4) {
            0 => json!({ "type": "wait", "event": "go" }),
            1 => json!({ "type": "wait", "event": "go", "match": "event.n > 1" }),
            2 => json!({ "type": "wait", "event": "stop" }),
            _ => json!({ "type": "wait", "until": "{{ run.startedAt }}" }),
        }
    }

    fn end(&mut self) -> Value {
        match self.tape.pick(2) {
            0 => json!({ "type": "return", "output": { "x": "x" } }),
            _ => json!({ "type": "fail", "message": "because {{ x }}", "code": "my.own" }),
        }
    }

    fn repeat(&mut self, depth: usize, shared: bool) -> Value {
        let mut repeat = json!({ "type": "loop", "maxIterations": 1 + self.tape.pick(4) });
        let key = self.tape.of(&["while", "until"]);
        repeat[key] = json!(self.tape.of(&["iteration < 2", "x > 3", "input.yes"]));
        repeat["steps"] = self.list(depth + 1, shared);
        repeat
    }

    fn branches(&mut self, depth: usize) -> Value {
        let count = 1 + self.tape.pick(3);
        Value::Array((0..count).map(|_| self.list(depth + 1, true)).collect())
    }

    fn choice(&mut self, ids: &[String], position: usize, depth: usize, shared: bool) -> Value {
        let mut ways: Vec<Option<Value>> = (0..3).map(|_| self.way(ids, position, depth, shared)).collect();
        if self.tape.once_in(2) {
            let mut condition = json!({ "type": "condition", "expr": self.test() });
            if self.tape.once_in(4) {
                condition["evaluator"] = json!("cel");
            }
            condition["then"] = ways[0].take().unwrap_or_else(|| json!(ids[(position + 1) % ids.len()]));
            if let Some(otherwise) = ways[1].take() {
                condition["else"] = otherwise;
            }
            return condition;
        }
        let mut cases = Vec::new();
        for way in &mut ways[..2] {
            let mut case = Map::new();
            case.insert("when".into(), json!(self.test()));
            case.extend(way.take().map(|way| ("then".to_owned(), way)));
            cases.push(case);
        }
        let mut switch = json!({ "type": "switch", "cases": cases });
        if let Some(default) = ways[2].take() {
            switch["default"] = default;
        }
        switch
    }

    fn way(&mut self, ids: &[String], position: usize, depth: usize, shared: bool) -> Option<Value> {
        match self.tape.pick(4) {
            0 => None,
            1 if depth < DEPTH_MAX && self.steps < STEPS => Some(self.list(depth + 1, shared)),
            2 if self.jumps => Some(json!([self.sibling(ids), self.sibling(ids)])),
            _ if self.jumps => Some(json!(self.sibling(ids))),
            _ => ids.get(position + 1).map(|next| json!(next)),
        }
    }
}
