use crate::{Context, Error, schema};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A function that can be a tool: from one input, or from an input and a `&Context`, to a `Result` of one output.
///
/// `Shape` is never written out: it tells the compiler the two kinds of functions apart.
pub trait Function<Shape>: 'static {
    /// Read from JSON; its schema is the tool's input schema.
    type Input: DeserializeOwned + JsonSchema;
    /// Written as JSON; its schema is the tool's output schema.
    type Output: Serialize + JsonSchema;

    /// Calls the function.
    fn call(&self, input: Self::Input, context: &Context) -> Result<Self::Output, Error>;
}

impl<F, I, O, E> Function<(I, O, E)> for F
where
    F: Fn(I) -> Result<O, E> + 'static,
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    E: Into<Error>,
{
    type Input = I;
    type Output = O;

    fn call(&self, input: I, _context: &Context) -> Result<O, Error> {
        self(input).map_err(Into::into)
    }
}

impl<F, I, O, E> Function<(I, Context, O, E)> for F
where
    F: Fn(I, &Context) -> Result<O, E> + 'static,
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    E: Into<Error>,
{
    type Input = I;
    type Output = O;

    fn call(&self, input: I, context: &Context) -> Result<O, Error> {
        self(input, context).map_err(Into::into)
    }
}

/// One tool, described well enough to call it without having seen its code.
///
/// What is not said of its effects is taken for the worse: that it changes and destroys things, again with every call, and
/// reaches beyond what the host controls.
pub struct Tool {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
    pub(crate) input_schema: fn() -> Value,
    pub(crate) output_schema: fn() -> Value,
    pub(crate) run: Box<Run>,
}

type Run = dyn Fn(&str, &Context) -> Result<String, Error>;

impl Tool {
    /// A tool that calls `function`.
    ///
    /// - `name` is unique on one host: 1 to 64 of `a-z 0-9 _ . -`, starting with a letter.
    /// - `title` is the name that people see.
    /// - `description` says what it does and when to use it, to the people and models that choose a tool.
    pub fn new<Shape, F: Function<Shape>>(
        name: impl Into<String>,
        title: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            description: description.into(),
            read_only: None,
            destructive: None,
            idempotent: None,
            open_world: None,
            input_schema: schema::of_input::<F::Input>,
            output_schema: schema::of_output::<F::Output>,
            run: Box::new(move |input, context| {
                let input = serde_json::from_str(input)
                    .map_err(|error| Error::invalid_input(format_args!("the input does not fit: {error}")))?;
                let output = function.call(input, context)?;
                serde_json::to_string(&output)
                    .map_err(|error| Error::failed(format_args!("the output cannot be written: {error}")))
            }),
        }
    }

    /// It changes nothing outside, and so destroys nothing.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = Some(true);
        self.additive()
    }

    /// What it changes destroys nothing: it is not `destructive`.
    #[must_use]
    pub fn additive(mut self) -> Self {
        self.destructive = Some(false);
        self
    }

    /// Calling it again with the same input has no further effect.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = Some(true);
        self
    }

    /// It does not reach beyond what the host controls: it is not `open_world`.
    #[must_use]
    pub fn closed_world(mut self) -> Self {
        self.open_world = Some(false);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that people see.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it does and when to use it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// JSON Schema 2020-12 of its input.
    pub fn input_schema(&self) -> Value {
        (self.input_schema)()
    }

    /// JSON Schema 2020-12 of its output.
    pub fn output_schema(&self) -> Value {
        (self.output_schema)()
    }
}
