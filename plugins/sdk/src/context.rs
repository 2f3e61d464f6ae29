use std::time::Duration;

/// Which attempt of which visit of which step of which run a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The run's id: `run_` and 32 hexadecimal digits.
    pub run: String,
    /// The step's id in its workflow.
    pub step: String,
    /// Which execution of the step this is, from 1.
    pub visit: u32,
    /// Which try of the visit this is, from 1.
    pub attempt: u32,
    /// The same for every attempt of one visit, so that an effect can be made to happen once.
    pub idempotency_key: String,
    /// How long the whole call may take, counted from its start; past it the instance is gone.
    pub timeout: Duration,
}

impl Context {
    /// The first attempt of a made-up step, for tests.
    pub fn example() -> Self {
        Self {
            run: "run_00000000000000000000000000000001".to_owned(),
            step: "example".to_owned(),
            visit: 1,
            attempt: 1,
            idempotency_key: "example-1".to_owned(),
            timeout: Duration::from_secs(30),
        }
    }
}
